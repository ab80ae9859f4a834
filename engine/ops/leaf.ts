/** Leaves that are computed rather than given: constants, and the index along a dim. */
import type { Device } from "../device.js";
import type { DType } from "../dtype.js";
import { InternalError } from "../errors.js";
import type { Shape } from "../shape.js";
import { makeNode, Tensor } from "../tensor.js";
import { defineOp, nonDifferentiable, type OpRecord, type Spec } from "./record.js";
import { expandTo } from "./view.js";

const noInputs = (): Spec => {
  throw new InternalError("leaves are made without apply()");
};

export const constOp = defineOp<{ readonly value: number }>({
  name: "const",
  doc: "One number, of rank 0. Broadcast it with expand.",
  reference: "torch.tensor",
  infer: noInputs,
  lower: { kind: "leaf", value: ({ pool, attrs, output }) => pool.const(attrs.value, output.dtype) },
  grad: nonDifferentiable,
  samples: [],
});

export const iotaOp = defineOp<{ readonly dim: number }>({
  name: "iota",
  doc: "The index along one dim, as int32: `iota([2, 3], 1)` is `[[0, 1, 2], [0, 1, 2]]`.",
  reference: "torch.arange",
  infer: noInputs,
  lower: { kind: "leaf", value: (ctx, index) => index[ctx.attrs.dim] },
  grad: nonDifferentiable,
  samples: [],
});

/** The value as the dtype holds it, so that equal constants make equal graphs. */
function held(value: number, dtype: DType): number {
  switch (dtype) {
    case "float32":
      return Math.fround(value);
    case "float64":
      return value;
    case "int32":
      return value | 0;
    case "bool":
      return value !== 0 ? 1 : 0;
  }
}

/** A constant of rank 0. */
export function constant(value: number, dtype: DType, device: Device): Tensor {
  return new Tensor(makeNode(constOp as unknown as OpRecord, [], { value: held(value, dtype) }, [], dtype, device));
}

/** A constant of any shape; costs no memory. */
export const filled = (value: number, shape: Shape, dtype: DType, device: Device): Tensor =>
  expandTo(constant(value, dtype, device), shape);

/** A constant with the shape, dtype and device of another tensor. */
export const filledLike = (x: Tensor, value: number): Tensor => filled(value, x.shape, x.dtype, x.device);

/** The index along `dim`, int32. */
export function iota(shape: Shape, dim: number, device: Device): Tensor {
  return new Tensor(makeNode(iotaOp as unknown as OpRecord, [], { dim }, shape, "int32", device));
}
