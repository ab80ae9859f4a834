/** Pooling: one value for each window of the spatial dims. */
import { hostArray, isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { filled, iota } from "../ops/leaf.js";
import { amaxOp, firstExtreme, reduceWith } from "../ops/reduce.js";
import { padWith } from "../ops/view.js";
import { windowOp } from "../ops/window.js";
import { showShape } from "../shape.js";
import { apply, fromHost, type Tensor } from "../tensor.js";
import { add, div, floorDivide, mul, remainder } from "./elementwise.js";
import { reshape } from "./movement.js";
import { mean, sum } from "./reduction.js";
import { averages, resample } from "./resize.js";
import { type Sizes, spatialSizes } from "./sizes.js";

export { type InterpolateMode, type InterpolateOptions, interpolate } from "./resize.js";

export interface PoolOptions {
  /** Default: the kernel size, so that windows do not overlap. */
  readonly stride?: Sizes | null;
  /** On both sides; at most half of the kernel. Default 0. */
  readonly padding?: Sizes;
  /** Whether a last window that the input fills only in part counts. Default false. */
  readonly ceilMode?: boolean;
}

export interface AvgPoolOptions extends PoolOptions {
  /** Whether padding counts in the number to divide by. Default true. */
  readonly countIncludePad?: boolean;
  /** Divides by this instead. */
  readonly divisorOverride?: number | null;
}

export interface MaxPoolOptions extends PoolOptions {
  /** Distance of a window's elements. Default 1. */
  readonly dilation?: Sizes;
}

/** Windows along one spatial dim. */
interface Line {
  readonly length: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly count: number;
}

const optionNames = ["stride", "padding", "ceilMode"];

function lines(op: string, spatial: number, input: Tensor, kernelSize: Sizes, options: MaxPoolOptions): Line[] {
  checkTensor(op, input);
  if (input.ndim !== spatial + 2 && input.ndim !== spatial + 1) {
    throw new OpError(op, `the input has shape ${showShape(input.shape)}; expected ${spatial + 2} dims, or ${spatial + 1} without a batch`);
  }
  if (input.shape.slice(-spatial - 1).includes(0))
    throw new OpError(op, `the input has shape ${showShape(input.shape)}; no size but that of the batch may be 0`);
  const kernel = spatialSizes(op, "kernelSize", kernelSize, spatial, 1);
  // PyTorch reads an empty list as no stride given.
  const given = Array.isArray(options.stride) && options.stride.length === 0 ? null : options.stride;
  const stride = spatialSizes(op, "stride", given ?? kernel, spatial, 1);
  const padding = spatialSizes(op, "padding", options.padding ?? 0, spatial, 0);
  const dilation = spatialSizes(op, "dilation", options.dilation ?? 1, spatial, 1);
  return input.shape.slice(-spatial).map((length, i) => {
    if (2 * padding[i] > kernel[i])
      throw new OpError(op, `padding ${showShape(padding)} is more than half of kernelSize ${showShape(kernel)}`);
    const span = dilation[i] * (kernel[i] - 1) + 1;
    const free = length + 2 * padding[i] - span;
    let count = (options.ceilMode ? Math.ceil(free / stride[i]) : Math.floor(free / stride[i])) + 1;
    // No window may begin in the padding after the input.
    if (options.ceilMode && (count - 1) * stride[i] >= length + padding[i]) count--;
    if (count < 1)
      throw new OpError(
        op,
        `windows of ${showShape(kernel)} do not fit the input ${showShape(input.shape)} with padding ${showShape(padding)}`,
      );
    return { length, kernel: kernel[i], stride: stride[i], padding: padding[i], dilation: dilation[i], count };
  });
}

/** [..., windows…, positions in a window…]; outside the input is `fill`. */
function windows(input: Tensor, along: readonly Line[], fill: number): Tensor {
  const outer = input.ndim - along.length;
  const none = input.shape.slice(0, outer).map(() => 0);
  const after = along.map(
    ({ length, kernel, stride, padding, dilation, count }) => (count - 1) * stride + dilation * (kernel - 1) + 1 - length - padding,
  );
  const padded = padWith(input, [...none, ...along.map(({ padding }) => padding)], [...none, ...after], fill);
  return along.reduce(
    (x, { kernel, stride, dilation }, i) => apply(windowOp, [x], { dim: outer + i, size: kernel, dilation, step: stride }),
    padded,
  );
}

/** The dims of positions in a window. */
const positions = (x: Tensor, count: number): number[] => Array.from({ length: count }, (_, i) => x.ndim - count + i);

/** Means of windows of [N, C, H, W] or [C, H, W]. */
export function avgPool2d(input: Tensor, kernelSize: Sizes, options: AvgPoolOptions = {}): Tensor {
  return averagePool("avgPool2d", 2, input, kernelSize, options);
}

/** Means of windows of [N, C, L] or [C, L]. */
export function avgPool1d(input: Tensor, kernelSize: Sizes, options: Omit<AvgPoolOptions, "divisorOverride"> = {}): Tensor {
  return averagePool("avgPool1d", 1, input, kernelSize, options);
}

function averagePool(op: string, spatial: number, input: Tensor, kernelSize: Sizes, options: AvgPoolOptions): Tensor {
  checkOptions(op, options, [...optionNames, "countIncludePad", "divisorOverride"]);
  const along = lines(op, spatial, input, kernelSize, options);
  const { countIncludePad = true, divisorOverride = null } = options;
  if (divisorOverride === 0) throw new OpError(op, "divisorOverride is 0");
  const cut = windows(input, along, 0);
  const total = sum(cut, { dim: positions(cut, spatial) });
  // Integers stay integers, as in PyTorch.
  const by = (divisor: Tensor | number): Tensor => div(total, divisor, isFloating(input.dtype) ? {} : { roundingMode: "trunc" });
  if (divisorOverride !== null) return by(divisorOverride);
  const counts = along.map((line) => elementCounts(line, countIncludePad));
  if (counts.every((list) => list.every((count) => count === list[0]))) return by(counts.reduce((n, list) => n * list[0], 1));
  const factors = counts.map((list, i) => {
    const values = hostArray(input.dtype, list.length);
    values.set(list);
    return reshape(fromHost(values, [list.length], input.dtype, input.device), [list.length, ...counts.slice(i + 1).map(() => 1)]);
  });
  return by(factors.reduce((a, b) => mul(a, b)));
}

/** How many elements each window has; with `withPadding` those of the padding that was asked for count. */
function elementCounts({ length, kernel, stride, padding, count }: Line, withPadding: boolean): number[] {
  return Array.from({ length: count }, (_, i) => {
    const start = i * stride - padding;
    const end = Math.min(start + kernel, length + padding);
    return withPadding ? end - start : Math.min(end, length) - Math.max(start, 0);
  });
}

/** The largest of each window of [N, C, H, W] or [C, H, W]. */
export function maxPool2d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { readonly returnIndices: true },
): { values: Tensor; indices: Tensor };
export function maxPool2d(input: Tensor, kernelSize: Sizes, options?: MaxPoolOptions): Tensor;
export function maxPool2d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { readonly returnIndices?: boolean } = {},
): Tensor | { values: Tensor; indices: Tensor } {
  return maximumPool("maxPool2d", 2, input, kernelSize, options);
}

/** The largest of each window of [N, C, L] or [C, L]. */
export function maxPool1d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { readonly returnIndices: true },
): { values: Tensor; indices: Tensor };
export function maxPool1d(input: Tensor, kernelSize: Sizes, options?: MaxPoolOptions): Tensor;
export function maxPool1d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { readonly returnIndices?: boolean } = {},
): Tensor | { values: Tensor; indices: Tensor } {
  return maximumPool("maxPool1d", 1, input, kernelSize, options);
}

function maximumPool(
  op: string,
  spatial: number,
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { readonly returnIndices?: boolean },
): Tensor | { values: Tensor; indices: Tensor } {
  checkOptions(op, options, [...optionNames, "dilation", "returnIndices"]);
  const along = lines(op, spatial, input, kernelSize, options);
  if (!isFloating(input.dtype)) throw new OpError(op, `the input has dtype ${input.dtype}; expected float32 or float64`);
  const cut = windows(input, along, Number.NEGATIVE_INFINITY);
  const values = reduceWith(amaxOp, cut, positions(cut, spatial), false, "first");
  return options.returnIndices ? { values, indices: indicesOf(input, values, along) } : values;
}

/** Where in the flattened spatial dims of the input the largest of each window is. */
function indicesOf(input: Tensor, values: Tensor, along: readonly Line[]): Tensor {
  const cut = windows(input.detach(), along, Number.NEGATIVE_INFINITY);
  // The padding is as large as an infinite element, and never an answer.
  const inside = windows(filled(1, input.shape, "bool", input.device), along, 0);
  const outer = cut.shape.slice(0, cut.ndim - along.length);
  let inWindow = reshape(firstExtreme(cut, values.detach(), positions(cut, along.length), inside), outer);
  let flat: Tensor = filled(0, outer, "int32", cut.device);
  let scale = 1;
  for (let i = along.length - 1; i >= 0; i--) {
    const { length, kernel, stride, padding, dilation } = along[i];
    const window = iota(outer, outer.length - along.length + i, cut.device);
    const at = add(add(mul(window, stride), mul(remainder(inWindow, kernel), dilation)), -padding);
    flat = add(flat, mul(at, scale));
    inWindow = floorDivide(inWindow, kernel);
    scale *= length;
  }
  return flat;
}

/** Means of `outputSize` parts of each spatial dim of [N, C, H, W] or [C, H, W]; null keeps a size. Parts may overlap by one element. */
export function adaptiveAvgPool2d(input: Tensor, outputSize: number | readonly (number | null)[]): Tensor {
  return adaptivePool("adaptiveAvgPool2d", 2, input, outputSize);
}

/** As `adaptiveAvgPool2d`, for [N, C, L] or [C, L]. */
export function adaptiveAvgPool1d(input: Tensor, outputSize: number | readonly (number | null)[]): Tensor {
  return adaptivePool("adaptiveAvgPool1d", 1, input, outputSize);
}

function adaptivePool(op: string, spatial: number, input: Tensor, outputSize: number | readonly (number | null)[]): Tensor {
  checkTensor(op, input);
  if (input.ndim !== spatial + 2 && input.ndim !== spatial + 1) {
    throw new OpError(op, `the input has shape ${showShape(input.shape)}; expected ${spatial + 2} dims, or ${spatial + 1} without a batch`);
  }
  const sizes = input.shape.slice(-spatial);
  const wanted = typeof outputSize === "number" ? sizes.map(() => outputSize) : outputSize.map((size, i) => size ?? sizes[i]);
  if (wanted.length !== spatial || !wanted.every((size) => Number.isInteger(size) && size >= 1)) {
    throw new OpError(op, `outputSize is ${JSON.stringify(outputSize)}; expected one whole number ≥ 1, or a list of ${spatial}`);
  }
  if (input.shape.slice(1).includes(0)) throw new OpError(op, `the input has shape ${showShape(input.shape)}; there is nothing to average`);
  return wanted.reduce((x, size, i) => {
    const dim = input.ndim - spatial + i;
    const length = x.shape[dim];
    if (size === length) return x;
    if (length % size !== 0) return resample(x, dim, averages(length, size, x));
    return mean(reshape(x, [...x.shape.slice(0, dim), size, length / size, ...x.shape.slice(dim + 1)]), { dim: dim + 1 });
  }, input);
}
