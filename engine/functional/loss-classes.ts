/** Losses of classification: the target is a class index, or a probability for each class. */
import { isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, hostValues } from "../ops/check.js";
import { inRange } from "../ops/identity.js";
import { iota } from "../ops/leaf.js";
import { numel, type Shape, sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { logSoftmax } from "./activation.js";
import { add, div, eq, mul, ne, neg, where } from "./elementwise.js";
import type { LossOptions } from "./loss.js";
import { expand, reshape, unsqueeze } from "./movement.js";
import { sum } from "./reduction.js";

export interface ClassLossOptions extends LossOptions {
  /** One factor a class. */
  readonly weight?: Tensor | null;
  /** Targets of this value count for nothing. Default −100. */
  readonly ignoreIndex?: number;
}

export interface CrossEntropyOptions extends ClassLossOptions {
  /** How much of the target is spread evenly over all classes: 0 (default) to 1. */
  readonly labelSmoothing?: number;
}

/**
 * −log softmax(input) at the target class. Input [N, C, …] or [C]; target: class indices, int32 [N, …] or []; or probabilities of the
 * input's shape. The mean is weighted by the classes' factors, and leaves ignored targets out.
 */
export function crossEntropy(input: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const op = "crossEntropy";
  checkOptions(op, options, ["weight", "ignoreIndex", "reduction", "labelSmoothing"]);
  const classes = classesOf(op, input, target, options);
  const { labelSmoothing = 0 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) throw new OpError(op, `labelSmoothing is ${labelSmoothing}; expected 0 to 1`);
  const logs = logSoftmax(input, { dim: classes.dim });
  if (isFloating(target.dtype)) return ofProbabilities(op, logs, target, classes, options);
  return ofIndices(op, logs, target, classes, options, labelSmoothing);
}

/** −input at the target class, where the input holds logarithms of probabilities (`logSoftmax`). Shapes as for `crossEntropy`. */
export function nllLoss(input: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  const op = "nllLoss";
  checkOptions(op, options, ["weight", "ignoreIndex", "reduction"]);
  const classes = classesOf(op, input, target, options);
  if (isFloating(target.dtype)) throw new OpError(op, `the target has dtype ${target.dtype}; expected class indices, int32`);
  return ofIndices(op, input, target, classes, options, 0);
}

interface Classes {
  /** Where the classes are. */
  readonly dim: number;
  readonly count: number;
  /** The shape of one loss each. */
  readonly shape: Shape;
}

function classesOf(op: string, input: Tensor, target: Tensor, { weight, reduction = "mean" }: ClassLossOptions): Classes {
  checkTensor(op, input);
  checkTensor(op, target, "target");
  if (!["mean", "sum", "none"].includes(reduction)) throw new OpError(op, `reduction is "${reduction}"; expected "mean", "sum" or "none"`);
  if (input.ndim === 0) throw new OpError(op, "the input has rank 0; expected [N, C, …] or [C]");
  if (!isFloating(input.dtype)) throw new OpError(op, `the input has dtype ${input.dtype}; expected float32 or float64`);
  if (target.dtype === "bool") throw new OpError(op, "the target has dtype bool; expected class indices (int32) or probabilities (float)");
  const dim = input.ndim === 1 ? 0 : 1;
  const count = input.shape[dim];
  const shape = input.shape.filter((_, d) => d !== dim);
  const expected = isFloating(target.dtype) && op === "crossEntropy" ? input.shape : shape;
  if (!sameShape(target.shape, expected)) {
    const what = expected === shape ? "class indices" : "probabilities";
    throw new OpError(
      op,
      `input ${showShape(input.shape)} takes a target of ${what} of shape ${showShape(expected)}; got ${target.dtype} ${showShape(target.shape)}`,
    );
  }
  if (weight && !sameShape(weight.shape, [count]))
    throw new OpError(op, `weight has shape ${showShape(weight.shape)}; expected [${count}], one for each class`);
  return { dim, count, shape };
}

/** [C] along the class dim. */
function alongClasses(weight: Tensor, like: Tensor, dim: number): Tensor {
  const placed = reshape(
    weight,
    like.shape.map((size, d) => (d === dim ? size : 1)),
  );
  return expand(placed, like.shape);
}

function ofIndices(
  op: string,
  logs: Tensor,
  target: Tensor,
  { dim, count }: Classes,
  options: ClassLossOptions,
  smoothing: number,
): Tensor {
  const { weight = null, ignoreIndex = -100, reduction = "mean" } = options;
  const kept = ne(target, ignoreIndex);
  const index = checkedTargets(op, target, kept, count, ignoreIndex);
  // A comparison with every class in place of a gather: its gradient is a comparison too, where a gather's would scatter.
  const chosen = eq(iota(logs.shape, dim, logs.device), unsqueeze(index, dim));
  const pick = (values: Tensor): Tensor => where(kept, sum(where(chosen, values, 0), { dim }), 0);
  const factors = weight === null ? null : alongClasses(cast(weight, logs.dtype), logs, dim);
  let loss = neg(pick(factors === null ? logs : mul(factors, logs)));
  if (smoothing > 0) {
    const even = neg(where(kept, sum(factors === null ? logs : mul(factors, logs), { dim }), 0));
    loss = add(mul(loss, 1 - smoothing), mul(even, smoothing / count));
  }
  if (reduction === "none") return loss;
  if (reduction === "sum") return sum(loss);
  return div(sum(loss), sum(factors === null ? cast(kept, logs.dtype) : pick(factors)));
}

function ofProbabilities(op: string, logs: Tensor, target: Tensor, { dim, count, shape }: Classes, options: CrossEntropyOptions): Tensor {
  const { weight = null, reduction = "mean", labelSmoothing = 0 } = options;
  if (options.ignoreIndex !== undefined && options.ignoreIndex >= 0)
    throw new OpError(op, "ignoreIndex has no meaning for a target of probabilities");
  const given = cast(target, logs.dtype);
  const smooth = labelSmoothing === 0 ? given : add(mul(given, 1 - labelSmoothing), labelSmoothing / count);
  const products = mul(smooth, logs);
  const loss = neg(sum(weight === null ? products : mul(products, alongClasses(cast(weight, logs.dtype), logs, dim)), { dim }));
  if (reduction === "none") return loss;
  return reduction === "sum" ? sum(loss) : div(sum(loss), numel(shape));
}

/** The target as int32, ignored ones as 0; what is known on the host is checked at the call, the rest by the device. */
function checkedTargets(op: string, target: Tensor, kept: Tensor, count: number, ignoreIndex: number): Tensor {
  const values = hostValues(target);
  const clean = where(kept, target, 0);
  if (values === null) {
    const what = `a target computed on the device is none of ${count} classes, nor ignoreIndex ${ignoreIndex}`;
    return inRange(op, clean, 0, count - 1, what);
  }
  const at = values.findIndex((index) => index !== ignoreIndex && !(index >= 0 && index < count));
  if (at >= 0) {
    throw new OpError(
      op,
      `target ${values[at]} at position ${at} is out of range for ${count} classes; expected 0 to ${count - 1}, or ignoreIndex ${ignoreIndex}`,
    );
  }
  return clean;
}
