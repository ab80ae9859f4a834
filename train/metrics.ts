/** Measures of classification, on the device, and running averages of them. */
import { noGrad } from "../autograd/grad-mode.js";
import { OpError } from "../engine/errors.js";
import { arange } from "../engine/functional/creation.js";
import { stack } from "../engine/functional/movement.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";

/**
 * How many rows of logits [N, classes] have their target [N] among the k largest, for each k: int32 [ks].
 *
 * The rank of a target is the number of other logits that beat it: larger ones, equal ones of a lower class, and NaN; a target that is
 * NaN itself comes last. Its own class is left out by index, not by value: the gathered logit and the logit compared with it may be
 * computed by different kernels and differ in the last bit.
 */
export function topkCorrect(logits: Tensor, target: Tensor, ks: readonly number[]): Tensor {
  if (logits.ndim !== 2 || target.ndim !== 1 || target.shape[0] !== logits.shape[0]) {
    throw new OpError(
      "topkCorrect",
      `expected logits [N, classes] and target [N]; got ${showShape(logits.shape)} and ${showShape(target.shape)}`,
    );
  }
  return noGrad(() => {
    const index = target.unsqueeze(1); // [N, 1]
    const own = logits.gather(1, index); // [N, 1]
    const classes = arange(logits.shape[1], { device: logits.device }); // [classes]
    const loses = logits.lt(own).logicalOr(logits.eq(own).logicalAnd(classes.gt(index))); // [N, classes]
    const beats = classes.ne(index).logicalAnd(loses.logicalNot());
    const rank = beats.sum({ dim: 1 }); // [N]
    return stack(ks.map((k) => rank.lt(k).sum()));
  });
}

/** The mean of what was added, weighted by counts. */
export class Average {
  #sum = 0;
  #count = 0;
  /** What was added last. */
  last = Number.NaN;

  add(value: number, count = 1): void {
    this.last = value;
    this.#sum += value * count;
    this.#count += count;
  }
  /** Everything, as plain numbers. */
  state(): readonly [sum: number, count: number] {
    return [this.#sum, this.#count];
  }
  restore([sum, count]: readonly [sum: number, count: number]): void {
    this.#sum = sum;
    this.#count = count;
  }
  get mean(): number {
    return this.#count === 0 ? Number.NaN : this.#sum / this.#count;
  }
  get count(): number {
    return this.#count;
  }
}
