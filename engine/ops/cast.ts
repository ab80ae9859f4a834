/** Conversion between dtypes. */
import type { DType } from "../dtype.js";
import { apply, type Tensor } from "../tensor.js";
import { defineOp, type OpRecord } from "./record.js";

export const castOp: OpRecord<{ readonly dtype: DType }> = defineOp<{ readonly dtype: DType }>({
  name: "cast",
  doc: "Values in another dtype: floats to int32 truncate towards zero and saturate (NaN gives 0); anything to bool is `≠ 0`.",
  reference: "torch.Tensor.to",
  infer: ([x], { dtype }) => ({ shape: x.shape, dtype }),
  lower: { kind: "elementwise", expr: (pool, [x], _, dtype) => pool.cast(x, dtype) },
  grad: ({ inputs: [x], grad }) => [cast(grad, x.dtype)],
  samples: [
    { shapes: [[2, 3]], attrs: { dtype: "float64" } },
    { shapes: [[2, 3]], attrs: { dtype: "int32" }, range: [-4, 4] },
    { shapes: [[0, 3]], attrs: { dtype: "bool" } },
    { shapes: [[3]], attrs: { dtype: "float32" }, dtypes: ["int32"], data: [[-1, 0, 5]] },
  ],
});

/** `x` in another dtype; `x` itself when it has that dtype already. */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : apply(castOp, [x], { dtype }));
