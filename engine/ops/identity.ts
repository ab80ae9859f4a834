/** Views that change no value: they say something about the graph. */
import type { Tensor } from "../tensor.js";
import { apply } from "../tensor.js";
import { defineOp, type Lowering } from "./record.js";

const sameIndex: Lowering = { kind: "view", index: (_, out) => ({ index: out }) };

export const identityOp = defineOp({
  name: "identity",
  doc: "The same values as another node of the graph, so that a gradient can be asked for at this place alone.",
  reference: "torch.nn.Identity",
  infer: ([x]) => x,
  lower: sameIndex,
  grad: ({ grad }) => [grad],
  samples: [{ shapes: [[2, 3]] }, { shapes: [[]] }],
});

/** The same values, as a node of its own. */
export function identity(x: Tensor): Tensor {
  return apply(identityOp, [x]);
}

/**
 * Input 1 is an order and nothing else: whatever reads the values through this node is not computed before input 1 has been.
 * Recomputation uses it to wait for the gradient that needs the recomputed values.
 */
export const barrierOp = defineOp({
  name: "barrier",
  doc: "The values of input 0, which are not read before input 1 has been computed.",
  reference: "jax.lax.optimization_barrier",
  infer: ([x]) => x,
  lower: sameIndex,
  grad: ({ grad }) => [grad, null],
  samples: [{ shapes: [[2, 3], [4]] }],
});

/** `x`, for what has to wait until `after` is computed. */
export function barrier(x: Tensor, after: Tensor): Tensor {
  return apply(barrierOp, [x, after]);
}

export interface RangeAttrs extends Record<string, unknown> {
  /** Both belong to the range. */
  readonly low: number;
  readonly high: number;
  /** The function that was called, and what the values are, for the message. */
  readonly op: string;
  readonly what: string;
  readonly checked: boolean;
}

/** Values whose range a plan checks before it changes anything; they are as they are. */
export const inRangeOp = defineOp<RangeAttrs>({
  name: "inRange",
  doc: "The values of a tensor, which must lie in low to high: else the read that computes them rejects, and assignments that wait for it fail.",
  reference: "torch._assert_async",
  indexInput: 0,
  infer: ([x]) => x,
  lower: sameIndex,
  grad: ({ grad }) => [grad],
  samples: [
    { shapes: [[3]], dtypes: ["int32"], data: [[0, 2, 1]], attrs: { low: 0, high: 2, op: "inRange", what: "an index", checked: true } },
    { shapes: [[2, 3]], attrs: { low: -2, high: 2, op: "inRange", what: "a value", checked: true } },
  ],
});

/** `x`, whose values the device checks to lie in `low` to `high` (NaN does not); an error says that `op` was given `what`. */
export function inRange(op: string, x: Tensor, low: number, high: number, what: string): Tensor {
  return apply(inRangeOp, [x], { low, high, op, what, checked: false });
}
