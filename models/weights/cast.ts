/** Floating dtypes of files, turned into each other. */
import { OpError } from "../../engine/errors.js";
import { type StoredDType, type StoredTensor, storedBytes, toTypedArray } from "./stored.js";

/** Floating dtypes of files. */
export type StoredFloat = "F64" | "F32" | "F16" | "BF16";

export const isStoredFloat = (dtype: StoredDType): dtype is StoredFloat =>
  dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";

const scratch = new DataView(new ArrayBuffer(4));

/** The nearest float16, ties to even, as its bits; beyond 65504 infinity. */
function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(size === 0 ? -14 : Math.floor(Math.log2(size)), -14);
  const units = roundEven(size * 2 ** (10 - exponent)); // of the last place; 1024 and more with a leading one
  // Subnormals have no leading one, and a carry out of the fraction is one more in the exponent: both by plain addition.
  return sign | (((exponent + 14) << 10) + units);
}

/** The nearest bfloat16, ties to even, as its bits: the upper half of a float32. */
function bfloatBits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff;
}

function roundEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/**
 * A floating tensor in another floating dtype, each value rounded to the nearest; cast whenever its bytes are asked for, so that a list of
 * casts holds none of them. Throws OpError for integers and booleans.
 */
export function castStored(tensor: StoredTensor, dtype: StoredFloat): StoredTensor {
  if (tensor.dtype === dtype) return tensor;
  if (!isStoredFloat(tensor.dtype)) throw new OpError("castStored", `${tensor.dtype} is no floating dtype`);
  return {
    dtype,
    shape: tensor.shape,
    get bytes() {
      return castBytes(tensor, dtype);
    },
  };
}

function castBytes(tensor: StoredTensor, dtype: StoredFloat): Uint8Array {
  const values = toTypedArray(tensor, "float64");
  const bytes = new Uint8Array(values.length * storedBytes[dtype]);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) {
    if (dtype === "F64") view.setFloat64(8 * i, values[i], true);
    else if (dtype === "F32") view.setFloat32(4 * i, values[i], true);
    else view.setUint16(2 * i, dtype === "F16" ? halfBits(values[i]) : bfloatBits(values[i]), true);
  }
  return bytes;
}
