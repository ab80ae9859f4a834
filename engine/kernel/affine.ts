/** Questions about expressions that need no pool: their axes, and the shape of integer expressions. */
import type { Axis, Expr } from "./ir.js";

export const intMin = -(2 ** 31);
export const intMax = 2 ** 31 - 1;

export interface Term {
  readonly coefficient: number;
  readonly factor: Expr;
}

/** An int32 expression as constant + Σ coefficient · factor (modulo 2^32, where its bounds are infinite). */
export interface Sum {
  readonly constant: number;
  /** By factor id; no coefficient is 0 and no factor occurs twice. */
  readonly terms: readonly Term[];
}

export interface Range {
  readonly lo: number;
  readonly hi: number;
}

export const fitsInt = (lo: number, hi: number): boolean => lo >= intMin && hi <= intMax;

/** Whether the bounds are known, which also says that evaluating the expression never wraps. */
export const isBounded = (e: Expr): boolean => fitsInt(e.lo, e.hi);

function collect(e: Expr, scale: number, terms: Term[]): number {
  if (e.op === "const") return Math.imul(e.value, scale);
  if (e.op === "call") {
    const [a, b] = e.args;
    if (e.fn === "add") return (collect(a, scale, terms) + collect(b, scale, terms)) | 0;
    if (e.fn === "sub") return (collect(a, scale, terms) + collect(b, -scale | 0, terms)) | 0;
    if (e.fn === "neg") return collect(a, -scale | 0, terms);
    if (e.fn === "mul" && b.op === "const") return collect(a, Math.imul(scale, b.value), terms);
  }
  terms.push({ coefficient: scale, factor: e });
  return 0;
}

/** The sum behind an int32 expression; factors are axes or opaque (quotients, remainders, loads, …). Null for other dtypes. */
export function affine(e: Expr): Sum | null {
  return e.dtype === "int32" ? sumOf(e) : null;
}

export function sumOf(e: Expr): Sum {
  const terms: Term[] = [];
  const constant = collect(e, 1, terms);
  return { constant, terms };
}

/** Bounds of a sum over the integers; they may lie outside of int32. */
export function sumRange(constant: number, terms: readonly Term[]): Range {
  let lo = constant;
  let hi = constant;
  for (const { coefficient, factor } of terms) {
    lo += coefficient * (coefficient > 0 ? factor.lo : factor.hi);
    hi += coefficient * (coefficient > 0 ? factor.hi : factor.lo);
  }
  return { lo, hi };
}

export function gcd(a: number, b: number): number {
  let x = Math.abs(a);
  let y = Math.abs(b);
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}

/** The operands of a conjunction; `[e]` for anything else, `[]` for true. */
export function conjuncts(e: Expr): readonly Expr[] {
  return flatten(e, "and");
}

export function flatten(e: Expr, fn: "and" | "or"): readonly Expr[] {
  if (e.op === "const" && e.value === (fn === "and" ? 1 : 0)) return [];
  if (e.op !== "call" || e.fn !== fn) return [e];
  return e.args.flatMap((arg) => flatten(arg, fn));
}

const noAxes: ReadonlySet<Axis> = new Set();

/** The operands of an expression, indices and guards included. */
export function children(e: Expr): readonly Expr[] {
  switch (e.op) {
    case "const":
    case "axis":
    case "acc":
      return [];
    case "load":
      return e.guard === null ? [e.index] : [e.index, e.guard];
    case "ref":
      return e.guard === null ? e.index : [...e.index, e.guard];
    case "call":
      return e.args;
  }
}

/** `e` and the expressions below it, operands first; nothing that `skip` rules out. Without recursion: fused chains are long. */
export function postorder(e: Expr, skip: (e: Expr) => boolean): readonly Expr[] {
  const order: Expr[] = [];
  const listed = new Set<Expr>();
  const stack: Expr[] = skip(e) ? [] : [e];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const height = stack.length;
    // What several expressions share can wait on the stack more than once.
    if (!listed.has(top)) {
      const below = children(top);
      for (let i = below.length - 1; i >= 0; i--) if (!listed.has(below[i]) && !skip(below[i])) stack.push(below[i]);
      if (stack.length > height) continue;
      listed.add(top);
      order.push(top);
    }
    stack.pop();
  }
  return order;
}

/** The axes an expression depends on. */
export const axesOf = (e: Expr): ReadonlySet<Axis> => e.axes;

/** Those that any of the expressions depends on. */
export function allAxes(parts: readonly Expr[]): ReadonlySet<Axis> {
  let axes = noAxes;
  for (const { axes: more } of parts) {
    // Most expressions depend on what one of their operands depends on: share its set.
    if (axes.size === 0) axes = more;
    for (const axis of more) {
      if (axes.has(axis)) continue;
      axes = new Set([...axes, ...more]);
      break;
    }
  }
  return axes;
}

/**
 * The axes of `e`, outermost first, when it counts through them in row-major order: a bijection onto 0 … Πsize − 1.
 * `[]` for the constant 0; null when it does not.
 */
export function mixedRadix(e: Expr): readonly Axis[] | null {
  const sum = affine(e);
  if (sum === null || sum.constant !== 0) return null;
  const terms = [...sum.terms].sort((a, b) => a.coefficient - b.coefficient);
  const axes: Axis[] = [];
  let stride = 1;
  for (const { coefficient, factor } of terms) {
    if (factor.op !== "axis" || coefficient !== stride) return null;
    axes.unshift(factor.axis);
    stride *= factor.axis.size;
  }
  return axes;
}
