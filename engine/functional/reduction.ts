/** Reductions: the primitives under their public names, and what is composed of them. */
import { isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkInteger, checkOptions, checkTensor, floatingType } from "../ops/check.js";
import { abs, add, div, mul, pow, sub } from "../ops/elementwise.js";
import { exp, log, sqrt } from "../ops/elementwise-float.js";
import { eq, le, ne, where } from "../ops/elementwise-logic.js";
import { gatherAt } from "../ops/index.js";
import { filled, iota } from "../ops/leaf.js";
import { amaxOp, aminOp, firstExtreme, keptShape, prodOp, type ReduceOptions, reduceDims, reduceWith, sumOp } from "../ops/reduce.js";
import { alias, expandTo, reshapeTo } from "../ops/view.js";
import { normalizeDim, numel, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

export type { ReduceOptions } from "../ops/reduce.js";
export { all, amax, amin, any, prod, sum } from "../ops/reduce.js";
export { cumsum } from "../ops/scan.js";

const countOf = (x: Tensor, dims: readonly number[]): number => numel(dims.map((d) => x.shape[d]));

function mustFloat(op: string, x: Tensor): void {
  checkTensor(op, x);
  if (!isFloating(x.dtype)) throw new OpError(op, `is defined for float32 and float64; got ${x.dtype}; cast it with to("float32")`);
}

/** The mean over `dim` (default: all); NaN over nothing. Throws for integers and booleans. Reference: torch.mean. */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  mustFloat("mean", x);
  const { dims, keepdim } = reduceDims("mean", x, options);
  return div(reduceWith(sumOp, x, dims, keepdim), countOf(x, dims));
}

export interface VarianceOptions extends ReduceOptions {
  /** Divide by the count less 1 (default). */
  readonly unbiased?: boolean;
  /** What is taken off the count, in place of `unbiased`. */
  readonly correction?: number | null;
}

function variance(op: string, x: Tensor, options: VarianceOptions | undefined): Tensor {
  mustFloat(op, x);
  const { dims, keepdim } = reduceDims(op, x, options, ["unbiased", "correction"]);
  const { unbiased, correction } = options ?? {};
  if (unbiased !== undefined && correction !== undefined && correction !== null)
    throw new OpError(op, "give unbiased or correction, not both");
  const off = correction ?? (unbiased === false ? 0 : 1);
  if (typeof off !== "number") throw new OpError(op, `correction must be a number; got ${String(off)}`);
  const count = countOf(x, dims);
  const centre = div(reduceWith(sumOp, x, dims, true), count);
  const apart = sub(x, expandTo(centre, x.shape));
  return div(reduceWith(sumOp, mul(apart, apart), dims, keepdim), Math.max(count - off, 0));
}

/**
 * The variance over `dim` (default: all): squared distances from the mean over count − 1, in two passes. NaN where the divisor is 0.
 * Throws for integers and booleans. Reference: torch.var.
 */
function varianceOf(x: Tensor, options?: VarianceOptions): Tensor {
  return variance("var", x, options);
}

export { varianceOf as var };

/** √x whose gradient at 0 is 0, where that of the root is infinite. */
function flatRoot(x: Tensor): Tensor {
  const zero = eq(x, 0);
  return where(zero, 0, sqrt(where(zero, 1, x)));
}

/** The standard deviation: the root of `var`, with gradient 0 where it is 0. Reference: torch.std. */
export const std = (x: Tensor, options?: VarianceOptions): Tensor => flatRoot(variance("std", x, options));

/** log Σ e^x over `dim` (a number or a list), safe for large x; −∞ over nothing. Reference: torch.logsumexp. */
export function logsumexp(x: Tensor, dim: number | readonly number[], options?: { readonly keepdim?: boolean }): Tensor {
  checkTensor("logsumexp", x);
  checkOptions("logsumexp", options, ["keepdim"]);
  const { dims, keepdim } = reduceDims("logsumexp", x, { dim, keepdim: options?.keepdim });
  const values = cast(x, floatingType(x.dtype));
  if (countOf(x, dims) === 0) return log(reduceWith(sumOp, exp(values), dims, keepdim));
  const top = reduceWith(amaxOp, values.detach(), dims, true);
  const shift = where(eq(abs(top), Number.POSITIVE_INFINITY), 0, top);
  const sum = log(reduceWith(sumOp, exp(sub(values, expandTo(shift, x.shape))), dims, keepdim));
  return add(sum, reshapeTo(shift, sum.shape));
}

export interface VectorNormOptions extends ReduceOptions {
  /** 2 (default; also "fro"), 1, 0 (counts what is not 0), Infinity, -Infinity, or any other number. */
  readonly p?: number | "fro" | "inf" | "-inf";
}

function normOf(op: string, x: Tensor, order: number | string, dims: number[], keepdim: boolean): Tensor {
  mustFloat(op, x);
  const p = typeof order === "string" ? orders[order] : order;
  if (typeof p !== "number" || Number.isNaN(p)) {
    const why = order === "nuc" ? "; the nuclear norm needs singular values, which there are none of" : "";
    throw new OpError(op, `the order must be a number, "fro", "inf" or "-inf"; got ${String(order)}${why}`);
  }
  if (!Number.isFinite(p)) {
    if (countOf(x, dims) === 0 && numel(x.shape.filter((_, d) => !dims.includes(d))) > 0) {
      throw new OpError(op, `nothing has no norm of order ${p}: ${showShape(x.shape)} has a reduced dim of size 0`);
    }
    return reduceWith(p > 0 ? amaxOp : aminOp, abs(x), dims, keepdim, "sameNaN");
  }
  if (p === 0) return reduceWith(sumOp, cast(ne(x, 0), x.dtype), dims, keepdim);
  if (p === 1) return reduceWith(sumOp, abs(x), dims, keepdim);
  if (p === 2) return flatRoot(reduceWith(sumOp, mul(x, x), dims, keepdim));
  const size = abs(x);
  const zero = eq(x, 0);
  // |x|^p has an infinite slope at 0 for p < 1; PyTorch calls it 0.
  const powers = p < 1 ? where(zero, p < 0 ? Number.POSITIVE_INFINITY : 0, pow(where(zero, 1, size), p)) : pow(size, p);
  const total = reduceWith(sumOp, powers, dims, keepdim);
  const none = eq(total, 0);
  return where(none, p < 0 ? Number.POSITIVE_INFINITY : 0, pow(where(none, 1, total), 1 / p));
}

const orders: Readonly<Record<string, number>> = { fro: 2, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY };

/** (Σ |x|^p)^(1/p) over `dim` (default: all), as of one long vector. The gradient is 0 where the norm is 0. Reference: torch.norm. */
export function norm(x: Tensor, options?: VectorNormOptions): Tensor {
  const { dims, keepdim } = reduceDims("norm", x, options, ["p"]);
  return normOf("norm", x, options?.p ?? 2, dims, keepdim);
}

/** (Σ |x|^ord)^(1/ord) over `dim` (default: all); `ord` defaults to 2. Reference: torch.linalg.vector_norm. */
export function vectorNorm(x: Tensor, options?: ReduceOptions & { readonly ord?: number | "inf" | "-inf" }): Tensor {
  const { dims, keepdim } = reduceDims("vectorNorm", x, options, ["ord"]);
  return normOf("vectorNorm", x, options?.ord ?? 2, dims, keepdim);
}

/** The first index of the extreme along a dim, which keeps size 1. NaN counts as the extreme. */
function extremeIndex(x: Tensor, dim: number, largest: boolean): Tensor {
  const values = x.detach();
  return firstExtreme(values, reduceWith(largest ? amaxOp : aminOp, values, [dim], true), [dim]);
}

export interface ArgOptions {
  /** Default: of the flattened tensor. */
  readonly dim?: number | null;
  readonly keepdim?: boolean;
}

function argExtreme(op: string, x: Tensor, options: ArgOptions | undefined, largest: boolean): Tensor {
  checkTensor(op, x);
  checkOptions(op, options, ["dim", "keepdim"]);
  const dim = options?.dim ?? null;
  if (dim === null) {
    if (x.numel === 0) throw new OpError(op, `${showShape(x.shape)} has no elements, so no extreme; give a dim that is not empty`);
    const index = extremeIndex(reshapeTo(x, [x.numel]), 0, largest);
    return reshapeTo(index, options?.keepdim ? x.shape.map(() => 1) : []);
  }
  return alongDim(op, x, dim, options?.keepdim ?? false, largest).indices;
}

function alongDim(op: string, x: Tensor, dim: number, keepdim: boolean, largest: boolean): { values: Tensor; indices: Tensor } {
  checkInteger(op, dim, "dim");
  const at = normalizeDim(op, dim, x.ndim);
  if (x.ndim === 0) return { values: alias(x), indices: filled(0, [], "int32", x.device) };
  if (x.shape[at] === 0) throw new OpError(op, `dim ${dim} of ${showShape(x.shape)} has size 0: nothing has no extreme`);
  const indices = extremeIndex(x, at, largest);
  const values = gatherAt(op, x, at, indices, true);
  const shape = keepdim ? keptShape(x.shape, [at]) : x.shape.filter((_, d) => d !== at);
  return { values: reshapeTo(values, shape), indices: reshapeTo(indices, shape) };
}

/** The first index of the largest element (NaN counts as largest), int32; without `dim` in the flattened tensor. Reference: torch.argmax. */
export const argmax = (x: Tensor, options?: ArgOptions): Tensor => argExtreme("argmax", x, options, true);

/** The first index of the smallest element (NaN counts as smallest), int32; without `dim` in the flattened tensor. Reference: torch.argmin. */
export const argmin = (x: Tensor, options?: ArgOptions): Tensor => argExtreme("argmin", x, options, false);

/** Extreme values along a dim, and where they are. */
export interface Extremes {
  readonly values: Tensor;
  /** int32; the first where several are equal. The gradient of `values` goes there. */
  readonly indices: Tensor;
}

/** A reduction along one dim. */
export interface AlongDim {
  readonly dim: number;
  readonly keepdim?: boolean;
}

/** A reduction of all elements to one. */
export interface Whole {
  readonly dim?: undefined | null;
}

function extreme(op: string, x: Tensor, options: AlongDim | Whole | undefined, largest: boolean): Tensor | Extremes {
  checkTensor(op, x);
  checkOptions(op, options, ["dim", "keepdim"]);
  if (typeof options?.dim === "number") return alongDim(op, x, options.dim, options.keepdim ?? false, largest);
  if (options?.dim !== undefined && options.dim !== null) throw new OpError(op, `dim must be a whole number; use a${op} for several dims`);
  if (x.numel === 0) throw new OpError(op, `${showShape(x.shape)} has no elements, so no extreme; give a dim that is not empty`);
  const dims = x.shape.map((_, d) => d);
  return reduceWith(largest ? amaxOp : aminOp, x, dims, false, "sameNaN");
}

/**
 * The largest element, NaN if any is (equal ones share the gradient); with `dim` the largest along it, and where. Reference: torch.max.
 */
export function max(x: Tensor, options?: Whole): Tensor;
export function max(x: Tensor, options: AlongDim): Extremes;
export function max(x: Tensor, options?: AlongDim | Whole): Tensor | Extremes {
  return extreme("max", x, options, true);
}

/**
 * The smallest element, NaN if any is (equal ones share the gradient); with `dim` the smallest along it, and where. Reference: torch.min.
 */
export function min(x: Tensor, options?: Whole): Tensor;
export function min(x: Tensor, options: AlongDim): Extremes;
export function min(x: Tensor, options?: AlongDim | Whole): Tensor | Extremes {
  return extreme("min", x, options, false);
}

/** How many elements along `dim` (default: all) are not 0, int32. Reference: torch.count_nonzero. */
export function countNonzero(x: Tensor, options?: { readonly dim?: number | readonly number[] | null }): Tensor {
  const { dims } = reduceDims("countNonzero", x, options);
  return reduceWith(sumOp, cast(ne(x, 0), "int32"), dims, false);
}

/** The running product along `dim`; integers and booleans give int32. Costs the square of the dim's length. Reference: torch.cumprod. */
export function cumprod(x: Tensor, dim: number): Tensor {
  checkTensor("cumprod", x);
  checkInteger("cumprod", dim, "dim");
  const at = normalizeDim("cumprod", dim, x.ndim);
  const values = cast(x, isFloating(x.dtype) ? x.dtype : "int32");
  if (x.ndim === 0) return reshapeTo(values, []);
  const n = x.shape[at];
  const split = (first: number, second: number): number[] => [...x.shape.slice(0, at), first, second, ...x.shape.slice(at + 1)];
  const [shape, wide] = [split(n, n), expandTo(reshapeTo(values, split(1, n)), split(n, n))];
  const reached = le(iota(shape, at + 1, x.device), iota(shape, at, x.device));
  return reduceWith(prodOp, where(reached, wide, 1), [at + 1], false);
}
