/** Reading and writing at indices: gather, scatter, and Python's square brackets. */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkInteger, checkOptions, checkTensor, hostValues } from "../ops/check.js";
import { add, mul } from "../ops/elementwise.js";
import { ge, logicalAnd, lt, where } from "../ops/elementwise-logic.js";
import {
  alongDim,
  checkIndexFits,
  checkIndexValues,
  gatherAt,
  lastWriterOp,
  prepareIndex,
  prepareSource,
  scatterAdd,
  scatterSumOp,
  unwritten,
} from "../ops/index.js";
import { filled } from "../ops/leaf.js";
import { operandTensor } from "../ops/operands.js";
import { alias, expandTo, padWith, permute, reshapeTo } from "../ops/view.js";
import { broadcastShapes, normalizeDim, numel, type Shape, sameShape, showShape } from "../shape.js";
import { apply, fromHost, Tensor } from "../tensor.js";
import { select, slice, unsqueeze } from "./movement.js";
import { scatterReduce } from "./select.js";

export { gather, scatterAdd } from "../ops/index.js";
export { maskedSelect, nonzero, type ScatterReduction, scatterReduce } from "./select.js";

function vectorIndex(op: string, x: Tensor, dim: number, index: Tensor): number {
  checkTensor(op, x);
  checkInteger(op, dim, "dim");
  checkTensor(op, index, "index");
  if (index.ndim > 1) throw new OpError(op, `the index must be a vector; got ${showShape(index.shape)}; use gather or getItem for more`);
  if (index.dtype !== "int32") throw new OpError(op, `the index must be int32; got ${index.dtype}; cast it with to("int32")`);
  return normalizeDim(op, dim, x.ndim);
}

/** The slices of `x` at `index` (a vector of int32) along `dim`. Throws for indices out of range. Reference: torch.index_select. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const at = vectorIndex("indexSelect", x, dim, index);
  if (x.ndim === 0 && index.numel !== 1) throw new OpError("indexSelect", `a tensor of rank 0 takes one index; got ${index.numel}`);
  const [wide, flat] = [x.ndim === 0 ? reshapeTo(x, [1]) : x, reshapeTo(index, [index.numel])];
  const known = checkIndexValues("indexSelect", index, wide.shape[at]);
  const result = gatherAt("indexSelect", wide, at, alongDim(flat, wide.shape, at), known);
  return x.ndim === 0 ? reshapeTo(result, []) : result;
}

/** `x` with alpha · source[j] added to its slice index[j] along `dim`, in order of j. Reference: torch.index_add. */
export function indexAdd(x: Tensor, dim: number, index: Tensor, source: Tensor, options?: { readonly alpha?: number }): Tensor {
  const at = vectorIndex("indexAdd", x, dim, index);
  checkTensor("indexAdd", source, "source");
  checkOptions("indexAdd", options, ["alpha"]);
  if (source.dtype !== x.dtype) throw new OpError("indexAdd", `source is ${source.dtype}, the input ${x.dtype}; cast one with to(dtype)`);
  if (x.dtype === "bool") return cast(indexAdd(cast(x, "int32"), dim, index, cast(source, "int32"), options), "bool");
  const [wide, from] = [x, source].map((t) => (t.ndim === 0 ? reshapeTo(t, [1]) : t));
  const expected = wide.shape.map((n, d) => (d === at ? index.numel : n));
  if (!sameShape(from.shape, expected)) {
    throw new OpError(
      "indexAdd",
      `source ${showShape(source.shape)} must be ${showShape(expected)}: the input's shape, with ${index.numel} slices along dim ${dim}`,
    );
  }
  const size = wide.shape[at];
  const checked = checkIndexValues("indexAdd", index, size);
  const places = alongDim(reshapeTo(index, [index.numel]), wide.shape, at);
  const sum = apply(scatterSumOp, [places, from], { dim: at, size, op: "indexAdd", checked, shape: wide.shape });
  return add(x, reshapeTo(sum, x.shape), { alpha: options?.alpha ?? 1 });
}

/**
 * `x` with src[.., j, ..] (or one number) written at index[.., j, ..] along `dim`; where several meet, the last one stays and has the
 * gradient. With `reduce` they are added to, or multiplied with, what is there. Index int32, no larger than `src`. Reference: torch.scatter.
 */
export function scatter(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor | number,
  options?: { readonly reduce?: "add" | "multiply" | null },
): Tensor {
  checkOptions("scatter", options, ["reduce"]);
  const reduce = options?.reduce ?? null;
  if (reduce !== null) {
    const reductions = { add: "sum", multiply: "prod" } as const;
    if (!Object.hasOwn(reductions, reduce))
      throw new OpError("scatter", `reduce is "${String(reduce)}"; expected "add" or "multiply", or use scatterReduce`);
    const source = src instanceof Tensor ? src : filled(src, index.shape, x.dtype, x.device);
    return reduce === "add" ? scatterAdd(x, dim, index, source) : scatterReduce(x, dim, index, source, reductions[reduce]);
  }
  const { at, x: wide, index: places } = prepareIndex("scatter", x, dim, index);
  const source = src instanceof Tensor ? prepareSource("scatter", wide, at, places, src) : src;
  if (typeof source !== "number" && !(source instanceof Tensor))
    throw new OpError("scatter", `src must be a tensor or a number; got ${String(src)}`);
  if (places.numel === 0) return source instanceof Tensor ? unwritten(x, source) : alias(x);
  checkIndexFits("scatter", places.shape, wide.shape, at, "the input");
  const size = wide.shape[at];
  const checked = checkIndexValues("scatter", places, size);
  const writer = apply(lastWriterOp, [places], { dim: at, size, op: "scatter", checked, shape: wide.shape });
  const written = ge(writer, 0);
  if (!(source instanceof Tensor)) return reshapeTo(where(written, operandTensor("scatter", source, x.dtype, x.device), wide), x.shape);
  const room = wide.shape.map((n, d) => (d === at ? 0 : n - places.shape[d]));
  const padded = padWith(
    source,
    room.map(() => 0),
    room,
    0,
  );
  const values = gatherAt("scatter", padded, at, where(written, writer, 0), true);
  return reshapeTo(where(written, values, wide), x.shape);
}

/** `value` (a number or a tensor of rank 0) where the mask (bool, broadcast) is true, else `x`. Reference: torch.masked_fill. */
export function maskedFill(x: Tensor, mask: Tensor, value: number | boolean | Tensor): Tensor {
  checkTensor("maskedFill", x);
  checkTensor("maskedFill", mask, "mask");
  if (mask.dtype !== "bool")
    throw new OpError("maskedFill", `the mask must be bool; got ${mask.dtype}; compare it, or cast it with to("bool")`);
  if (value instanceof Tensor && value.ndim > 0)
    throw new OpError("maskedFill", `the value must have rank 0; got ${showShape(value.shape)}; use where`);
  return where(mask, operandTensor("maskedFill", value, x.dtype, x.device), x);
}

/** Elements of `x` at `index` along `dim`, both broadcast in the other dims; without `dim` in the flattened tensors. Reference: torch.take_along_dim. */
export function takeAlongDim(x: Tensor, index: Tensor, options?: { readonly dim?: number | null }): Tensor {
  checkOptions("takeAlongDim", options, ["dim"]);
  const flat = options?.dim === undefined || options.dim === null;
  checkTensor("takeAlongDim", x);
  checkTensor("takeAlongDim", index, "index");
  const given = flat
    ? prepareIndex("takeAlongDim", reshapeTo(x, [x.numel]), 0, reshapeTo(index, [index.numel]))
    : prepareIndex("takeAlongDim", x, options.dim as number, index);
  const known = checkIndexValues("takeAlongDim", index, given.x.shape[given.at]);
  const without = (shape: Shape): number[] => shape.map((n, d) => (d === given.at ? 1 : n));
  const common = broadcastShapes("takeAlongDim", without(given.x.shape), without(given.index.shape));
  const grown = (t: Tensor): Tensor =>
    expandTo(
      t,
      common.map((n, d) => (d === given.at ? t.shape[d] : n)),
    );
  return gatherAt("takeAlongDim", grown(given.x), given.at, grown(given.index), known);
}

/** start:end:step, as in Python; the step is 1 or more. */
export interface SliceItem {
  readonly start?: number | null;
  readonly end?: number | null;
  readonly step?: number | null;
}

/** What stands between square brackets: an integer, a slice, "..." (all dims in between), null (a new dim), indices, a mask. */
export type IndexItem = number | boolean | null | "..." | SliceItem | Tensor | readonly number[];

/** How many dims of the tensor an item takes up. */
function taken(item: IndexItem): number {
  if (item === null || item === "..." || typeof item === "boolean") return 0;
  return item instanceof Tensor && item.dtype === "bool" ? item.ndim : 1;
}

/** The true places of a mask, one vector of indices a dim. They decide a shape, so the mask must be known. */
function placesOf(mask: Tensor): Tensor[] {
  const known = hostValues(mask);
  if (known === null) {
    throw new OpError(
      "getItem",
      "how many elements a mask picks decides the shape, so it must be known: use where or maskedFill, or make the mask from data",
    );
  }
  const places: number[][] = mask.shape.map(() => []);
  known.forEach((on, flat) => {
    if (on === 0) return;
    let rest = flat;
    for (let d = mask.ndim - 1; d >= 0; d--) {
      places[d].push(rest % mask.shape[d]);
      rest = Math.floor(rest / mask.shape[d]);
    }
  });
  return places.map((list) => fromHost(Int32Array.from(list), [list.length], "int32", mask.device));
}

/**
 * x[items], as Python has it: `getItem(x, [0, "...", { start: 1 }])`. Integers drop a dim, slices keep it, null adds one; index tensors
 * (int32, negative from the end) are broadcast together and stand where they were, or in front when something lies between them. Masks
 * (bool) pick where they are true and must be made from data. Throws for indices out of range. Reference: torch.Tensor.__getitem__.
 */
export function getItem(x: Tensor, items: readonly IndexItem[] | IndexItem): Tensor {
  checkTensor("getItem", x);
  const list: readonly IndexItem[] = Array.isArray(items) ? items : [items as IndexItem];
  const dots = list.filter((item) => item === "...").length;
  const used = list.reduce<number>((n, item) => n + taken(item), 0);
  if (dots > 1) throw new OpError("getItem", 'at most one "..." may stand among the items');
  if (used > x.ndim) throw new OpError("getItem", `${used} indices are too many for ${showShape(x.shape)} of rank ${x.ndim}`);

  let t = alias(x);
  let dim = 0;
  const advanced: { dim: number; index: Tensor }[] = [];
  for (const item of list) {
    if (item === "...") dim += x.ndim - used;
    else if (item === null) t = unsqueeze(t, dim++);
    else if (typeof item === "boolean") {
      t = unsqueeze(t, dim);
      advanced.push({ dim: dim++, index: fromHost(Int32Array.from(item ? [0] : []), [item ? 1 : 0], "int32", x.device) });
    } else if (typeof item === "number") t = select(t, dim, item);
    else if (item instanceof Tensor && item.dtype === "bool") {
      const sizes = t.shape.slice(dim, dim + item.ndim);
      if (!sameShape(item.shape, sizes))
        throw new OpError("getItem", `the mask ${showShape(item.shape)} stands at dims of sizes ${showShape(sizes)}; they must be equal`);
      if (item.ndim === 0) throw new OpError("getItem", "a mask of rank 0 is not taken; pass true or false");
      for (const index of placesOf(item)) advanced.push({ dim: dim++, index });
    } else if (item instanceof Tensor || Array.isArray(item)) {
      const index =
        item instanceof Tensor
          ? item
          : fromHost(Int32Array.from(item as readonly number[]), [(item as readonly number[]).length], "int32", x.device);
      if (index.dtype !== "int32")
        throw new OpError("getItem", `index tensors are int32 or bool; got ${index.dtype}; cast it with to("int32")`);
      advanced.push({ dim: dim++, index });
    } else t = sliced(t, dim++, item as SliceItem);
  }
  return advanced.length === 0 ? t : pick(t, advanced);
}

function sliced(t: Tensor, dim: number, item: SliceItem): Tensor {
  checkOptions("getItem", item, ["start", "end", "step"]);
  return slice(t, { dim, start: item.start, end: item.end, step: item.step ?? 1 });
}

/** Index tensors at some dims: these dims are brought together and flattened, and so are the indices. */
function pick(t: Tensor, advanced: readonly { readonly dim: number; readonly index: Tensor }[]): Tensor {
  const dims = advanced.map((a) => a.dim);
  const sizes = dims.map((d) => t.shape[d]);
  let known = true;
  const positive = advanced.map(({ index }, i) => {
    const inRange = checkIndexValues("getItem", index, sizes[i], -sizes[i]);
    known &&= inRange;
    return where(lt(index, 0), add(index, sizes[i]), index);
  });
  const shape = broadcastShapes("getItem", ...positive.map((p) => p.shape));
  let flat = positive.reduce((sum, p, i) => (i === 0 ? p : add(mul(sum, sizes[i]), p)));
  if (!known && dims.length > 1) {
    // A single index out of range could hide in the sum; -1 never does.
    const valid = positive.map((p, i) => logicalAnd(ge(p, 0), lt(p, sizes[i]))).reduce((a, b) => logicalAnd(a, b));
    flat = where(valid, flat, -1);
  }
  const together = dims.every((d, i) => i === 0 || d === dims[i - 1] + 1);
  const front = together ? dims[0] : 0;
  const rest = t.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const [before, after] = [rest.slice(0, front), rest.slice(front)];
  const sizesOf = (list: readonly number[]): number[] => list.map((d) => t.shape[d]);
  const table = reshapeTo(permute(t, [...before, ...dims, ...after]), [...sizesOf(before), numel(sizes), ...sizesOf(after)]);
  const index = alongDim(reshapeTo(expandTo(flat, shape), [numel(shape)]), table.shape, front);
  return reshapeTo(gatherAt("getItem", table, front, index, known), [...sizesOf(before), ...shape, ...sizesOf(after)]);
}
