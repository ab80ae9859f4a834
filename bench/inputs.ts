/**
 * Inputs that every contestant makes for itself, bit for bit the same (contestants/pytorch.py does it in Python), and sums by which their
 * results are compared.
 */
import type { TypedArray } from "../index.js";

/** Wellons' lowbias32. */
function hash32(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Uniform in [−1, 1) · scale, a function of the seed and the position. */
export function fill(seed: number, length: number, scale = 1): Float32Array {
  const out = new Float32Array(length);
  const offset = Math.imul(seed, 0x9e3779b9);
  const factor = Math.fround(scale);
  for (let i = 0; i < length; i++) out[i] = Math.fround((hash32((i + offset) | 0) >>> 8) / 8388608 - 1) * factor;
  return out;
}

/** A parameter of a network: drawn with `fill`, or one value everywhere. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly seed: number;
  readonly scale: number;
  /** In place of random values. */
  readonly value: number | null;
}

export const numel = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

export const valuesOf = ({ shape, seed, scale, value }: ParameterSpec): Float32Array =>
  value === null ? fill(seed, numel(shape), scale) : new Float32Array(numel(shape)).fill(value);

/** How many elements of a result are compared one by one. */
const probed = 4096;

/** Elements of an array at even distances. */
export function probeOf(data: TypedArray): number[] {
  const count = Math.min(probed, data.length);
  return Array.from({ length: count }, (_, i) => Number(data[Math.floor((i * data.length) / count)]));
}

/** The sum of an array and that of its absolute values: the same for any layout. */
export type Sums = readonly [number, number];

export function sumsOf(data: TypedArray): Sums {
  let [sum, absolute] = [0, 0];
  for (const value of data) {
    sum += value;
    absolute += Math.abs(value);
  }
  return [sum, absolute];
}
