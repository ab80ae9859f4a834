/** The matrix product, the contraction that `functional/linalg.ts` builds everything else from. */
import { OpError } from "../errors.js";
import { transpose } from "../functional/movement.js";
import { sameShape, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { defineOp, type Spec } from "./record.js";

/** Throws unless both operands have one numeric dtype; a contraction converts nothing in silence. */
export function checkContractionDtypes(op: string, a: Spec, b: Spec): void {
  if (a.dtype !== b.dtype) throw new OpError(op, `operands have dtypes ${a.dtype} and ${b.dtype}; cast one of them so that both are equal`);
  if (a.dtype === "bool") throw new OpError(op, "operands have dtype bool, which has no products to sum; cast them to float32 or int32");
}

function inferMatmul([a, b]: readonly Spec[]): Spec {
  checkContractionDtypes("matmul", a, b);
  const batch = a.shape.slice(0, -2);
  if (a.shape.length < 2 || a.shape.length !== b.shape.length || !sameShape(batch, b.shape.slice(0, -2))) {
    throw new OpError("matmul", `expected matrices with equal batch dims; got a ${showShape(a.shape)}, b ${showShape(b.shape)}`);
  }
  const [m, k] = a.shape.slice(-2);
  const [kb, n] = b.shape.slice(-2);
  if (k !== kb) {
    throw new OpError(
      "matmul",
      `expected the last dim of a to equal the second-to-last of b; got a ${showShape(a.shape)}, b ${showShape(b.shape)} (${k} ≠ ${kb}); transpose one of them?`,
    );
  }
  return { shape: [...batch, m, n], dtype: a.dtype };
}

/** [..., M, K] × [..., K, N] with equal batch dims → [..., M, N]. */
export const matmulOp = defineOp({
  name: "matmul",
  doc: "Matrix product: out[…, m, n] = Σ_k a[…, m, k] · b[…, k, n].",
  reference: "torch.matmul",
  infer: inferMatmul,
  lower: {
    kind: "reduce",
    combine: "add",
    structure: "matmul",
    axes: ({ inputs }) => [inputs[0].shape[inputs[0].shape.length - 1]],
    body: (ctx, out, [k]) => {
      const batch = out.slice(0, -2);
      const [m, n] = out.slice(-2);
      return ctx.pool.mul(ctx.input(0, [...batch, m, k]), ctx.input(1, [...batch, k, n]));
    },
    repeats: () => true,
  },
  grad: ({ inputs: [a, b], grad, needs }) => [
    needs(0) ? matmulNodes(grad, transpose(b, -2, -1)) : null,
    needs(1) ? matmulNodes(transpose(a, -2, -1), grad) : null,
  ],
  samples: [
    {
      shapes: [
        [4, 3],
        [3, 5],
      ],
    },
    {
      shapes: [
        [2, 4, 3],
        [2, 3, 5],
      ],
    },
    {
      shapes: [
        [1, 1],
        [1, 1],
      ],
    },
    {
      shapes: [
        [3, 0],
        [0, 2],
      ],
    },
    {
      shapes: [
        [2, 3, 1, 7],
        [2, 3, 7, 1],
      ],
    },
    {
      shapes: [
        [4, 3],
        [3, 5],
      ],
      dtypes: ["int32", "int32"],
    },
  ],
});

/** The operation itself: ranks of at least 2 and equal batch dims. The public `matmul` broadcasts first. */
export function matmulNodes(a: Tensor, b: Tensor): Tensor {
  return apply(matmulOp, [a, b]);
}
