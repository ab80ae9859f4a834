/**
 * Two-dimensional convolution and its two gradients. All three are contractions of one trilinear form
 *
 *   T(x, w, y) = Σ x[n, g·Ci + ci, oh·s + kh·d − p, ow·s + kw·d − p] · w[g·Co + co, ci, kh, kw] · y[n, g·Co + co, oh, ow]
 *
 * (Ci and Co channels per group g), each with respect to the operand it lacks; so the gradient of each is made of the other two, and
 * derivatives of every order exist. Every sum carries the spatial size of its result as an attribute, which the operands do not fix.
 */
import { OpError } from "../errors.js";
import type { Expr } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { checkContractionDtypes } from "./matmul.js";
import { defineOp, type LowerContext, type Sample, type Spec } from "./record.js";

/** A pair is (height, width). */
export type Pair = readonly [number, number];

export type ConvGeometry = {
  readonly stride: Pair;
  /** Zeros before the first row and column; how many follow the last one is in the size of the result. */
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
};

/** `size`: height and width of the result (of the kernel, for `conv2dWeightGrad`). */
export type ConvAttrs = ConvGeometry & { readonly size: Pair };

function check(op: string, a: Spec, b: Spec): void {
  checkContractionDtypes(op, a, b);
  if (a.shape.length !== 4 || b.shape.length !== 4) {
    throw new OpError(op, `expected two operands of rank 4; got ${showShape(a.shape)} and ${showShape(b.shape)}`);
  }
}

function mismatch(op: string, a: Spec, b: Spec, groups: number): OpError {
  return new OpError(op, `shapes ${showShape(a.shape)} and ${showShape(b.shape)} do not fit together with groups=${groups}`);
}

/** (oh·s + kh·d − p, …) and whether it lies inside an input of the given size. */
function sourceOf(
  pool: ExprPool,
  at: readonly Expr[],
  tap: readonly Expr[],
  attrs: ConvGeometry,
  size: readonly number[],
): { index: Expr[]; inside: Expr } {
  const index = [0, 1].map((i) => {
    const scaled = pool.add(pool.mul(at[i], pool.int(attrs.stride[i])), pool.mul(tap[i], pool.int(attrs.dilation[i])));
    return pool.sub(scaled, pool.int(attrs.padding[i]));
  });
  return { index, inside: within(pool, index, size) };
}

function within(pool: ExprPool, index: readonly Expr[], size: readonly number[]): Expr {
  const tests = index.flatMap((at, i) => [pool.ge(at, pool.int(0)), pool.lt(at, pool.int(size[i]))]);
  return pool.and(...tests);
}

/** The channel of an operand that belongs to channel `inGroup` of the group of `channel`, one of `perGroup` in its own operand. */
function groupChannel(pool: ExprPool, channel: Expr, perGroup: number, inGroup: Expr, otherPerGroup: number): Expr {
  return pool.add(pool.mul(pool.idiv(channel, pool.int(perGroup)), pool.int(otherPerGroup)), inGroup);
}

export const conv2dOp = defineOp<ConvAttrs>({
  name: "conv2d",
  doc: "Cross-correlation: y[n, co, oh, ow] = Σ_{ci, kh, kw} x[n, g·Ci + ci, oh·s + kh·d − p, …] · w[co, ci, kh, kw]; x is 0 outside.",
  reference: "torch.nn.functional.conv2d",
  infer: ([x, w], { groups, size }) => {
    check("conv2d", x, w);
    if (x.shape[1] !== w.shape[1] * groups || w.shape[0] % groups !== 0) throw mismatch("conv2d", x, w, groups);
    return { shape: [x.shape[0], w.shape[0], ...size], dtype: x.dtype };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: "conv2d",
    axes: ({ inputs }) => inputs[1].shape.slice(1),
    body: (ctx, [n, co, oh, ow], [ci, kh, kw]) => {
      const { pool, attrs, inputs, output } = ctx;
      const from = sourceOf(pool, [oh, ow], [kh, kw], attrs, inputs[0].shape.slice(2));
      const channel = groupChannel(pool, co, output.shape[1] / attrs.groups, ci, inputs[1].shape[1]);
      return pool.mul(ctx.input(0, [n, channel, ...from.index], from.inside), ctx.input(1, [co, ci, kh, kw]));
    },
    repeats: () => true,
  },
  grad: ({ inputs: [x, w], grad, attrs, needs }) => [
    needs(0) ? conv2dInputGrad(grad, w, { ...attrs, size: spatial(x) }) : null,
    needs(1) ? conv2dWeightGrad(grad, x, { ...attrs, size: spatial(w) }) : null,
  ],
  samples: convSamples("conv2d"),
});

export const conv2dInputGradOp = defineOp<ConvAttrs>({
  name: "conv2dInputGrad",
  doc: "Gradient of conv2d with respect to its input; also the transposed convolution. Takes the gradient of the output, and the weight.",
  reference: "torch.nn.grad.conv2d_input",
  infer: ([y, w], { groups, size }) => {
    check("conv2dInputGrad", y, w);
    if (y.shape[1] !== w.shape[0] || w.shape[0] % groups !== 0) throw mismatch("conv2dInputGrad", y, w, groups);
    return { shape: [y.shape[0], w.shape[1] * groups, ...size], dtype: y.dtype };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: "conv2dInputGrad",
    axes: ({ inputs, attrs }) => [inputs[1].shape[0] / attrs.groups, ...[0, 1].map((i) => tapCount(inputs[1].shape[2 + i], attrs, i))],
    body: (ctx, [n, c, ih, iw], [co, th, tw]) => {
      const { pool, attrs, inputs } = ctx;
      const [outPerGroup, inPerGroup] = [inputs[1].shape[0] / attrs.groups, inputs[1].shape[1]];
      const channel = groupChannel(pool, c, inPerGroup, co, outPerGroup);
      const rows = outputOf(ctx, ih, th, 0);
      const columns = outputOf(ctx, iw, tw, 1);
      // Both operands are guarded alike: a value of one that is not part of the sum may be infinite.
      const inside = pool.and(...rows.tests, ...columns.tests);
      const y = ctx.input(0, [n, channel, rows.at, columns.at], inside);
      return pool.mul(y, ctx.input(1, [channel, pool.mod(c, pool.int(inPerGroup)), rows.tap, columns.tap], inside));
    },
    repeats: () => true,
  },
  grad: ({ inputs: [y, w], grad, attrs, needs }) => [
    needs(0) ? conv2dRaw(grad, w, { ...attrs, size: spatial(y) }) : null,
    needs(1) ? conv2dWeightGrad(y, grad, { ...attrs, size: spatial(w) }) : null,
  ],
  samples: convSamples("conv2dInputGrad"),
});

/** Steps of the loop over kernel taps: with dilation 1 only those whose distance from the input position is a multiple of the stride. */
function tapCount(kernel: number, { stride, dilation }: ConvGeometry, i: number): number {
  return dilation[i] === 1 ? Math.ceil(kernel / stride[i]) : kernel;
}

/** For input position `at` and loop variable `t`: the kernel tap, the output position that meets the input there, and when they exist. */
function outputOf(ctx: LowerContext<ConvAttrs>, at: Expr, t: Expr, i: number): { tap: Expr; at: Expr; tests: Expr[] } {
  const { pool, attrs, inputs } = ctx;
  const stride = pool.int(attrs.stride[i]);
  const padded = pool.add(at, pool.int(attrs.padding[i]));
  const fits = (position: Expr): Expr[] => [pool.ge(position, pool.int(0)), pool.lt(position, pool.int(inputs[0].shape[2 + i]))];
  if (attrs.dilation[i] === 1) {
    const tap = pool.add(pool.mod(padded, stride), pool.mul(stride, t));
    const position = pool.sub(pool.idiv(padded, stride), t);
    return { tap, at: position, tests: [pool.lt(tap, pool.int(inputs[1].shape[2 + i])), ...fits(position)] };
  }
  const distance = pool.sub(padded, pool.mul(t, pool.int(attrs.dilation[i])));
  const position = pool.idiv(distance, stride);
  return { tap: t, at: position, tests: [pool.eq(pool.mod(distance, stride), pool.int(0)), ...fits(position)] };
}

export const conv2dWeightGradOp = defineOp<ConvAttrs>({
  name: "conv2dWeightGrad",
  doc: "Gradient of conv2d with respect to its weight, from the gradient of the output, and the input: a sum over batch and positions.",
  reference: "torch.nn.grad.conv2d_weight",
  infer: ([y, x], { groups, size }) => {
    check("conv2dWeightGrad", y, x);
    if (y.shape[0] !== x.shape[0] || y.shape[1] % groups !== 0 || x.shape[1] % groups !== 0)
      throw mismatch("conv2dWeightGrad", y, x, groups);
    return { shape: [y.shape[1], x.shape[1] / groups, ...size], dtype: y.dtype };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: "conv2dWeightGrad",
    axes: ({ inputs }) => [inputs[0].shape[0], ...inputs[0].shape.slice(2)],
    body: (ctx, [co, ci, kh, kw], [n, oh, ow]) => {
      const { pool, attrs, inputs, output } = ctx;
      const from = sourceOf(pool, [oh, ow], [kh, kw], attrs, inputs[1].shape.slice(2));
      const channel = groupChannel(pool, co, output.shape[0] / attrs.groups, ci, output.shape[1]);
      return pool.mul(ctx.input(0, [n, co, oh, ow]), ctx.input(1, [n, channel, ...from.index], from.inside));
    },
    repeats: () => true,
  },
  grad: ({ inputs: [y, x], grad, attrs, needs }) => [
    needs(0) ? conv2dRaw(x, grad, { ...attrs, size: spatial(y) }) : null,
    needs(1) ? conv2dInputGrad(y, grad, { ...attrs, size: spatial(x) }) : null,
  ],
  samples: convSamples("conv2dWeightGrad"),
});

const spatial = (x: Tensor): Pair => [x.shape[2], x.shape[3]];

/** The operation itself, whose result has the given size. The public `conv2d` works the size out. */
export function conv2dRaw(x: Tensor, weight: Tensor, attrs: ConvAttrs): Tensor {
  return apply(conv2dOp, [x, weight], attrs);
}

/** Gradient of conv2d for its input, which has height and width `size`. */
export function conv2dInputGrad(grad: Tensor, weight: Tensor, attrs: ConvAttrs): Tensor {
  return apply(conv2dInputGradOp, [grad, weight], attrs);
}

/** Gradient of conv2d for its weight, whose kernel has height and width `size`. */
export function conv2dWeightGrad(grad: Tensor, x: Tensor, attrs: ConvAttrs): Tensor {
  return apply(conv2dWeightGradOp, [grad, x], attrs);
}

/** One set of geometries for all three: plain, strided, dilated, both, grouped, depthwise, patches, even kernel, 1×1, empty batch. */
/* @__NO_SIDE_EFFECTS__ */
function convSamples(op: "conv2d" | "conv2dInputGrad" | "conv2dWeightGrad"): Sample<ConvAttrs>[] {
  const geometries: readonly [x: number[], w: number[], out: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: number][] = [
    [[2, 3, 5, 4], [4, 3, 3, 2], [5, 4], [1, 1], [1, 1], [1, 1], 1],
    [[1, 4, 7, 6], [4, 2, 3, 3], [4, 3], [2, 2], [1, 1], [1, 1], 2],
    [[1, 3, 6, 6], [3, 1, 3, 3], [6, 6], [1, 1], [1, 1], [1, 1], 3],
    [[2, 3, 8, 8], [5, 3, 4, 4], [2, 2], [4, 4], [0, 0], [1, 1], 1],
    [[1, 2, 7, 9], [2, 2, 2, 3], [6, 5], [1, 1], [0, 0], [1, 2], 1],
    [[1, 2, 9, 9], [2, 1, 3, 3], [3, 4], [3, 2], [1, 1], [2, 2], 2],
    [[1, 2, 3, 3], [6, 1, 2, 2], [3, 3], [1, 1], [0, 0], [1, 1], 2],
    [[2, 3, 2, 2], [4, 3, 1, 1], [2, 2], [1, 1], [0, 0], [1, 1], 1],
    [[0, 2, 3, 3], [2, 2, 3, 3], [1, 1], [1, 1], [0, 0], [1, 1], 1],
  ];
  return geometries.map(([x, w, out, stride, padding, dilation, groups]) => {
    const y = [x[0], w[0], ...out];
    const geometry = { stride, padding, dilation, groups };
    if (op === "conv2d") return { shapes: [x, w], attrs: { ...geometry, size: out } };
    if (op === "conv2dInputGrad") return { shapes: [y, w], attrs: { ...geometry, size: [x[2], x[3]] } };
    return { shapes: [y, x], attrs: { ...geometry, size: [w[2], w[3]] } };
  });
}
