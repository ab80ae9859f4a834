/** Functions whose gradient is given by hand. */
import { OpError } from "../engine/errors.js";
import type { GradRule, OpRecord } from "../engine/ops/record.js";
import { apply, Tensor } from "../engine/tensor.js";
import { checkGradients } from "./backward.js";
import { noGrad } from "./grad-mode.js";

/** What a hand-written gradient is made of. */
export interface CustomBackward {
  /** Gradient of the output. */
  readonly grad: Tensor;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
}

/**
 * A function of tensors with a gradient of its own: `backward` returns one gradient an input (null for none). It is tensor code, so
 * gradients of it work as well.
 *
 * ```ts
 * const clip = customGradient((x: Tensor) => x, ({ grad }) => [grad.clamp({ min: -1, max: 1 })]);
 * ```
 */
export function customGradient<A extends readonly Tensor[]>(
  forward: (...inputs: A) => Tensor,
  backward: (context: CustomBackward) => readonly (Tensor | null)[],
  options: { readonly name?: string } = {},
): (...inputs: A) => Tensor {
  const name = options.name ?? (forward.name || "customGradient");
  const record = throughRecord(name, "A function with a gradient given by hand.", ({ inputs, output, grad }) => {
    const own = inputs.slice(1);
    const found = backward({ inputs: own, output, grad });
    if (found.length < own.length) {
      throw new OpError(name, `backward returned ${found.length} gradients for ${own.length} inputs; return null where there is none`);
    }
    checkGradients(name, found, own);
    return [null, ...found];
  });
  return (...inputs) => {
    const value = noGrad(() => forward(...inputs));
    if (!(value instanceof Tensor)) throw new OpError(name, "forward must return one tensor");
    return apply(record, [value, ...inputs]);
  };
}

/**
 * An operation outside the table: the values of input 0, with a gradient rule of its own. What the rule needs are further inputs, which
 * are not read to compute the value.
 */
export function throughRecord(name: string, doc: string, grad: GradRule): OpRecord {
  return {
    name,
    doc,
    reference: "torch.autograd.Function",
    infer: ([value]) => value,
    lower: { kind: "view", index: (_, out) => ({ index: out }) },
    grad,
    samples: [],
  };
}
