/** How far a result is from the reference, in units of what is allowed: at most 1 passes. */
import type { TypedArray } from "../engine/dtype.js";

export interface Comparison {
  /** The worst element's |got - want| / (atol + rtol |want|); infinite where a non-finite value disagrees. */
  readonly error: number;
  /** "" when it passes: where, what was found, what was wanted, and how many elements differ. */
  readonly message: string;
}

function elementError(got: number, want: number, rtol: number, atol: number): number {
  if (Number.isNaN(got) || Number.isNaN(want)) return Number.isNaN(got) && Number.isNaN(want) ? 0 : Number.POSITIVE_INFINITY;
  if (got === want) return 0;
  if (!Number.isFinite(got) || !Number.isFinite(want)) return Number.POSITIVE_INFINITY;
  return Math.abs(got - want) / (atol + rtol * Math.abs(want));
}

/** Element by element. NaN matches only NaN, an infinity only itself; with both tolerances 0 everything must be equal. */
export function compareElements(got: TypedArray, want: TypedArray, rtol: number, atol: number): Comparison {
  let error = 0;
  let worst = -1;
  let bad = 0;
  for (let i = 0; i < want.length; i++) {
    const e = elementError(got[i], want[i], rtol, atol);
    if (e > 1) bad++;
    if (e > error) {
      error = e;
      worst = i;
    }
  }
  const message = bad === 0 ? "" : `element ${worst} is ${got[worst]}, want ${want[worst]} (${bad} of ${want.length} differ)`;
  return { error, message };
}

export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}

/** The 2-norm of the difference against an absolute bound. */
export function compareNorm(got: ArrayLike<number>, want: ArrayLike<number>, bound: number): Comparison {
  let sum = 0;
  for (let i = 0; i < want.length; i++) sum += (got[i] - want[i]) ** 2;
  return within(Math.sqrt(sum), bound, "the norm of the difference");
}

/** A quantity that should be 0, against an absolute bound. */
export function within(difference: number, bound: number, what: string): Comparison {
  const error = difference === 0 ? 0 : Number.isFinite(difference) ? difference / bound : Number.POSITIVE_INFINITY;
  return { error, message: error <= 1 ? "" : `${what} is ${difference.toPrecision(3)}, allowed ${bound.toPrecision(3)}` };
}

/** The three numbers by which a tensor is summarised: 2-norm, sum, and dot product with a probe. In float64. */
export function summarise(values: ArrayLike<number>, probe: ArrayLike<number>): readonly [number, number, number] {
  let squares = 0;
  let sum = 0;
  let dot = 0;
  for (let i = 0; i < values.length; i++) {
    squares += values[i] * values[i];
    sum += values[i];
    dot += values[i] * probe[i];
  }
  return [Math.sqrt(squares), sum, dot];
}

/** The comparisons of one case, gathered: the worst error, and the message of each that failed. */
export class Verdict {
  error = 0;
  readonly messages: string[] = [];

  add(name: string, comparison: Comparison): void {
    this.error = Math.max(this.error, comparison.error);
    if (comparison.message !== "") this.messages.push(`${name}: ${comparison.message}`);
  }

  fail(name: string, message: string): void {
    this.add(name, { error: Number.POSITIVE_INFINITY, message });
  }

  get message(): string {
    const shown = this.messages.slice(0, 3).join("; ");
    return this.messages.length > 3 ? `${shown}; and ${this.messages.length - 3} more` : shown;
  }
}
