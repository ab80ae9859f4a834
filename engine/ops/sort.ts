/**
 * Order along a dim. Two records do the work, both plain loops that every backend can print: `rank` counts for each element how many go
 * before it, and `reorder` moves elements to their places and, as its own adjoint, gradients back.
 *
 * Counting takes n² comparisons a line, all of them independent and in an order that nothing can change. That is the best there is for
 * short lines (an exchange network needs log² n kernels), and hopeless for long ones: above `LONGEST_COUNTED` the order comes from the
 * host (`hostCall`), by the same comparison. Both give the same integers, so the choice, made by shape alone, cannot be seen in a result.
 */
import { hostArray, isFloating, numbers, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Expr } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { normalizeDim, numel, type Shape, sameShape, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkInteger, checkOptions, checkTensor } from "./check.js";
import { hostCall } from "./host.js";
import { scatterSumOp, sliceTo } from "./index.js";
import { filled, iota } from "./leaf.js";
import { defineOp, nonDifferentiable, type OpRecord } from "./record.js";
import { alias, reshapeTo } from "./view.js";

/** Lines up to this length are ranked by counting. */
export const LONGEST_COUNTED = 256;

interface RankAttrs extends Record<string, unknown> {
  readonly dim: number;
  readonly descending: boolean;
}

/** a < b in an order in which NaN is the largest, and all NaN are equal. */
function below(pool: ExprPool, a: Expr, b: Expr): Expr {
  if (!isFloating(a.dtype)) return pool.call("lt", [a, b]);
  const less = pool.or(pool.call("isNaN", [b]), pool.call("lt", [a, b]));
  return pool.and(pool.call("not", [pool.call("isNaN", [a])]), less);
}

export const rankOp: OpRecord<RankAttrs> = defineOp<RankAttrs>({
  name: "rank",
  doc: "How many elements along a dim go before each one in sorted order, int32; equal elements keep their order, NaN counts as largest.",
  reference: "torch.argsort (its inverse)",
  infer: ([x], { dim }) => {
    if (!numbers.includes(x.dtype)) throw new OpError("sort", `is not defined for ${x.dtype}; it takes ${numbers.join(", ")}`);
    if (!(dim in x.shape)) throw new OpError("sort", `${showShape(x.shape)} has no dim ${dim}`);
    return { shape: x.shape, dtype: "int32" };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: null,
    axes: ({ attrs, inputs: [x] }) => [x.shape[attrs.dim]],
    body: ({ pool, attrs: { dim, descending }, input }, out, [r]) => {
      const mine = input(0, out);
      const other = input(
        0,
        out.map((e, d) => (d === dim ? r : e)),
      );
      const [low, high] = descending ? [mine, other] : [other, mine];
      // The other goes before where it is smaller, and among equals where it comes first.
      const earlier = pool.and(pool.lt(r, out[dim]), pool.call("not", [below(pool, high, low)]));
      return pool.where(pool.or(below(pool, low, high), earlier), pool.int(1), pool.int(0));
    },
    repeats: () => true,
  },
  grad: nonDifferentiable,
  samples: [
    { shapes: [[2, 4]], attrs: { dim: 1, descending: false } },
    { shapes: [[4, 3]], attrs: { dim: 0, descending: true }, dtypes: ["int32"], data: [[1, 2, 2, 1, 0, 2, 3, 3, 3, 1, 1, 1]] },
    { shapes: [[0, 3]], attrs: { dim: 1, descending: false } },
  ],
});

export const reorderOp: OpRecord<{ readonly dim: number }> = defineOp<{ readonly dim: number }>({
  name: "reorder",
  doc: "out[.., p, ..] = x[.., order[.., p, ..], ..] along a dim, 0 where order lies outside. Input 2, `place`, undoes it: place[order[p]] = p, so that the gradient is a reordering too.",
  reference: "torch.gather by a permutation",
  infer: ([x, order, place], { dim }) => {
    for (const index of [order, place]) {
      if (index.dtype !== "int32") throw new OpError("reorder", `order and place must be int32; got ${index.dtype}`);
    }
    const fits = order.shape.length === x.shape.length && order.shape.every((n, d) => d === dim || n === x.shape[d]);
    if (!fits || !sameShape(place.shape, x.shape))
      throw new OpError("reorder", `order ${showShape(order.shape)} and place ${showShape(place.shape)} do not fit ${showShape(x.shape)}`);
    return { shape: order.shape, dtype: x.dtype };
  },
  lower: {
    kind: "gather",
    value: ({ pool, attrs: { dim }, inputs: [x], input }, out) => {
      const size = x.shape[dim];
      const order = input(1, out);
      const at = pool.min(pool.max(order, pool.int(0)), pool.int(Math.max(size - 1, 0)));
      const value = input(
        0,
        out.map((e, d) => (d === dim ? at : e)),
      );
      return pool.where(pool.call("eq", [at, order]), value, pool.const(0, x.dtype));
    },
  },
  grad: ({ inputs: [, order, place], grad, attrs }) => [apply(reorderOp, [grad, place, order], attrs), null, null],
  samples: [
    {
      shapes: [
        [2, 3],
        [2, 3],
        [2, 3],
      ],
      attrs: { dim: 1 },
      data: [null, [2, 0, 1, 0, 1, 2], [1, 2, 0, 0, 1, 2]],
    },
    { shapes: [[4], [2], [4]], attrs: { dim: 0 }, data: [null, [3, 0], [1, 2, 3, 0]] },
  ],
});

/** Order and places of every line, by the comparison of `rank`. */
function orderOnHost(x: TypedArray, shape: Shape, dim: number, descending: boolean, k: number): Int32Array[] {
  const n = shape[dim];
  const step = numel(shape.slice(dim + 1));
  const before = (a: number, b: number): boolean => !Number.isNaN(a) && (Number.isNaN(b) || a < b);
  const outer = x.length / Math.max(n * step, 1);
  const [order, place] = [new Int32Array(outer * k * step), new Int32Array(x.length)];
  const line = hostArray(isInts(x) ? "int32" : "float64", n);
  const sorted = new Int32Array(n);
  const sign = descending ? -1 : 1;
  for (let o = 0; o < outer; o++) {
    for (let s = 0; s < step; s++) {
      for (let i = 0; i < n; i++) {
        line[i] = x[(o * n + i) * step + s];
        sorted[i] = i;
      }
      sorted.sort((i, j) => (before(line[i], line[j]) ? -sign : before(line[j], line[i]) ? sign : i - j));
      for (let p = 0; p < n; p++) {
        if (p < k) order[(o * k + p) * step + s] = sorted[p];
        place[(o * n + sorted[p]) * step + s] = p;
      }
    }
  }
  return [order, place];
}

const isInts = (x: TypedArray): boolean => x instanceof Int32Array;

interface Order {
  /** Which element comes p-th, for the first k places. */
  readonly order: Tensor;
  /** At which place each element comes. */
  readonly place: Tensor;
}

function orderOf(op: string, x: Tensor, dim: number, descending: boolean, k: number): Order {
  const values = x.dtype === "bool" ? cast(x, "int32") : x.detach();
  const first = x.shape.map((n, d) => (d === dim ? k : n));
  if (x.shape[dim] > LONGEST_COUNTED) {
    const [order, place] = hostCall(
      ([data]) => orderOnHost(data, x.shape, dim, descending, k),
      [values],
      [
        { shape: first, dtype: "int32" },
        { shape: x.shape, dtype: "int32" },
      ],
      { name: op },
    );
    return { order, place };
  }
  const place = apply(rankOp, [values], { dim, descending });
  // Each place is taken once: a sum over the elements that want it is the one that does. Those beyond the first k want none that is there.
  const order = apply(scatterSumOp, [place, iota(x.shape, dim, x.device)], { dim, size: k, op, checked: true, shape: first });
  return { order, place };
}

/** Values in order, and where they were. */
export interface Sorted {
  readonly values: Tensor;
  /** int32: where the values were along the dim. */
  readonly indices: Tensor;
}

function ordered(op: string, x: Tensor, dim: number, descending: boolean, k: number | null): Sorted {
  checkInteger(op, dim, "dim");
  const at = normalizeDim(op, dim, x.ndim);
  const wide = x.ndim === 0 ? reshapeTo(x, [1]) : x;
  const n = wide.shape[at];
  const count = k ?? n;
  if (count < 0 || count > n)
    throw new OpError(op, `k = ${count} is out of range: dim ${dim} of ${showShape(x.shape)} has ${n} elements, so k is 0 to ${n}`);
  const shape = x.ndim === 0 && count === 1 ? [] : wide.shape.map((size, d) => (d === at ? count : size));
  if (n <= 1 || wide.numel === 0 || count === 0) {
    return { values: alias(sliceTo(count === n ? reshapeTo(wide, shape) : wide, shape)), indices: filled(0, shape, "int32", x.device) };
  }
  const { order, place } = orderOf(op, wide, at, descending, count);
  return { values: apply(reorderOp, [wide, order, place], { dim: at }), indices: order };
}

export interface SortOptions {
  /** Default -1. */
  readonly dim?: number;
  /** From the largest down. Default false. */
  readonly descending?: boolean;
  /** Sorting is always stable; this changes nothing. */
  readonly stable?: boolean;
}

/**
 * The elements along `dim` in ascending order (`descending`: from the largest down) and, as int32, where they were. Equal elements keep
 * their order, both ways. NaN counts as the largest: last, and first when descending. Gradients go back to where the values came from.
 * Reference: torch.sort.
 */
export function sort(x: Tensor, options?: SortOptions): Sorted {
  checkTensor("sort", x);
  checkOptions("sort", options, ["dim", "descending", "stable"]);
  return ordered("sort", x, options?.dim ?? -1, options?.descending ?? false, null);
}

/** The indices that would sort `x` along `dim`, int32; see `sort` for ties and NaN. Reference: torch.argsort. */
export function argsort(x: Tensor, options?: SortOptions): Tensor {
  checkTensor("argsort", x);
  checkOptions("argsort", options, ["dim", "descending", "stable"]);
  return ordered("argsort", x.detach(), options?.dim ?? -1, options?.descending ?? false, null).indices;
}

export interface TopkOptions {
  /** Default -1. */
  readonly dim?: number;
  /** The smallest if false. Default true. */
  readonly largest?: boolean;
  /** The results are in order in any case; this changes nothing. */
  readonly sorted?: boolean;
}

/**
 * The `k` largest (or smallest) elements along `dim`, in order, and where they were (int32). Among equal ones the first are taken; NaN
 * counts as the largest. Throws where the dim has fewer than `k`. Reference: torch.topk.
 */
export function topk(x: Tensor, k: number, options?: TopkOptions): Sorted {
  checkTensor("topk", x);
  checkInteger("topk", k, "k");
  checkOptions("topk", options, ["dim", "largest", "sorted"]);
  return ordered("topk", x, options?.dim ?? -1, options?.largest ?? true, k);
}
