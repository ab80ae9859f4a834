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
