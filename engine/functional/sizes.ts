/** Arguments that are one number for all spatial dims, or one a dim. */
import { OpError } from "../errors.js";

/** One number for all spatial dims, or one a dim: (height, width). */
export type Sizes = number | readonly number[];

/** Sizes as a list of `count` whole numbers from `least` on. */
export function spatialSizes(op: string, name: string, value: Sizes, count: number, least: number): number[] {
  const single = typeof value === "number" ? value : value.length === 1 ? value[0] : null;
  const list = single === null ? [...(value as readonly number[])] : Array.from({ length: count }, () => single);
  if (list.length !== count || !list.every((size) => Number.isInteger(size) && size >= least)) {
    throw new OpError(op, `${name} is ${JSON.stringify(value)}; expected one whole number ≥ ${least}, or a list of ${count}`);
  }
  return list;
}
