/**
 * Indices that are data: reading at them, and adding at them. An index that was given from the host is checked at the call; any other is
 * checked by the device when the plan runs (`checked: false`), and addresses are clamped meanwhile.
 */
import { isFloating, numbers } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Expr } from "../kernel/ir.js";
import { normalizeDim, type Shape, sameShape, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkInteger, checkTensor, hostValues } from "./check.js";
import { add } from "./elementwise.js";
import { unmovedBy } from "./elementwise-logic.js";
import { defineOp, nonDifferentiable, type OpRecord, type Spec } from "./record.js";
import { sumOver } from "./reduce.js";
import { alias, expandTo, reshapeTo, sliceOp } from "./view.js";

export interface IndexAttrs extends Record<string, unknown> {
  /** The dim that the index runs over, and its length: valid indices are 0 to size - 1. */
  readonly dim: number;
  readonly size: number;
  /** The function that was called, for the message. */
  readonly op: string;
  /** Whether the indices are known to be valid. */
  readonly checked: boolean;
}

export interface ScatterAttrs extends IndexAttrs {
  readonly shape: Shape;
}

function checkIndexSpec(op: string, index: Spec): void {
  if (index.dtype !== "int32") throw new OpError(op, `the index must be int32; got ${index.dtype}; cast it with to("int32")`);
}

export const gatherOp: OpRecord<IndexAttrs> = defineOp<IndexAttrs>({
  name: "gather",
  doc: "out[.., i, ..] = x[.., index[.., i, ..], ..] along a dim.",
  reference: "torch.gather",
  indexInput: 1,
  infer: ([x, index], { op, dim }) => {
    checkIndexSpec(op, index);
    if (index.shape.length !== x.shape.length || index.shape.some((n, d) => d !== dim && n > x.shape[d])) {
      throw new OpError(
        op,
        `index ${showShape(index.shape)} does not fit ${showShape(x.shape)}: equal rank, and no size larger but that of dim ${dim}`,
      );
    }
    return { shape: index.shape, dtype: x.dtype };
  },
  lower: {
    kind: "gather",
    value: ({ pool, attrs: { dim, size }, input }, out) => {
      const at = clamp(input(1, out));
      return input(
        0,
        out.map((e, d) => (d === dim ? at : e)),
      );
      function clamp(e: Expr): Expr {
        return pool.min(pool.max(e, pool.int(0)), pool.int(Math.max(size - 1, 0)));
      }
    },
  },
  grad: ({ inputs: [x, index], grad, attrs }) => [apply(scatterSumOp, [index, grad], { ...attrs, checked: true, shape: x.shape }), null],
  samples: [
    {
      shapes: [
        [3, 2],
        [4, 2],
      ],
      attrs: { dim: 0, size: 3, op: "gather", checked: true },
      data: [null, [0, 2, 1, 1, 2, 0, 0, 0]],
    },
    {
      shapes: [
        [2, 3],
        [1, 2],
      ],
      attrs: { dim: 1, size: 3, op: "gather", checked: true },
      data: [null, [2, 2]],
    },
  ],
});

/** Where position `r` of the reduction lies in a source that is smaller than the output in other dims. */
function sourceIndex(out: readonly Expr[], r: Expr, dim: number): Expr[] {
  return out.map((e, d) => (d === dim ? r : e));
}

export const scatterSumOp: OpRecord<ScatterAttrs> = defineOp<ScatterAttrs>({
  name: "scatterSum",
  doc: "Adds each source element where its index says, in order of position: out[.., index[.., j, ..], ..] += src[.., j, ..]; the adjoint of gather.",
  reference: "torch.Tensor.scatter_add_",
  indexInput: 0,
  infer: ([index, src], { op, dim, shape }) => {
    checkIndexSpec(op, index);
    if (!numbers.includes(src.dtype))
      throw new OpError(op, `is not defined for ${src.dtype}; it takes ${numbers.join(", ")}; cast with to(dtype)`);
    if (
      !sameShape(index.shape, src.shape) ||
      index.shape.length !== shape.length ||
      index.shape.some((n, d) => d !== dim && n > shape[d])
    ) {
      throw new OpError(
        op,
        `index ${showShape(index.shape)} and source ${showShape(src.shape)} do not fit ${showShape(shape)} along dim ${dim}`,
      );
    }
    return { shape, dtype: src.dtype };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: null,
    axes: ({ attrs, inputs: [index] }) => [index.shape[attrs.dim]],
    body: ({ pool, attrs: { dim }, inputs: [index], output, input }, out, [r]) => {
      const at = sourceIndex(out, r, dim);
      let inside = pool.bool(true);
      index.shape.forEach((n, d) => {
        if (d !== dim && n < output.shape[d]) inside = pool.and(inside, pool.lt(out[d], pool.int(n)));
      });
      const hit = pool.and(inside, pool.eq(input(0, at, inside), out[dim]));
      return pool.where(hit, input(1, at, inside), pool.const(0, output.dtype));
    },
    repeats: () => true,
  },
  grad: ({ inputs: [index], grad, attrs: { dim, size, op } }) => [null, apply(gatherOp, [grad, index], { dim, size, op, checked: true })],
  samples: [
    {
      shapes: [
        [4, 2],
        [4, 2],
      ],
      attrs: { dim: 0, size: 3, op: "scatterAdd", checked: true, shape: [3, 2] },
      data: [[0, 2, 1, 1, 2, 0, 0, 0], null],
    },
    {
      shapes: [
        [1, 2],
        [1, 2],
      ],
      attrs: { dim: 1, size: 3, op: "scatterAdd", checked: true, shape: [2, 3] },
      data: [[2, 2], null],
    },
  ],
});

export const lastWriterOp: OpRecord<ScatterAttrs> = defineOp<ScatterAttrs>({
  name: "lastWriter",
  doc: "For each place the last position along the dim whose index is that place, or -1: who wins when several write to one place.",
  reference: "torch.Tensor.scatter_",
  indexInput: 0,
  infer: ([index], { op, shape }) => {
    checkIndexSpec(op, index);
    return { shape, dtype: "int32" };
  },
  lower: {
    kind: "reduce",
    combine: "max",
    structure: null,
    axes: ({ attrs, inputs: [index] }) => [index.shape[attrs.dim]],
    body: ({ pool, attrs: { dim }, inputs: [index], output, input }, out, [r]) => {
      let inside = pool.bool(true);
      index.shape.forEach((n, d) => {
        if (d !== dim && n < output.shape[d]) inside = pool.and(inside, pool.lt(out[d], pool.int(n)));
      });
      const hit = pool.and(inside, pool.eq(input(0, sourceIndex(out, r, dim), inside), out[dim]));
      return pool.where(hit, r, pool.int(-1));
    },
    repeats: () => true,
  },
  grad: nonDifferentiable,
  samples: [{ shapes: [[4]], attrs: { dim: 0, size: 3, op: "scatter", checked: true, shape: [3] }, data: [[0, 2, 2, 0]] }],
});

/** Checks an index against a dim's length where its values are at hand; false means that the device must check. */
export function checkIndexValues(op: string, index: Tensor, size: number, from = 0): boolean {
  if (index.numel === 0) return true;
  if (size === 0) throw new OpError(op, "the dim to be indexed has size 0, and the index is not empty");
  const values = hostValues(index);
  if (values === null) return false;
  for (const i of values) {
    if (i < from || i >= size)
      throw new OpError(op, `index ${i} is out of range for a dim of size ${size}; valid are ${from} to ${size - 1}`);
  }
  return true;
}

/** The common front: an int32 index of the rank of `x`, not larger than `x` outside `dim`. PyTorch counts rank 0 as rank 1 here. */
export function prepareIndex(op: string, x: Tensor, dim: number, index: Tensor): { at: number; x: Tensor; index: Tensor } {
  checkTensor(op, x);
  checkInteger(op, dim, "dim");
  checkTensor(op, index, "index");
  if (index.dtype !== "int32") throw new OpError(op, `the index must be int32; got ${index.dtype}; cast it with to("int32")`);
  const at = normalizeDim(op, dim, x.ndim);
  const [wide, wideIndex] = [x, index].map((t) => (t.ndim === 0 ? reshapeTo(t, [1]) : t));
  if (wide.ndim !== wideIndex.ndim) throw new OpError(op, `index ${showShape(index.shape)} must have the rank of ${showShape(x.shape)}`);
  return { at, x: wide, index: wideIndex };
}

/** Throws where the index is larger than `shape` in a dim other than `except`. */
export function checkIndexFits(op: string, index: Shape, shape: Shape, except: number, what: string): void {
  if (index.some((n, d) => d !== except && n > shape[d])) {
    const but = except < 0 ? "" : `, but that of dim ${except},`;
    throw new OpError(op, `index ${showShape(index)} does not fit ${what} ${showShape(shape)}: no size${but} may be larger`);
  }
}

/**
 * out[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`; the result has the index's shape. Index int32 of the rank of `x`.
 * Throws for indices outside 0 to size - 1, at once when the index came from the host, else when the result is read. Reference: torch.gather.
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const given = prepareIndex("gather", x, dim, index);
  if (given.index.numel > 0) checkIndexFits("gather", given.index.shape, given.x.shape, given.at, "the input");
  return reshapeTo(gatherAt("gather", given.x, given.at, given.index), index.shape);
}

/** gather after its checks, with the range of the index still to be checked. */
export function gatherAt(op: string, x: Tensor, dim: number, index: Tensor, known = false): Tensor {
  const size = x.shape[dim];
  const checked = known || checkIndexValues(op, index, size);
  return apply(gatherOp, [x, index], { dim, size, op, checked });
}

/**
 * x with src[.., j, ..] added at index[.., j, ..] along `dim`, in order of j. Index int32, no larger than `src`.
 * Reference: torch.scatter_add.
 */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  const { at, x: wide, index: where } = prepareIndex("scatterAdd", x, dim, index);
  const source = prepareSource("scatterAdd", wide, at, where, src);
  if (where.numel === 0) return unwritten(x, source);
  // The sum of booleans is whether any is true.
  if (x.dtype === "bool") return cast(scatterAdd(cast(x, "int32"), dim, index, cast(src, "int32")), "bool");
  const size = wide.shape[at];
  const checked = checkIndexValues("scatterAdd", where, size);
  const sum = apply(scatterSumOp, [where, source], { dim: at, size, op: "scatterAdd", checked, shape: wide.shape });
  return add(x, reshapeTo(sum, x.shape));
}

/** The part of a source that an index of its rank uses. */
export function prepareSource(op: string, x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  checkTensor(op, src, "src");
  const wide = src.ndim === 0 ? reshapeTo(src, [1]) : src;
  if (wide.ndim !== index.ndim)
    throw new OpError(op, `src ${showShape(src.shape)} must have the rank of the index ${showShape(index.shape)}`);
  if (src.dtype !== x.dtype) throw new OpError(op, `src is ${src.dtype}, the input ${x.dtype}; cast one with to(dtype)`);
  if (index.numel === 0) return wide;
  checkIndexFits(op, index.shape, x.shape, dim, "the input");
  checkIndexFits(op, index.shape, wide.shape, -1, "the source");
  return sliceTo(cast(wide, x.dtype), index.shape);
}

/** `x`, where no index says where to write anything of `source`: its gradient is 0. */
export function unwritten(x: Tensor, source: Tensor): Tensor {
  if (!isFloating(x.dtype)) return alias(x);
  const dims = source.shape.map((_, d) => d);
  return unmovedBy(sumOver(source, dims), x);
}

/** The first `shape` elements of each dim. */
export function sliceTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  return apply(sliceOp, [x], { start: shape.map(() => 0), size: shape, step: shape.map(() => 1) });
}

/** A rank-1 index as one of the rank of `shape` that varies along `dim` only. */
export function alongDim(index: Tensor, shape: Shape, dim: number): Tensor {
  const n = index.shape[0];
  return expandTo(
    reshapeTo(
      index,
      shape.map((_, d) => (d === dim ? n : 1)),
    ),
    shape.map((size, d) => (d === dim ? n : size)),
  );
}
