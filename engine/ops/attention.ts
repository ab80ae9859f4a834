/** Scaled dot-product attention as one operation. Its definition is what runs; a backend that chains kernels makes one of those that it becomes. */
import { OpError } from "../errors.js";
import { softmax } from "../functional/activation.js";
import { add, ge, mul, where } from "../functional/elementwise.js";
import { transpose } from "../functional/movement.js";
import { sameShape, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { iota } from "./leaf.js";
import { checkContractionDtypes, matmulNodes } from "./matmul.js";
import { defineOp, throughSlow } from "./record.js";

export type AttentionAttrs = {
  readonly scale: number;
  /** Whether row i sees columns 0 to i only. */
  readonly causal: boolean;
};

export const attentionOp = defineOp<AttentionAttrs>({
  name: "attention",
  doc: "softmax(q kᵀ · scale + mask) v: q [..., L, E], k [..., S, E], v [..., S, Ev], mask (if any) [..., L, S] → [..., L, Ev].",
  reference: "torch.nn.functional.scaled_dot_product_attention",
  infer: ([q, k, v, mask]) => {
    checkContractionDtypes("attention", q, k);
    checkContractionDtypes("attention", q, v);
    const batch = q.shape.slice(0, -2);
    const [[l, e], [s, ek], [sv, ev]] = [q, k, v].map((x) => x.shape.slice(-2));
    const fits = [k, v, ...(mask ? [mask] : [])].every((x) => sameShape(x.shape.slice(0, -2), batch));
    if (!fits || e !== ek || s !== sv || (mask && !sameShape(mask.shape.slice(-2), [l, s]))) {
      throw new OpError(
        "attention",
        `shapes do not fit: q ${showShape(q.shape)}, k ${showShape(k.shape)}, v ${showShape(v.shape)}${mask ? `, mask ${showShape(mask.shape)}` : ""}`,
      );
    }
    return { shape: [...batch, l, ev], dtype: q.dtype };
  },
  lower: { kind: "composite", slow: slowAttention },
  grad: throughSlow,
  samples: [
    {
      shapes: [
        [2, 3, 4],
        [2, 5, 4],
        [2, 5, 2],
      ],
      attrs: { scale: 0.5, causal: false },
    },
    {
      shapes: [
        [4, 2],
        [4, 2],
        [4, 3],
      ],
      attrs: { scale: 0.7, causal: true },
    },
    {
      shapes: [
        [1, 2, 3, 2],
        [1, 2, 4, 2],
        [1, 2, 4, 2],
        [1, 2, 3, 4],
      ],
      attrs: { scale: 1, causal: false },
    },
  ],
});

function slowAttention([q, k, v, mask]: readonly Tensor[], { scale, causal }: AttentionAttrs): Tensor {
  let scores = mul(matmulNodes(q, transpose(k, -2, -1)), scale);
  if (mask !== undefined) scores = add(scores, mask);
  if (causal) {
    const rank = scores.ndim;
    const [row, column] = [iota(scores.shape, rank - 2, q.device), iota(scores.shape, rank - 1, q.device)];
    scores = where(ge(row, column), scores, Number.NEGATIVE_INFINITY);
  }
  return matmulNodes(softmax(scores, { dim: -1 }), v);
}

/** The operation itself: equal batch dims, and a mask to add. */
export function attentionNodes(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null, attrs: AttentionAttrs): Tensor {
  return apply(attentionOp, mask === null ? [q, k, v] : [q, k, v, mask], attrs);
}
