/** Operands of elementwise functions: promotion of dtypes and broadcasting, as PyTorch has them. */
import type { Device } from "../device.js";
import { type DType, isFloating, promote } from "../dtype.js";
import { OpError } from "../errors.js";
import { broadcastShapes, sameShape } from "../shape.js";
import { apply, Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { describe } from "./check.js";
import { constant } from "./leaf.js";
import type { OpRecord } from "./record.js";
import { expandTo } from "./view.js";

/** What arithmetic takes: tensors, and numbers, which never raise the dtype of a tensor of their kind. */
export type Operand = Tensor | number | boolean;

function combine(higher: DType | null, lower: DType | null): DType | null {
  if (higher === null) return lower;
  if (lower === null || isFloating(higher)) return higher;
  return higher === "bool" || isFloating(lower) ? promote(higher, lower) : higher;
}

/** PyTorch's rule (`torch.result_type`): tensors with dims decide, then tensors of rank 0, then numbers, unless a later one is of a higher kind. */
export function resultType(operands: readonly Operand[]): DType {
  const found: [DType | null, DType | null, DType | null] = [null, null, null];
  for (const operand of operands) {
    const level = operand instanceof Tensor ? (operand.ndim > 0 ? 0 : 1) : 2;
    const dtype =
      operand instanceof Tensor ? operand.dtype : typeof operand === "boolean" ? "bool" : Number.isInteger(operand) ? "int32" : "float32";
    const before = found[level];
    found[level] = before === null ? dtype : promote(before, dtype);
  }
  return combine(found[0], combine(found[1], found[2])) ?? "float32";
}

/** An operand as a tensor of the dtype. */
export function operandTensor(op: string, value: Operand, dtype: DType, device: Device): Tensor {
  if (value instanceof Tensor) return cast(value, dtype);
  if (typeof value !== "number" && typeof value !== "boolean") {
    throw new OpError(op, `operands are tensors or numbers; got ${describe(value)}`);
  }
  return constant(Number(value), dtype, device);
}

/** The tensors among the operands decide the device. */
export function deviceOf(op: string, operands: readonly Operand[]): Device {
  for (const operand of operands) if (operand instanceof Tensor) return operand.device;
  throw new OpError(op, `at least one operand must be a tensor; got ${operands.map(describe).join(" and ")}`);
}

/** Applies an elementwise record to operands of any mix: promotes (`dtypeOf` adjusts the promoted dtype), broadcasts, builds the node. */
export function elementwise(record: OpRecord, operands: readonly Operand[], dtypeOf?: (promoted: DType) => DType): Tensor {
  const op = record.name;
  const device = deviceOf(op, operands);
  const promoted = resultType(operands);
  const dtype = dtypeOf === undefined ? promoted : dtypeOf(promoted);
  const tensors = operands.map((operand) => operandTensor(op, operand, dtype, device));
  return apply(record, broadcastAll(op, tensors));
}

/** Expands all to their common shape. */
export function broadcastAll(op: string, tensors: readonly Tensor[]): readonly Tensor[] {
  if (tensors.every((t) => sameShape(t.shape, tensors[0].shape))) return tensors;
  const shape = broadcastShapes(op, ...tensors.map((t) => t.shape));
  return tensors.map((t) => expandTo(t, shape));
}
