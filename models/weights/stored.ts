/** Tensors as files hold them: every dtype of a file has a place here, and a value that the engine's dtype cannot hold is refused. */
import { type DType, hostArray, isFloating, type TypedArray } from "../../engine/dtype.js";
import { OpError } from "../../engine/errors.js";
import { numel, type Shape, showShape } from "../../engine/shape.js";
import type { ByteSource } from "./source.js";

/** Bytes of one element, by safetensors' names. */
export const storedBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

/** Dtypes of files, with safetensors' names. */
export type StoredDType = keyof typeof storedBytes;

/** A tensor as a file holds it. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: Shape;
  /** Little endian, row-major; not necessarily aligned. Those of a tensor in a file are read anew whenever they are asked for. */
  readonly bytes: Uint8Array;
  /** Of tensors in a file: reads the bytes to where they are wanted, without a copy in between. */
  readonly copyTo?: (target: Uint8Array) => void;
}

/** A tensor whose elements lie in a source, one after the other. */
export function storedAt(source: ByteSource, at: number, dtype: StoredDType, shape: Shape): StoredTensor {
  const length = numel(shape) * storedBytes[dtype];
  return {
    dtype,
    shape,
    get bytes() {
      return source.view(at, length);
    },
    copyTo: (target) => source.copy(at, target),
  };
}

/** The dtype under which a file keeps an engine tensor. */
export const storedAs: Readonly<Record<DType, StoredDType>> = { float32: "F32", float64: "F64", int32: "I32", bool: "BOOL" };

/** Host data as a file keeps it; shares the memory. */
export function store(data: TypedArray, shape: Shape, dtype: DType): StoredTensor {
  return { dtype: storedAs[dtype], shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let halves: Float32Array | null = null;
/** Every float16 by its bits, as checkpoints have millions of them. */
const allHalves = (): Float32Array => (halves ??= Float32Array.from({ length: 0x10000 }, (_, bits) => halfToNumber(bits)));

const exact = (value: bigint): number => (Number.isSafeInteger(Number(value)) ? Number(value) : Number.NaN);

/** Element i as a number; a 64-bit integer beyond 2^53 as NaN, as no number is exactly that. */
function reader(dtype: StoredDType, bytes: Uint8Array): (i: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case "F64":
      return (i) => view.getFloat64(8 * i, true);
    case "F32":
      return (i) => view.getFloat32(4 * i, true);
    case "F16": {
      const table = allHalves();
      return (i) => table[view.getUint16(2 * i, true)];
    }
    case "BF16": {
      const wide = new Float32Array(1);
      const bits = new Uint32Array(wide.buffer);
      return (i) => {
        bits[0] = view.getUint16(2 * i, true) << 16;
        return wide[0];
      };
    }
    case "I64":
      return (i) => exact(view.getBigInt64(8 * i, true));
    case "U64":
      return (i) => exact(view.getBigUint64(8 * i, true));
    case "I32":
      return (i) => view.getInt32(4 * i, true);
    case "U32":
      return (i) => view.getUint32(4 * i, true);
    case "I16":
      return (i) => view.getInt16(2 * i, true);
    case "U16":
      return (i) => view.getUint16(2 * i, true);
    case "I8":
      return (i) => view.getInt8(i);
    case "U8":
    case "BOOL":
      return (i) => view.getUint8(i);
  }
}

const isFloat = (dtype: StoredDType): boolean => dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";

/**
 * The elements as the engine's `dtype`, in an array of their own. Floats round to the nearest float32; everything else must survive
 * exactly: throws OpError for an integer beyond int32, a fraction in int32, a finite float beyond float32, a boolean other than 0 and 1.
 */
export function toTypedArray(stored: StoredTensor, dtype: DType): TypedArray {
  const length = numel(stored.shape);
  const out = hostArray(dtype, length);
  const same = storedAs[dtype] === stored.dtype && dtype !== "bool";
  if (same && stored.copyTo !== undefined) {
    stored.copyTo(new Uint8Array(out.buffer));
    return out;
  }
  const { bytes } = stored;
  if (bytes.length !== length * storedBytes[stored.dtype]) {
    throw new OpError("toTypedArray", `${bytes.length} bytes do not fill ${stored.dtype} ${showShape(stored.shape)}`);
  }
  if (same) {
    new Uint8Array(out.buffer).set(bytes);
    return out;
  }
  const read = reader(stored.dtype, bytes);
  const fromFloat = isFloat(stored.dtype);
  const rounds = fromFloat && isFloating(dtype);
  for (let i = 0; i < length; i++) {
    const value = read(i);
    out[i] = value;
    const kept = out[i];
    const fits =
      kept === value ? dtype !== "bool" || value === 0 || value === 1 : rounds && Number.isFinite(kept) === Number.isFinite(value);
    if (fits) continue;
    const shown = !fromFloat && Number.isNaN(value) ? "beyond 2^53" : String(value);
    throw new OpError("toTypedArray", `element ${i} of ${stored.dtype} ${showShape(stored.shape)} is ${shown}, which ${dtype} cannot hold`);
  }
  return out;
}
