/** The element types of tensors, and the typed arrays that hold them on the host. float64 exists on devices that list it (the `cpu` device does). */
export type DType = "float32" | "float64" | "int32" | "bool";

/** Host arrays of the dtypes: float32, float64, int32, and bytes for bool. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/** Bytes an element takes on the host. */
export const dtypeBytes: Readonly<Record<DType, number>> = { float32: 4, float64: 8, int32: 4, bool: 1 };

/** Bytes of all these together. */
export const bytesOf = (arrays: readonly { readonly dtype: DType; readonly length: number }[]): number =>
  arrays.reduce((bytes, { dtype, length }) => bytes + length * dtypeBytes[dtype], 0);

/** Whether a dtype is float32 or float64. */
export const isFloating = (dtype: DType): boolean => dtype === "float32" || dtype === "float64";

export const floats: readonly DType[] = ["float32", "float64"];
export const numbers: readonly DType[] = ["float32", "float64", "int32"];
export const anyDType: readonly DType[] = ["float32", "float64", "int32", "bool"];

/** A zeroed host array of `length` elements. Booleans are one byte each, 0 or 1. */
export function hostArray(dtype: DType, length: number): TypedArray {
  switch (dtype) {
    case "float32":
      return new Float32Array(length);
    case "float64":
      return new Float64Array(length);
    case "int32":
      return new Int32Array(length);
    case "bool":
      return new Uint8Array(length);
  }
}

const order: readonly DType[] = ["bool", "int32", "float32", "float64"];

/** PyTorch's promotion among the dtypes that exist here: bool < int32 < float32 < float64. */
export function promote(a: DType, b: DType): DType {
  return order.indexOf(a) >= order.indexOf(b) ? a : b;
}
