/** Filled state, and results against what is stored of the reference: whole tensors, or three numbers each. */
import type { Device } from "../engine/device.js";
import type { TypedArray } from "../engine/dtype.js";
import { type Shape, showShape } from "../engine/shape.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import type { Module } from "../models/index.js";
import { toTypedArray } from "../models/weights/safetensors.js";
import { type Comparison, compareNorm, norm, summarise, within } from "./compare.js";
import { fill, fillEntry } from "./fill.js";
import type { Folder } from "./folder.js";

/** What is stored of one tensor, and the natural error of PyTorch in float32. */
export interface TensorInfo {
  readonly shape: Shape;
  readonly norm: number;
  readonly abs32: number;
  readonly stored: "full" | "sum" | "sum+head" | "none";
  readonly probe?: string;
  readonly value?: number;
  readonly zero?: boolean;
}

/** The values of the fill, for every entry of a module's state. */
export function filledState(module: Module, device: Device): Map<string, Tensor> {
  const entries = [...module.stateDict()].map(([name, { shape, dtype }]): [string, Tensor] => {
    const values = fillEntry(name, shape);
    return [name, fromHost(dtype === "int32" ? Int32Array.from(values) : values, shape, dtype, device)];
  });
  return new Map(entries);
}

export function loadFill(module: Module, device: Device): void {
  module.loadStateDict(filledState(module, device));
}

/** Reads them all in one plan. */
export async function readInto(got: Map<string, TypedArray>, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  const read = await Promise.all([...tensors.values()].map((value) => value.data()));
  [...tensors.keys()].forEach((key, i) => {
    got.set(key, read[i]);
  });
}

/** The suggested bound on the 2-norm of the error. */
export const bound = ({ abs32, norm: size }: Pick<TensorInfo, "abs32" | "norm">): number => Math.max(16 * abs32, 4e-6 * size);

/** One tensor against what is stored of it. */
export function compareStored(
  folder: Folder,
  file: string,
  key: string,
  info: TensorInfo,
  got: TypedArray,
  gradNormMax: number,
): Comparison {
  if (info.stored === "none") {
    if (info.value === undefined) return { error: 0, message: "" };
    return within(Math.abs(got[0] - info.value), 0, "the difference from the count");
  }
  const size = info.shape.reduce((n, length) => n * length, 1);
  if (got.length !== size) return { error: Number.POSITIVE_INFINITY, message: `${got.length} elements, want ${showShape(info.shape)}` };
  if (info.zero === true) return within(norm(got), Math.max(16 * info.abs32, 1e-5 * gradNormMax), "the norm (exactly 0 in theory)");
  const allowed = bound(info);
  if (info.stored === "full") return compareNorm(got, toTypedArray(folder.stored(file, key), "float32"), allowed);

  const want = toTypedArray(folder.stored(file, `${key}#sum`), "float64");
  const have = summarise(got, fill(info.probe ?? "", info.shape));
  const parts = [
    within(Math.abs(have[0] - want[0]), allowed, "the difference of norms"),
    within(Math.abs(have[1] - want[1]), 8 * allowed, "the difference of sums"),
    within(Math.abs(have[2] - want[2]), 8 * allowed, "the difference of dot products"),
  ];
  if (info.stored === "sum+head") parts.push(compareNorm(got, toTypedArray(folder.stored(file, `${key}#head`), "float32"), allowed));
  const worst = parts.reduce((a, b) => (b.error > a.error ? b : a));
  return { error: worst.error, message: worst.error <= 1 ? "" : worst.message };
}
