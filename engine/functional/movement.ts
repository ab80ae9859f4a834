/** Functions that rearrange: the primitives under their public names, and what is composed of them. */
import { OpError } from "../errors.js";
import { checkInteger, checkIntegers, checkOptions, checkTensor, checkTensors, hostValues } from "../ops/check.js";
import { cat } from "../ops/concat.js";
import { add } from "../ops/elementwise.js";
import { iota } from "../ops/leaf.js";
import { alias, broadcastTo, expandTo, permute, reshapeTo, type SliceAttrs, sliceOp } from "../ops/view.js";
import { broadcastShapes, normalizeDim, numel, type Shape, sameShape, showShape } from "../shape.js";
import { apply, fromHost, Tensor } from "../tensor.js";
import { indexSelect } from "./indexing.js";

export { cat } from "../ops/concat.js";
export { broadcastTo, expand, flip, permute, reshape } from "../ops/view.js";
export { type PadMode, pad } from "./padding.js";
export { diag, diagonal, tril, triu } from "./triangle.js";
export { fold, unfold, unfoldDim } from "./unfold.js";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Two dims exchanged. Reference: torch.transpose. */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  checkTensor("transpose", x);
  const [a, b] = [normalizeDim("transpose", dim0, x.ndim), normalizeDim("transpose", dim1, x.ndim)];
  return permute(
    x,
    range(x.ndim).map((d) => (d === a ? b : d === b ? a : d)),
  );
}

/** Two dims exchanged, under NumPy's name. Reference: torch.swapaxes. */
export const swapaxes = (x: Tensor, axis0: number, axis1: number): Tensor => transpose(x, axis0, axis1);

/** Dims `source` go to the places `destination`; the others keep their order. Reference: torch.movedim. */
export function movedim(x: Tensor, source: number | readonly number[], destination: number | readonly number[]): Tensor {
  checkTensor("movedim", x);
  const [from, to] = [source, destination].map((dims) => (typeof dims === "number" ? [dims] : dims));
  checkIntegers("movedim", from, "source");
  checkIntegers("movedim", to, "destination");
  if (from.length !== to.length)
    throw new OpError("movedim", `source ${showShape(from)} and destination ${showShape(to)} must name equally many dims`);
  const [a, b] = [from, to].map((dims) => dims.map((d) => normalizeDim("movedim", d, x.ndim)));
  for (const dims of [a, b])
    if (new Set(dims).size !== dims.length) throw new OpError("movedim", `${showShape(dims)} names a dimension twice`);
  if (x.ndim === 0) return alias(x);
  const rest = range(x.ndim).filter((d) => !a.includes(d));
  return permute(
    x,
    range(x.ndim).map((d) => (b.includes(d) ? a[b.indexOf(d)] : (rest.shift() as number))),
  );
}

/** Drops dims of size 1: all of them, or those of `dim` that have it. Reference: torch.squeeze. */
export function squeeze(x: Tensor, options?: { readonly dim?: number | readonly number[] }): Tensor {
  checkTensor("squeeze", x);
  checkOptions("squeeze", options, ["dim"]);
  const dim = options?.dim;
  const dims = dim === undefined ? range(x.ndim) : (typeof dim === "number" ? [dim] : dim).map((d) => normalizeDim("squeeze", d, x.ndim));
  return alias(
    reshapeTo(
      x,
      x.shape.filter((n, d) => n !== 1 || !dims.includes(d)),
    ),
  );
}

/** A new dim of size 1 at `dim`, -rank - 1 to rank. Reference: torch.unsqueeze. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  checkTensor("unsqueeze", x);
  checkInteger("unsqueeze", dim, "dim");
  if (dim < -x.ndim - 1 || dim > x.ndim) {
    throw new OpError(
      "unsqueeze",
      `dim ${dim} is out of range: ${showShape(x.shape)} has places for a new dim from ${-x.ndim - 1} to ${x.ndim}`,
    );
  }
  const at = dim < 0 ? dim + x.ndim + 1 : dim;
  return reshapeTo(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Dims `startDim` to `endDim` (default: all) become one; rank 0 gives [1]. Reference: torch.flatten. */
export function flatten(x: Tensor, options?: { readonly startDim?: number; readonly endDim?: number }): Tensor {
  checkTensor("flatten", x);
  checkOptions("flatten", options, ["startDim", "endDim"]);
  const [start, end] = [normalizeDim("flatten", options?.startDim ?? 0, x.ndim), normalizeDim("flatten", options?.endDim ?? -1, x.ndim)];
  if (start > end) throw new OpError("flatten", `startDim ${start} lies behind endDim ${end}`);
  return alias(reshapeTo(x, [...x.shape.slice(0, start), numel(x.shape.slice(start, end + 1)), ...x.shape.slice(end + 1)]));
}

/** Dim `dim` split into several of the given sizes; one may be -1. Reference: torch.unflatten. */
export function unflatten(x: Tensor, dim: number, sizes: Shape): Tensor {
  checkTensor("unflatten", x);
  checkIntegers("unflatten", sizes, "sizes");
  const at = normalizeDim("unflatten", dim, x.ndim);
  const known = numel(sizes.filter((n) => n !== -1));
  const full = sizes.map((n) => (n === -1 ? x.shape[at] / known : n));
  if (full.some((n) => !Number.isInteger(n) || n < 0) || numel(full) !== x.shape[at]) {
    throw new OpError("unflatten", `sizes ${showShape(sizes)} do not make up dim ${dim} of ${showShape(x.shape)}`);
  }
  return reshapeTo(x, [...x.shape.slice(0, at), ...full, ...x.shape.slice(at + 1)]);
}

/** `x` repeated to the shape of `other`. Reference: torch.Tensor.expand_as. */
export function expandAs(x: Tensor, other: Tensor): Tensor {
  checkTensor("expandAs", other, "other");
  return broadcastTo(x, other.shape);
}

/** All tensors repeated to their common shape. Reference: torch.broadcast_tensors. */
export function broadcastTensors(tensors: readonly Tensor[]): Tensor[] {
  checkTensors("broadcastTensors", tensors);
  const shape = broadcastShapes("broadcastTensors", ...tensors.map((t) => t.shape));
  return tensors.map((t) => alias(expandTo(t, shape)));
}

/** Tensors of equal shapes along a new dim (default 0). Throws for an empty list. Reference: torch.stack. */
export function stack(tensors: readonly Tensor[], options?: { readonly dim?: number }): Tensor {
  checkTensors("stack", tensors);
  checkOptions("stack", options, ["dim"]);
  if (tensors.length === 0) throw new OpError("stack", "the list of tensors is empty; give at least one");
  const [{ shape, ndim }] = tensors;
  tensors.forEach((t, i) => {
    if (!sameShape(t.shape, shape))
      throw new OpError("stack", `tensor ${i} has shape ${showShape(t.shape)}, tensor 0 ${showShape(shape)}; all must be equal`);
  });
  const dim = normalizeDim("stack", options?.dim ?? 0, ndim + 1);
  return cat(
    tensors.map((t) => unsqueeze(t, dim)),
    { dim },
  );
}

function cut(x: Tensor, dim: number, start: number, size: number, step = 1): Tensor {
  if (start === 0 && step === 1 && size === x.shape[dim]) return alias(x);
  const at = <T>(value: T, others: (n: number) => T): T[] => x.shape.map((n, d) => (d === dim ? value : others(n)));
  const attrs: SliceAttrs = { start: at(size === 0 ? 0 : start, () => 0), size: at(size, (n) => n), step: at(step, () => 1) };
  return apply(sliceOp, [x], attrs);
}

function oneDimUp(op: string, x: Tensor, dim: number | undefined): number {
  checkTensor(op, x);
  if (x.ndim === 0) throw new OpError(op, "a tensor of rank 0 has no dim to divide");
  return normalizeDim(op, dim ?? 0, x.ndim);
}

/** Parts of `size` elements along `dim` (default 0), the last one smaller if need be; or of the listed sizes. Reference: torch.split. */
export function split(x: Tensor, size: number | readonly number[], options?: { readonly dim?: number }): Tensor[] {
  checkOptions("split", options, ["dim"]);
  const dim = oneDimUp("split", x, options?.dim);
  const length = x.shape[dim];
  let sizes: readonly number[];
  if (typeof size === "number") {
    checkInteger("split", size, "size");
    if (size < 0 || (size === 0 && length > 0))
      throw new OpError("split", `parts of ${size} elements do not make up dim ${dim} of ${showShape(x.shape)}`);
    const count = size === 0 ? 1 : Math.max(1, Math.ceil(length / size));
    sizes = range(count).map((i) => Math.min(size, length - i * size));
  } else {
    checkIntegers("split", size, "size");
    sizes = size;
    if (sizes.some((n) => n < 0) || sizes.reduce((a, b) => a + b, 0) !== length) {
      throw new OpError(
        "split",
        `sizes ${showShape(sizes)} must be 0 or more and add up to ${length}, the size of dim ${dim} of ${showShape(x.shape)}`,
      );
    }
  }
  let start = 0;
  return sizes.map((n) => {
    start += n;
    return cut(x, dim, start - n, n);
  });
}

/** At most `chunks` equal parts along `dim` (default 0), the last one smaller if need be. Reference: torch.chunk. */
export function chunk(x: Tensor, chunks: number, options?: { readonly dim?: number }): Tensor[] {
  checkOptions("chunk", options, ["dim"]);
  const dim = oneDimUp("chunk", x, options?.dim);
  checkInteger("chunk", chunks, "chunks");
  if (chunks < 1) throw new OpError("chunk", `chunks must be 1 or more; got ${chunks}`);
  const length = x.shape[dim];
  return split(x, length === 0 ? range(chunks).map(() => 0) : Math.ceil(length / chunks), { dim });
}

/** The slices along `dim` (default 0), without that dim. Reference: torch.unbind. */
export function unbind(x: Tensor, options?: { readonly dim?: number }): Tensor[] {
  checkOptions("unbind", options, ["dim"]);
  const dim = oneDimUp("unbind", x, options?.dim);
  return range(x.shape[dim]).map((i) => select(x, dim, i));
}

/**
 * `length` elements from `start` along `dim`; a negative start counts from the end. The start may be an int32 tensor of one element, whose
 * range is then checked when the result is read. Reference: torch.narrow.
 */
export function narrow(x: Tensor, dim: number, start: number | Tensor, length: number): Tensor {
  const at = oneDimUp("narrow", x, dim);
  const size = x.shape[at];
  checkInteger("narrow", length, "length");
  let from: number;
  if (start instanceof Tensor) {
    if (start.numel !== 1 || start.dtype !== "int32")
      throw new OpError("narrow", `start must hold one int32; got ${start.dtype} ${showShape(start.shape)}`);
    const known = hostValues(start);
    if (known === null) return indexSelect(x, at, add(reshapeTo(start, [1]), iota([length], 0, x.device)));
    from = known[0];
  } else {
    checkInteger("narrow", start, "start");
    from = start;
  }
  const first = from < 0 ? from + size : from;
  if (first < 0 || length < 0 || first + length > size) {
    throw new OpError("narrow", `${length} elements from ${from} on leave dim ${dim} of ${showShape(x.shape)}, which has ${size}`);
  }
  return cut(x, at, first, length);
}

/** The slice at `index` along `dim`, without that dim; a negative index counts from the end. Reference: torch.select. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  const at = oneDimUp("select", x, dim);
  checkInteger("select", index, "index");
  const size = x.shape[at];
  if (index < -size || index >= size)
    throw new OpError("select", `index ${index} is out of range for dim ${dim} of ${showShape(x.shape)}, which has ${size}`);
  const one = cut(x, at, index < 0 ? index + size : index, 1);
  return reshapeTo(
    one,
    x.shape.filter((_, d) => d !== at),
  );
}

export interface SliceOptions {
  readonly dim?: number;
  /** Bounds count from the end when negative, and are clamped. Default: all. */
  readonly start?: number | null;
  readonly end?: number | null;
  /** 1 or more. */
  readonly step?: number;
}

/** x[start:end:step] along `dim` (default 0), as in Python. Reference: torch.ops.aten.slice. */
export function slice(x: Tensor, options?: SliceOptions): Tensor {
  checkOptions("slice", options, ["dim", "start", "end", "step"]);
  const dim = oneDimUp("slice", x, options?.dim);
  const size = x.shape[dim];
  const { start, end, step = 1 } = options ?? {};
  checkInteger("slice", step, "step");
  if (step < 1) throw new OpError("slice", `step must be 1 or more; got ${step}; use flip to go backwards`);
  const bound = (given: number | null | undefined, name: string, otherwise: number): number => {
    if (given === null || given === undefined) return otherwise;
    if (given !== Number.POSITIVE_INFINITY) checkInteger("slice", given, name);
    return Math.min(Math.max(given < 0 ? given + size : given, 0), size);
  };
  const first = bound(start, "start", 0);
  const count = Math.max(0, Math.ceil((bound(end, "end", size) - first) / step));
  return cut(x, dim, first, count, step);
}

/** Elements shifted by `shifts` along `dims`, around the end; without dims in row-major order. Reference: torch.roll. */
export function roll(x: Tensor, shifts: number | readonly number[], options?: { readonly dims?: number | readonly number[] }): Tensor {
  checkTensor("roll", x);
  checkOptions("roll", options, ["dims"]);
  const by = typeof shifts === "number" ? [shifts] : shifts;
  checkIntegers("roll", by, "shifts");
  const over = options?.dims === undefined ? [] : typeof options.dims === "number" ? [options.dims] : options.dims;
  if (over.length === 0) {
    if (by.length !== 1) throw new OpError("roll", `without dims there is one shift; got ${showShape(by)}`);
    return reshapeTo(rollOne(reshapeTo(x, [x.numel]), by[0], 0), x.shape);
  }
  if (over.length !== by.length) throw new OpError("roll", `shifts ${showShape(by)} and dims ${showShape(over)} must be equally many`);
  const dims = over.map((d) => normalizeDim("roll", d, x.ndim));
  return alias(dims.reduce((t, d, i) => rollOne(t, by[i], d), x));
}

function rollOne(x: Tensor, shift: number, dim: number): Tensor {
  const n = x.shape[dim];
  if (x.ndim === 0 || x.numel === 0) return x;
  const moved = ((shift % n) + n) % n;
  return moved === 0 ? x : cat([cut(x, dim, n - moved, moved), cut(x, dim, 0, n - moved)], { dim });
}

function repeated(op: string, x: Tensor, sizes: Shape): Tensor {
  if (sizes.some((n) => n < 0)) throw new OpError(op, `repeats ${showShape(sizes)} must be 0 or more`);
  const lead = sizes.length - x.ndim;
  const shape = sizes.map((_, i) => (i < lead ? 1 : x.shape[i - lead]));
  if (sizes.every((n) => n === 1)) return alias(reshapeTo(x, shape));
  const apart = reshapeTo(
    x,
    shape.flatMap((n) => [1, n]),
  );
  return reshapeTo(
    expandTo(
      apart,
      shape.flatMap((n, i) => [sizes[i], n]),
    ),
    shape.map((n, i) => n * sizes[i]),
  );
}

/** Copies side by side, `sizes[i]` of them along dim i; more sizes than dims add dims in front. Reference: torch.Tensor.repeat. */
export function repeat(x: Tensor, sizes: Shape): Tensor {
  checkTensor("repeat", x);
  checkIntegers("repeat", sizes, "sizes");
  if (sizes.length < x.ndim)
    throw new OpError("repeat", `sizes ${showShape(sizes)} must name at least the ${x.ndim} dims of ${showShape(x.shape)}`);
  return repeated("repeat", x, sizes);
}

/** Copies side by side as `repeat`; missing sizes count as 1, in front. Reference: torch.tile. */
export function tile(x: Tensor, dims: Shape): Tensor {
  checkTensor("tile", x);
  checkIntegers("tile", dims, "dims");
  return repeated("tile", x, [...new Array<number>(Math.max(0, x.ndim - dims.length)).fill(1), ...dims]);
}

/**
 * Each element `repeats` times along `dim` (default: of the flattened tensor), or the i-th `repeats[i]` times. A tensor of repeats decides
 * the shape, so it must hold data given from the host. Reference: torch.repeat_interleave.
 */
export function repeatInterleave(
  x: Tensor,
  repeats: number | readonly number[] | Tensor,
  options?: { readonly dim?: number | null },
): Tensor {
  checkTensor("repeatInterleave", x);
  checkOptions("repeatInterleave", options, ["dim"]);
  const flat = options?.dim === undefined || options.dim === null;
  const t = flat || x.ndim === 0 ? reshapeTo(x, [x.numel]) : x;
  const dim = normalizeDim("repeatInterleave", flat ? 0 : (options?.dim ?? 0), t.ndim);
  const n = t.shape[dim];
  const counts = repeatCounts(repeats, n);
  if (typeof counts === "number") {
    const [before, after] = [t.shape.slice(0, dim + 1), t.shape.slice(dim + 1)];
    const apart = expandTo(reshapeTo(t, [...before, 1, ...after]), [...before, counts, ...after]);
    return reshapeTo(apart, [...t.shape.slice(0, dim), n * counts, ...after]);
  }
  const index = counts.flatMap((count, i) => new Array<number>(count).fill(i));
  return indexSelect(t, dim, fromHost(Int32Array.from(index), [index.length], "int32", x.device));
}

function repeatCounts(repeats: number | readonly number[] | Tensor, n: number): number | number[] {
  let counts: number | number[];
  if (repeats instanceof Tensor) {
    const known = hostValues(repeats);
    if (known === null)
      throw new OpError("repeatInterleave", "the repeats decide the shape, so they must be known: pass Array.from(await repeats.data())");
    counts = Array.from(known);
  } else counts = typeof repeats === "number" ? repeats : [...repeats];
  for (const count of typeof counts === "number" ? [counts] : counts) {
    checkInteger("repeatInterleave", count, "repeats");
    if (count < 0) throw new OpError("repeatInterleave", `repeats must be 0 or more; got ${count}`);
  }
  if (typeof counts === "number") return counts;
  if (counts.length === 1) return counts[0];
  if (counts.length !== n) throw new OpError("repeatInterleave", `${counts.length} repeats do not fit a dim of size ${n}`);
  return counts;
}
