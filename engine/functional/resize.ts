/**
 * Resizing of images. Each spatial dim is a product with a small matrix [out, in] whose rows are the weights of the input's elements; the
 * matrix is an expression of its indices, so nothing is gathered, and the gradient is a product too.
 */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { iota } from "../ops/leaf.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { abs, add, clamp, div, eq, floor, floorDivide, ge, le, logicalAnd, lt, mul, relu, sub, where } from "./elementwise.js";
import { matmul } from "./linalg.js";
import { expand, reshape, transpose, unsqueeze } from "./movement.js";
import { type Sizes, spatialSizes } from "./sizes.js";

/** How `interpolate` finds values between those given; names are PyTorch's. */
export type InterpolateMode = "nearest" | "nearest-exact" | "linear" | "bilinear" | "trilinear" | "bicubic" | "area";

export interface InterpolateOptions {
  /** The spatial size wanted; or give `scaleFactor`. */
  readonly size?: Sizes | null;
  readonly scaleFactor?: number | readonly number[] | null;
  /** Default "nearest". */
  readonly mode?: InterpolateMode;
  /** Whether the centres of the corner elements stay in place (true), or the corners themselves. For linear, bilinear, trilinear and bicubic. */
  readonly alignCorners?: boolean | null;
  /** With `scaleFactor`: whether distances come from the sizes, as if `size` had been given. Default false. */
  readonly recomputeScaleFactor?: boolean | null;
}

const spatialDims: Readonly<Record<InterpolateMode, readonly number[]>> = {
  nearest: [1, 2, 3],
  "nearest-exact": [1, 2, 3],
  linear: [1],
  bilinear: [2],
  trilinear: [3],
  bicubic: [2],
  area: [1, 2, 3],
};
const layouts = ["[N, C, L]", "[N, C, H, W]", "[N, C, D, H, W]"];

/**
 * Resizes the spatial dims of [N, C, L], [N, C, H, W] or [N, C, D, H, W] to `size`, or by `scaleFactor` (sizes are rounded down). Mode "area"
 * takes the means of equal parts. Reference: torch.nn.functional.interpolate, without antialias.
 */
export function interpolate(input: Tensor, options: InterpolateOptions = {}): Tensor {
  const op = "interpolate";
  checkTensor(op, input);
  checkOptions(op, options, ["size", "scaleFactor", "mode", "alignCorners", "recomputeScaleFactor"]);
  const { mode = "nearest", alignCorners = null } = options;
  const spatial = input.ndim - 2;
  const allowed = spatialDims[mode];
  if (allowed === undefined) throw new OpError(op, `mode is "${mode}"; expected one of ${Object.keys(spatialDims).join(", ")}`);
  if (!allowed.includes(spatial)) {
    throw new OpError(op, `mode "${mode}" takes ${allowed.map((n) => layouts[n - 1]).join(" or ")}; got ${showShape(input.shape)}`);
  }
  if ((mode.startsWith("nearest") || mode === "area") && alignCorners !== null)
    throw new OpError(op, `alignCorners has no meaning for mode "${mode}"`);
  const { sizes, factors } = targetSizes(op, input, spatial, options);
  if (input.shape.slice(2).includes(0) || sizes.some((size) => size < 1)) {
    throw new OpError(
      op,
      `sizes must be 1 or more; the input has shape ${showShape(input.shape)}, the result would have ${showShape(sizes)}`,
    );
  }
  return sizes.reduce((x, size, i) => {
    const dim = 2 + i;
    const scale = factors === null ? x.shape[dim] / size : 1 / factors[i];
    return resizeDim(x, dim, size, { mode, alignCorners: alignCorners ?? false, scale });
  }, input);
}

function targetSizes(
  op: string,
  input: Tensor,
  spatial: number,
  options: InterpolateOptions,
): { sizes: number[]; factors: number[] | null } {
  const { size = null, scaleFactor = null } = options;
  if ((size === null) === (scaleFactor === null)) throw new OpError(op, "give either size or scaleFactor");
  if (Array.isArray(size) && size.length !== spatial)
    throw new OpError(op, `size ${showShape(size)} must name ${spatial} sizes, one for each spatial dim of ${showShape(input.shape)}`);
  if (size !== null) return { sizes: spatialSizes(op, "size", size, spatial, 1), factors: null };
  const factors = typeof scaleFactor === "number" ? Array.from({ length: spatial }, () => scaleFactor) : [...(scaleFactor ?? [])];
  if (factors.length !== spatial || !factors.every((factor) => factor > 0)) {
    throw new OpError(op, `scaleFactor is ${JSON.stringify(scaleFactor)}; expected one number > 0, or a list of ${spatial}`);
  }
  return {
    sizes: factors.map((factor, i) => Math.floor(input.shape[2 + i] * factor)),
    factors: options.recomputeScaleFactor ? null : factors,
  };
}

interface Resize {
  readonly mode: InterpolateMode;
  readonly alignCorners: boolean;
  /** Distance of neighbouring results in elements of the input, unless corners are aligned. */
  readonly scale: number;
}

function resizeDim(x: Tensor, dim: number, size: number, { mode, alignCorners, scale }: Resize): Tensor {
  const length = x.shape[dim];
  if (mode === "area") return size === length ? x : resample(x, dim, averages(length, size, x));
  if (size === length && (scale === 1 || alignCorners || mode.endsWith("linear"))) return x;
  if (mode === "nearest" && size % length === 0 && scale * size === length) return repeated(x, dim, size / length);
  const row = cast(iota([size, length], 0, x.device), x.dtype);
  const column = cast(iota([size, length], 1, x.device), x.dtype);
  if (mode === "nearest" || mode === "nearest-exact") {
    const source = clamp(floor(mul(mode === "nearest" ? row : add(row, 0.5), scale)), { max: length - 1 });
    return resample(x, dim, cast(eq(source, column), x.dtype));
  }
  const source = alignCorners ? mul(row, size > 1 ? (length - 1) / (size - 1) : 0) : sub(mul(add(row, 0.5), scale), 0.5);
  return resample(x, dim, mode === "bicubic" ? cubicWeights(source, column, length) : linearWeights(source, column, length));
}

/** Each element `times` times: a view. */
function repeated(x: Tensor, dim: number, times: number): Tensor {
  const wide = unsqueeze(x, dim + 1);
  return reshape(
    expand(
      wide,
      wide.shape.map((size, d) => (d === dim + 1 ? times : size)),
    ),
    x.shape.map((size, d) => (d === dim ? size * times : size)),
  );
}

/** 1 − |distance| from the source position, which stays inside the input. */
function linearWeights(source: Tensor, column: Tensor, length: number): Tensor {
  const inside = clamp(source, { min: 0, max: length - 1 });
  return relu(sub(1, abs(sub(inside, column))));
}

/** The cubic kernel at the four neighbours; those outside the input count for its border. */
function cubicWeights(source: Tensor, column: Tensor, length: number): Tensor {
  const first = sub(floor(source), 1);
  return [0, 1, 2, 3]
    .map((tap) => {
      const neighbour = add(first, tap);
      const here = eq(clamp(neighbour, { min: 0, max: length - 1 }), column);
      return where(here, cubic(abs(sub(source, neighbour))), 0);
    })
    .reduce((a, b) => add(a, b));
}

/** Keys's kernel with a = −0.75 at a distance ≥ 0 from its centre. */
export function cubic(distance: Tensor): Tensor {
  const a = -0.75;
  const near = polynomial(distance, [a + 2, -(a + 3), 0, 1]);
  const far = polynomial(distance, [a, -5 * a, 8 * a, -4 * a]);
  return where(le(distance, 1), near, where(lt(distance, 2), far, 0));
}

/** Horner's rule, coefficients from the highest power down. */
function polynomial(x: Tensor, [highest, next, ...rest]: readonly number[]): Tensor {
  return rest.reduce((sum, c) => add(mul(sum, x), c), add(mul(x, highest), next));
}

/** Row j holds 1/n at the n elements of the j-th of `parts` parts, ⌊j · length / parts⌋ to ⌈(j + 1) · length / parts⌉ − 1. */
export function averages(length: number, parts: number, like: Tensor): Tensor {
  const [row, column] = [iota([parts, length], 0, like.device), iota([parts, length], 1, like.device)];
  const start = floorDivide(mul(row, length), parts);
  const end = floorDivide(add(mul(row, length), length + parts - 1), parts);
  const inside = logicalAnd(ge(column, start), lt(column, end));
  return div(cast(inside, like.dtype), cast(sub(end, start), like.dtype));
}

/** Replaces dim `dim` by products with the rows of `weights` [out, in]. */
export function resample(x: Tensor, dim: number, weights: Tensor): Tensor {
  if (dim === x.ndim - 1) return matmul(x, transpose(weights, 0, 1));
  if (dim === x.ndim - 2) return matmul(weights, x);
  return transpose(matmul(weights, transpose(x, dim, x.ndim - 2)), dim, x.ndim - 2);
}
