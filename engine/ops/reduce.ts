/** Reductions over dims. */
import { anyDType, type DType, isFloating, numbers } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Combine, Expr } from "../kernel/ir.js";
import { normalizeDims, numel, type Shape, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkOptions, checkTensor } from "./check.js";
import { add, div, mul } from "./elementwise.js";
import { eq, isnan, logicalAnd, where } from "./elementwise-logic.js";
import { filledLike, iota } from "./leaf.js";
import { defineOp, type GradContext, type OpRecord, type Sample } from "./record.js";
import { alias, expandTo, flipOp, padWith, permute, reshapeTo, sliceOp } from "./view.js";

export type Ties = "first" | "sameNaN";

/** Distinct dims in ascending order, none negative. */
export interface ReduceAttrs extends Record<string, unknown> {
  readonly dims: readonly number[];
  readonly keepdim: boolean;
  /**
   * Which of equal extremes gets the gradient of `amax` and `amin`: the first in the order of `dims`, or (by default) all, in equal shares; NaN,
   * which gives NaN to all, is an extreme like others with "sameNaN".
   */
  readonly ties?: Ties;
}

export interface ReduceOptions {
  /** Default: all dims. */
  readonly dim?: number | readonly number[] | null;
  /** Whether reduced dims stay, with size 1. */
  readonly keepdim?: boolean;
}

/** The shape with reduced dims as 1. */
export const keptShape = (shape: Shape, dims: readonly number[]): number[] => shape.map((n, d) => (dims.includes(d) ? 1 : n));

const samples = (range?: readonly [number, number]): readonly Sample<ReduceAttrs>[] => [
  { shapes: [[2, 3, 4]], attrs: { dims: [1], keepdim: false }, range },
  { shapes: [[2, 3, 4]], attrs: { dims: [0, 2], keepdim: true }, range },
  { shapes: [[4]], attrs: { dims: [0], keepdim: false }, range },
  { shapes: [[0, 3]], attrs: { dims: [1], keepdim: false }, range },
];

/* @__NO_SIDE_EFFECTS__ */
function reduction(
  name: string,
  combine: Combine,
  dtypes: readonly DType[],
  doc: string,
  grad: (ctx: GradContext<ReduceAttrs>) => Tensor,
): OpRecord<ReduceAttrs> {
  return defineOp({
    name,
    doc,
    reference: `torch.${name}`,
    infer: ([x], { dims, keepdim }) => {
      if (!dtypes.includes(x.dtype))
        throw new OpError(name, `is not defined for ${x.dtype}; it takes ${dtypes.join(", ")}; cast with to(dtype)`);
      return { shape: keepdim ? keptShape(x.shape, dims) : x.shape.filter((_, d) => !dims.includes(d)), dtype: x.dtype };
    },
    lower: {
      kind: "reduce",
      combine,
      structure: null,
      axes: ({ attrs, inputs: [x] }) => attrs.dims.map((d) => x.shape[d]),
      body: ({ attrs, inputs: [x], input }, out, reduce) => input(0, reducedIndex(x.shape, attrs, out, reduce)),
      repeats: () => false,
      exact: combine === "max" || combine === "min",
    },
    grad: (ctx) => [grad(ctx)],
    samples: samples(),
  });
}

function reducedIndex(shape: Shape, { dims, keepdim }: ReduceAttrs, out: readonly Expr[], reduce: readonly Expr[]): Expr[] {
  let next = 0;
  return shape.map((_, d) => {
    const at = dims.indexOf(d);
    if (at >= 0) return reduce[at];
    return keepdim ? out[d] : out[next++];
  });
}

/** A tensor of the output's shape, repeated along the reduced dims. */
const spread = (t: Tensor, x: Tensor, dims: readonly number[]): Tensor => expandTo(reshapeTo(t, keptShape(x.shape, dims)), x.shape);

export const sumOp = reduction("sum", "add", numbers, "The sum over dims; 0 over nothing.", ({ inputs: [x], grad, attrs }) =>
  spread(grad, x, attrs.dims),
);

/** How many steps from the first element along `dims` an element is, the last of `dims` running fastest. */
const placeAlong = (x: Tensor, dims: readonly number[]): Tensor =>
  dims.map((d, i) => mul(iota(x.shape, d, x.device), numel(dims.slice(i + 1).map((later) => x.shape[later])))).reduce((a, b) => add(a, b));

const equalOrNaN = (x: Tensor, top: Tensor): Tensor => (isFloating(x.dtype) ? where(isnan(top), isnan(x), eq(x, top)) : eq(x, top));

/**
 * The place along `dims` of the first element (of those where `among` is true) that equals the extreme, where NaN equals NaN; int32, the dims
 * kept with size 1.
 */
export function firstExtreme(x: Tensor, extreme: Tensor, dims: readonly number[], among?: Tensor): Tensor {
  const equal = equalOrNaN(x, spread(extreme, x, dims));
  const hit = among === undefined ? equal : logicalAnd(equal, among);
  return reduceWith(aminOp, where(hit, placeAlong(x, dims), numel(dims.map((d) => x.shape[d]))), dims, true);
}

function extremeGrad({ inputs: [x], output, grad, attrs: { dims, ties } }: GradContext<ReduceAttrs>): Tensor {
  if (ties === "first") {
    const chosen = firstExtreme(x.detach(), output.detach(), dims);
    return where(eq(placeAlong(x, dims), expandTo(chosen, x.shape)), spread(grad, x, dims), 0);
  }
  const top = spread(output, x, dims);
  const hit = ties === "sameNaN" ? equalOrNaN(x, top) : eq(x, top);
  const mask = cast(hit, x.dtype);
  const share = div(reshapeTo(grad, keptShape(x.shape, dims)), apply(sumOp, [mask], { dims, keepdim: true }));
  return mul(mask, expandTo(share, x.shape));
}

export const amaxOp = reduction(
  "amax",
  "max",
  anyDType,
  "The largest over dims; NaN if any is. Equal largest elements share the gradient.",
  extremeGrad,
);
export const aminOp = reduction(
  "amin",
  "min",
  anyDType,
  "The smallest over dims; NaN if any is. Equal smallest elements share the gradient.",
  extremeGrad,
);
export const prodOp = reduction(
  "prod",
  "mul",
  numbers,
  "The product over dims; 1 over nothing.",
  ({ inputs: [x], grad, attrs: { dims } }) => mul(spread(grad, x, dims), productOfOthers(x, dims)),
);

/**
 * For each element the product of all the others along dims, without dividing, so that zeros are no trouble: products of pairs going up
 * a tree, and each node's product of others going down is its parent's times its sibling.
 */
function productOfOthers(x: Tensor, dims: readonly number[]): Tensor {
  const kept = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const order = [...kept, ...dims];
  const outer = kept.map((d) => x.shape[d]);
  const count = numel(dims.map((d) => x.shape[d]));
  const length = 2 ** Math.ceil(Math.log2(Math.max(count, 1)));
  const line = reshapeTo(permute(x, order), [...outer, count]);
  const last = outer.length;
  const cut = (before: number, after: number): [number[], number[]] => [
    [...outer.map(() => 0), before],
    [...outer.map(() => 0), after],
  ];
  const levels = [padWith(line, ...cut(0, length - count), 1)];
  const half = (t: Tensor, start: number): Tensor =>
    apply(sliceOp, [t], { start: [...outer.map(() => 0), start], size: [...outer, t.shape[last] / 2], step: [...outer.map(() => 1), 2] });
  while (levels[0].shape[last] > 2) levels.unshift(mul(half(levels[0], 0), half(levels[0], 1)));
  let others: Tensor | null = null;
  for (const level of levels) {
    const n = level.shape[last];
    if (n === 1) continue;
    const siblings = apply(flipOp, [reshapeTo(level, [...outer, n / 2, 2])], { dims: [last + 1] });
    const both: Tensor = others === null ? siblings : mul(siblings, reshapeTo(others, [...outer, n / 2, 1]));
    others = reshapeTo(both, [...outer, n]);
  }
  const flat = others === null ? filledLike(line, 1) : padWith(others, ...cut(0, count - length), 0);
  const back = new Array<number>(order.length);
  order.forEach((d, i) => {
    back[d] = i;
  });
  return permute(
    reshapeTo(
      flat,
      order.map((d) => x.shape[d]),
    ),
    back,
  );
}

/** Sums over dims that are given as a plain ascending list, removing them; for internal use. */
export const sumOver = (x: Tensor, dims: readonly number[]): Tensor => reduceWith(sumOp, x, dims, false);

/** Applies a reduction record; a reduction over nothing but dims of size 1 is a reshape. */
export function reduceWith(record: OpRecord<ReduceAttrs>, x: Tensor, dims: readonly number[], keepdim: boolean, ties?: Ties): Tensor {
  if (dims.every((d) => x.shape[d] === 1)) {
    return alias(reshapeTo(x, keepdim ? x.shape : x.shape.filter((_, d) => !dims.includes(d))));
  }
  return apply(record, [x], { dims: [...dims].sort((a, b) => a - b), keepdim, ...(ties && { ties }) });
}

/** The common front of reductions: checks, and the list of dims. */
export function reduceDims(
  op: string,
  x: Tensor,
  options: ReduceOptions | undefined,
  extra: readonly string[] = [],
): { dims: number[]; keepdim: boolean } {
  checkTensor(op, x);
  checkOptions(op, options, ["dim", "keepdim", ...extra]);
  return { dims: normalizeDims(op, options?.dim, x.ndim), keepdim: options?.keepdim ?? false };
}

/** The sum over `dim` (default: all). Integers and booleans give int32; over nothing it is 0. Reference: torch.sum. */
export function sum(x: Tensor, options?: ReduceOptions & { readonly dtype?: DType }): Tensor {
  const { dims, keepdim } = reduceDims("sum", x, options, ["dtype"]);
  return reduceWith(sumOp, cast(x, options?.dtype ?? (isFloating(x.dtype) ? x.dtype : "int32")), dims, keepdim);
}

/** The product over `dim` (default: all). Integers and booleans give int32; over nothing it is 1. Reference: torch.prod. */
export function prod(x: Tensor, options?: ReduceOptions & { readonly dtype?: DType }): Tensor {
  const { dims, keepdim } = reduceDims("prod", x, options, ["dtype"]);
  return reduceWith(prodOp, cast(x, options?.dtype ?? (isFloating(x.dtype) ? x.dtype : "int32")), dims, keepdim);
}

function notEmpty(op: string, x: Tensor, dims: readonly number[]): void {
  const empty = dims.find((d) => x.shape[d] === 0);
  if (empty !== undefined)
    throw new OpError(op, `dim ${empty} of ${showShape(x.shape)} has size 0: nothing has no extreme; reduce over other dims`);
}

/** The largest over `dim` (default: all); NaN if any is; equal largest elements share the gradient. Reference: torch.amax. */
export function amax(x: Tensor, options?: ReduceOptions): Tensor {
  const { dims, keepdim } = reduceDims("amax", x, options);
  notEmpty("amax", x, dims);
  return reduceWith(amaxOp, x, dims, keepdim);
}

/** The smallest over `dim` (default: all); NaN if any is; equal smallest elements share the gradient. Reference: torch.amin. */
export function amin(x: Tensor, options?: ReduceOptions): Tensor {
  const { dims, keepdim } = reduceDims("amin", x, options);
  notEmpty("amin", x, dims);
  return reduceWith(aminOp, x, dims, keepdim);
}

/** Whether any element along `dim` (default: all) is true (≠ 0); false over nothing. Reference: torch.any. */
export function any(x: Tensor, options?: ReduceOptions): Tensor {
  const { dims, keepdim } = reduceDims("any", x, options);
  return reduceWith(amaxOp, cast(x, "bool"), dims, keepdim);
}

/** Whether all elements along `dim` (default: all) are true (≠ 0); true over nothing. Reference: torch.all. */
export function all(x: Tensor, options?: ReduceOptions): Tensor {
  const { dims, keepdim } = reduceDims("all", x, options);
  return reduceWith(aminOp, cast(x, "bool"), dims, keepdim);
}
