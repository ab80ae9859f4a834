/**
 * A gpu.js kernel returns the value of its own thread and cannot choose where it goes, so a store is turned round: from the thread's
 * number follow the values of the axes for which the store's index is that number. This works where the index counts like a
 * mixed-radix number: each stride larger than all that the smaller ones can add up to.
 */
import { sumOf } from "../../engine/kernel/affine.js";
import type { Axis, Store } from "../../engine/kernel/ir.js";

/** One digit of the thread's number: `axis` is (rest / stride), or from the end where `reversed`. */
export interface Digit {
  readonly axis: Axis;
  readonly stride: number;
  readonly reversed: boolean;
}

export interface Inverse {
  /** The smallest index that is stored. */
  readonly base: number;
  /** By stride, the largest first. */
  readonly digits: readonly Digit[];
  /** Whether every element of the buffer is stored. */
  readonly covers: boolean;
}

/** The inverse of a store over the axes of its kernel and its own, or why there is none. */
export function invert(axes: readonly Axis[], store: Store, length: number): Inverse | string {
  const all = [...axes, ...store.axes].filter((axis) => axis.size > 1);
  const { constant, terms } = sumOf(store.index);
  const digits: Digit[] = [];
  let base = constant;
  for (const { coefficient, factor } of terms) {
    if (factor.op !== "axis") return "its results go to computed places, and a gpu.js thread returns the value of its own place only";
    const { axis } = factor;
    if (coefficient < 0) base += coefficient * (axis.size - 1);
    digits.push({ axis, stride: Math.abs(coefficient), reversed: coefficient < 0 });
  }
  if (all.some((axis) => !digits.some((digit) => digit.axis === axis))) return "several of its points write one element";
  digits.sort((a, b) => a.stride - b.stride);
  let reach = 0;
  let elements = 1;
  for (const { axis, stride } of digits) {
    if (stride <= reach) return "its results overlap, so that a gpu.js thread cannot tell which point is its own";
    reach += stride * (axis.size - 1);
    elements *= axis.size;
  }
  return { base, digits: digits.reverse(), covers: store.guard === null && elements === length };
}
