/** Views: the same elements at other indices. They cost nothing; the scheduler rewrites the index of whoever reads them. */
import { OpError } from "../errors.js";
import type { Expr } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { checkShape, normalizeDim, numel, type Shape, sameShape, showShape } from "../shape.js";
import { apply, Tensor } from "../tensor.js";
import { checkIntegers, checkTensor } from "./check.js";
import { defineOp, nonDifferentiable, type OpRecord } from "./record.js";
import { sumOver } from "./reduce.js";

/** Another handle to the same version, so that an assignment to one leaves the other alone. */
export const alias = (x: Tensor): Tensor => new Tensor(x.node);

function checkExpand(op: string, from: Shape, to: Shape): void {
  const lead = to.length - from.length;
  if (lead < 0 || !from.every((size, i) => size === 1 || size === to[lead + i])) {
    throw new OpError(op, `cannot expand ${showShape(from)} to ${showShape(to)}: only dims of size 1 repeat, and new dims go in front`);
  }
}

export const expandOp: OpRecord<{ readonly shape: Shape }> = defineOp<{ readonly shape: Shape }>({
  name: "expand",
  doc: "Repeats dims of size 1, and adds dims in front, without copying. The gradient sums over what was repeated: all broadcasting is undone here.",
  reference: "torch.Tensor.expand",
  infer: ([x], { shape }) => {
    checkExpand("expand", x.shape, shape);
    return { shape, dtype: x.dtype };
  },
  lower: {
    kind: "view",
    index: ({ pool, inputs: [x] }, out) => {
      const lead = out.length - x.shape.length;
      return { index: x.shape.map((size, i) => (size === 1 ? pool.int(0) : out[lead + i])) };
    },
  },
  grad: ({ inputs: [x], grad }) => {
    const lead = grad.ndim - x.ndim;
    const dims = grad.shape.map((_, i) => i).filter((i) => i < lead || (x.shape[i - lead] === 1 && grad.shape[i] !== 1));
    return [reshapeTo(sumOver(grad, dims), x.shape)];
  },
  samples: [
    { shapes: [[2, 1]], attrs: { shape: [3, 2, 4] } },
    { shapes: [[]], attrs: { shape: [2] } },
    { shapes: [[0, 1]], attrs: { shape: [0, 3] } },
  ],
});

/** The position in a group of dims as one index. */
function linear(pool: ExprPool, index: readonly Expr[], shape: Shape, dims: readonly number[]): Expr {
  return dims.reduce<Expr>((flat, d) => pool.add(pool.mul(flat, pool.int(shape[d])), index[d]), pool.int(0));
}

/** Rewrites an index of shape `to` into one of shape `from`. Dims that line up are kept apart, so that most reshapes need no division. */
export function reshapedIndex(pool: ExprPool, out: readonly Expr[], to: Shape, from: Shape): Expr[] {
  const index: Expr[] = from.map(() => pool.int(0));
  if (numel(from) === 0) return index;
  const wide = (shape: Shape): number[] => shape.map((_, d) => d).filter((d) => shape[d] !== 1);
  const [source, target] = [wide(from), wide(to)];
  for (let i = 0, j = 0; i < source.length; ) {
    const [i0, j0] = [i, j];
    let inside = from[source[i++]];
    let outside = to[target[j++]];
    while (inside !== outside) {
      if (inside < outside) inside *= from[source[i++]];
      else outside *= to[target[j++]];
    }
    let flat = linear(pool, out, to, target.slice(j0, j));
    for (let k = i - 1; k > i0; k--) {
      const size = pool.int(from[source[k]]);
      index[source[k]] = pool.mod(flat, size);
      flat = pool.idiv(flat, size);
    }
    index[source[i0]] = flat;
  }
  return index;
}

export const reshapeOp: OpRecord<{ readonly shape: Shape }> = defineOp<{ readonly shape: Shape }>({
  name: "reshape",
  doc: "The same elements in the same row-major order under another shape.",
  reference: "torch.reshape",
  infer: ([x], { shape }) => {
    if (numel(shape) !== numel(x.shape)) {
      throw new OpError("reshape", `${showShape(x.shape)} has ${numel(x.shape)} elements, and ${showShape(shape)} takes ${numel(shape)}`);
    }
    return { shape, dtype: x.dtype };
  },
  lower: { kind: "view", index: ({ pool, inputs: [x], output }, out) => ({ index: reshapedIndex(pool, out, output.shape, x.shape) }) },
  grad: ({ inputs: [x], grad }) => [reshapeTo(grad, x.shape)],
  samples: [
    { shapes: [[2, 3, 4]], attrs: { shape: [4, 6] } },
    { shapes: [[1]], attrs: { shape: [] } },
    { shapes: [[0, 3]], attrs: { shape: [3, 0, 2] } },
  ],
});

export const permuteOp: OpRecord<{ readonly dims: readonly number[] }> = defineOp<{ readonly dims: readonly number[] }>({
  name: "permute",
  doc: "Dim i of the output is dim `dims[i]` of the input.",
  reference: "torch.permute",
  infer: ([x], { dims }) => ({ shape: dims.map((d) => x.shape[d]), dtype: x.dtype }),
  lower: { kind: "view", index: ({ attrs }, out) => ({ index: inverse(attrs.dims).map((at) => out[at]) }) },
  grad: ({ grad, attrs }) => [apply(permuteOp, [grad], { dims: inverse(attrs.dims) })],
  samples: [
    { shapes: [[2, 3, 4]], attrs: { dims: [2, 0, 1] } },
    { shapes: [[0, 3]], attrs: { dims: [1, 0] } },
  ],
});

function inverse(dims: readonly number[]): number[] {
  const out = new Array<number>(dims.length);
  dims.forEach((d, i) => {
    out[d] = i;
  });
  return out;
}

/** Per dim: the first index, the number of elements, and the distance between them (≥ 1). */
export interface SliceAttrs extends Record<string, unknown> {
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly step: readonly number[];
}

export const sliceOp: OpRecord<SliceAttrs> = defineOp<SliceAttrs>({
  name: "slice",
  doc: "Every `step`-th element from `start`, `size` of them, in each dim.",
  reference: "torch.Tensor.__getitem__",
  infer: ([x], { start, size, step }) => {
    x.shape.forEach((n, d) => {
      if (start[d] < 0 || step[d] < 1 || (size[d] > 0 && start[d] + (size[d] - 1) * step[d] >= n)) {
        throw new OpError("slice", `start ${start[d]}, step ${step[d]}, ${size[d]} elements leave dim ${d} of ${showShape(x.shape)}`);
      }
    });
    return { shape: size, dtype: x.dtype };
  },
  lower: {
    kind: "view",
    index: ({ pool, attrs }, out) => ({
      index: out.map((e, d) => pool.add(pool.mul(e, pool.int(attrs.step[d])), pool.int(attrs.start[d]))),
    }),
  },
  grad: ({ inputs: [x], grad, attrs }) => [spread(grad, x.shape, attrs)],
  samples: [
    { shapes: [[5, 4]], attrs: { start: [1, 0], size: [2, 4], step: [2, 1] } },
    { shapes: [[4]], attrs: { start: [4], size: [0], step: [1] } },
    { shapes: [[3, 3]], attrs: { start: [0, 1], size: [3, 2], step: [1, 1] } },
  ],
});

/** The adjoint of a slice: zeros between the elements, and around them. Between: a new dim of length `step`, filled with zeros, is merged. */
function spread(grad: Tensor, shape: Shape, { start, size, step }: SliceAttrs): Tensor {
  if (size.some((n) => n === 0))
    return padWith(
      grad,
      start,
      shape.map((n, d) => n - start[d] - size[d]),
      0,
    );
  const strided = step.some((s) => s > 1);
  let dense = grad;
  if (strided) {
    const apart = reshapeTo(
      grad,
      size.flatMap((n) => [n, 1]),
    );
    const none = size.flatMap(() => [0, 0]);
    dense = reshapeTo(
      padWith(
        apart,
        none,
        step.flatMap((s) => [0, s - 1]),
        0,
      ),
      size.map((n, d) => n * step[d]),
    );
  }
  return padWith(
    dense,
    start,
    shape.map((n, d) => n - start[d] - dense.shape[d]),
    0,
  );
}

/** Per dim: how many elements to add before and after; negative amounts take away. */
export interface PadAttrs extends Record<string, unknown> {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly value: number;
}

export const padOp: OpRecord<PadAttrs> = defineOp<PadAttrs>({
  name: "pad",
  doc: "Adds a border of one value; negative amounts crop.",
  reference: "torch.nn.functional.pad, mode constant",
  infer: ([x], { before, after }) => {
    const shape = x.shape.map((n, d) => before[d] + n + after[d]);
    if (shape.some((n) => n < 0)) {
      throw new OpError(
        "pad",
        `padding ${showShape(x.shape)} by ${showShape(before)} before and ${showShape(after)} after gives ${showShape(shape)}`,
      );
    }
    return { shape, dtype: x.dtype };
  },
  lower: {
    kind: "view",
    index: ({ pool, attrs, inputs: [x] }, out) => {
      let guard: Expr = pool.bool(true);
      const index = out.map((e, d) => {
        const at = pool.sub(e, pool.int(attrs.before[d]));
        if (attrs.before[d] > 0) guard = pool.and(guard, pool.ge(at, pool.int(0)));
        if (attrs.after[d] > 0) guard = pool.and(guard, pool.lt(at, pool.int(x.shape[d])));
        return at;
      });
      return { index, guard, fill: attrs.value };
    },
  },
  grad: ({ grad, attrs }) => [padWith(grad, negated(attrs.before), negated(attrs.after), 0)],
  samples: [
    { shapes: [[2, 3]], attrs: { before: [1, 0], after: [0, 2], value: 0 } },
    { shapes: [[4, 3]], attrs: { before: [-1, 2], after: [1, -1], value: 1.5 } },
    { shapes: [[0]], attrs: { before: [1], after: [2], value: -1 } },
  ],
});

const negated = (amounts: readonly number[]): number[] => amounts.map((n) => (n === 0 ? 0 : -n));

export const flipOp: OpRecord<{ readonly dims: readonly number[] }> = defineOp<{ readonly dims: readonly number[] }>({
  name: "flip",
  doc: "The given dims in reverse order.",
  reference: "torch.flip",
  infer: ([x]) => x,
  lower: {
    kind: "view",
    index: ({ pool, attrs, output }, out) => ({
      index: out.map((e, d) => (attrs.dims.includes(d) ? pool.sub(pool.int(output.shape[d] - 1), e) : e)),
    }),
  },
  grad: ({ grad, attrs }) => [apply(flipOp, [grad], attrs)],
  samples: [
    { shapes: [[2, 3]], attrs: { dims: [1] } },
    { shapes: [[2, 0]], attrs: { dims: [0, 1] } },
  ],
});

export const detachOp = defineOp({
  name: "detach",
  doc: "The same values, outside the graph of gradients.",
  reference: "torch.Tensor.detach",
  infer: ([x]) => x,
  lower: { kind: "view", index: (_, out) => ({ index: out }) },
  grad: nonDifferentiable,
  samples: [{ shapes: [[2, 3]] }],
});

export const versionOp = defineOp({
  name: "version",
  doc: "The version that an assignment gives a tensor.",
  reference: "torch.Tensor.copy_",
  infer: ([x]) => x,
  lower: { kind: "view", index: (_, out) => ({ index: out }) },
  grad: nonDifferentiable,
  samples: [{ shapes: [[2, 3]] }],
});

/** Expands where the shapes differ; unchecked, for internal use. */
export const expandTo = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : apply(expandOp, [x], { shape }));

/** Reshapes where the shapes differ; unchecked, for internal use. */
export const reshapeTo = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], { shape }));

/** Pads and crops, as a slice where nothing is added. */
export function padWith(x: Tensor, before: readonly number[], after: readonly number[], value: number): Tensor {
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return x;
  if (before.every((n) => n <= 0) && after.every((n) => n <= 0)) {
    const size = x.shape.map((n, d) => n + before[d] + after[d]);
    if (size.every((n) => n >= 0)) return apply(sliceOp, [x], { start: negated(before), size, step: size.map(() => 1) });
  }
  return apply(padOp, [x], { before, after, value });
}

/** The same elements in row-major order under another shape; one size may be -1 and is worked out. Reference: torch.reshape. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensor("reshape", x);
  checkIntegers("reshape", shape, "shape");
  const open = shape.indexOf(-1);
  if (open < 0) {
    checkShape("reshape", shape);
    return alias(reshapeTo(x, shape));
  }
  const rest = shape.filter((_, i) => i !== open);
  if (rest.some((n) => n < 0)) throw new OpError("reshape", `shape ${showShape(shape)} may hold one -1, and otherwise sizes of 0 or more`);
  const known = numel(rest);
  if (known === 0 || x.numel % known !== 0) {
    const why = known === 0 ? "any size would fit" : `${x.numel} elements do not divide by ${known}`;
    throw new OpError("reshape", `cannot work out the -1 in ${showShape(shape)} for ${showShape(x.shape)}: ${why}`);
  }
  return alias(
    reshapeTo(
      x,
      shape.map((n, i) => (i === open ? x.numel / known : n)),
    ),
  );
}

/** Dim i of the result is dim `dims[i]` of `x`. Reference: torch.permute. */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor("permute", x);
  checkIntegers("permute", dims, "dims");
  if (dims.length !== x.ndim)
    throw new OpError("permute", `dims ${showShape(dims)} must name each of the ${x.ndim} dims of ${showShape(x.shape)} once`);
  const order = dims.map((d) => normalizeDim("permute", d, x.ndim));
  if (new Set(order).size !== order.length) throw new OpError("permute", `dims ${showShape(dims)} names a dimension twice`);
  return order.every((d, i) => d === i) ? alias(x) : apply(permuteOp, [x], { dims: order });
}

/** Repeats dims of size 1 to `shape`, adding dims in front; -1 keeps a size. Reference: torch.Tensor.expand. */
export const expand = (x: Tensor, shape: Shape): Tensor => expandNamed("expand", x, shape);

/** `x` repeated to `shape` by the rules of broadcasting. Reference: torch.broadcast_to. */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor => expandNamed("broadcastTo", x, shape);

function expandNamed(op: string, x: Tensor, shape: Shape): Tensor {
  checkTensor(op, x);
  checkIntegers(op, shape, "shape");
  const lead = shape.length - x.ndim;
  const sizes = shape.map((n, i) => (n === -1 && i >= lead ? x.shape[i - lead] : n));
  checkShape(op, sizes);
  checkExpand(op, x.shape, sizes);
  return alias(expandTo(x, sizes));
}

/** The given dims in reverse order. Reference: torch.flip. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor("flip", x);
  checkIntegers("flip", dims, "dims");
  const order = dims.map((d) => normalizeDim("flip", d, x.ndim));
  if (new Set(order).size !== order.length) throw new OpError("flip", `dims ${showShape(dims)} names a dimension twice`);
  return order.length === 0 || x.ndim === 0 ? alias(x) : apply(flipOp, [x], { dims: order });
}
