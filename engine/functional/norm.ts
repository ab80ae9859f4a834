/** Normalisations: (x − mean) / √(variance + eps), over dims that differ from one to the next. */
import { isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { building } from "../graph.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { alias } from "../ops/view.js";
import { broadcastShapes, numel, type Shape, sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { abs, add, clamp, div, mul, rsqrt, sqrt, square, sub } from "./elementwise.js";
import { expand, reshape } from "./movement.js";
import { amax, mean, norm, sum } from "./reduction.js";

interface AffineOptions {
  readonly weight?: Tensor | null;
  readonly bias?: Tensor | null;
}

export interface NormOptions extends AffineOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

function checkInput(op: string, input: Tensor): void {
  checkTensor(op, input);
  if (!isFloating(input.dtype)) throw new OpError(op, `the input has dtype ${input.dtype}; expected float32 or float64`);
}

/** Over the given dims, with the biased variance, in two passes: the difference of mean squares would cancel for a large mean. */
function standardize(x: Tensor, dims: readonly number[], eps: number): Tensor {
  const { centred, variance } = moments(x, dims);
  return mul(centred, rsqrt(add(variance, eps)));
}

function moments(x: Tensor, dims: readonly number[]): { average: Tensor; centred: Tensor; variance: Tensor } {
  const average = mean(x, { dim: dims, keepdim: true });
  const centred = sub(x, average);
  return { average, centred, variance: mean(square(centred), { dim: dims, keepdim: true }) };
}

/** · weight + bias, each reshaped to broadcast as `shape`. */
function affine(op: string, x: Tensor, { weight, bias }: AffineOptions, expected: Shape, shape: Shape = expected): Tensor {
  let out = x;
  for (const [name, factor] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (factor === null || factor === undefined) continue;
    checkTensor(op, factor, name);
    if (!sameShape(factor.shape, expected))
      throw new OpError(op, `${name} has shape ${showShape(factor.shape)}; expected ${showShape(expected)}`);
    const placed = sameShape(shape, expected) ? factor : reshape(factor, shape);
    out = name === "weight" ? mul(out, placed) : add(out, placed);
  }
  return out;
}

/** [C] as a factor of [N, C, …]: [C, 1, …]. */
const perChannel = (x: Tensor): number[] => [x.shape[1], ...x.shape.slice(2).map(() => 1)];

/** Over the last dims, which have sizes `normalizedShape`; weight and bias have that shape too. */
export function layerNorm(input: Tensor, normalizedShape: Shape, options: NormOptions = {}): Tensor {
  checkInput("layerNorm", input);
  checkOptions("layerNorm", options, ["weight", "bias", "eps"]);
  const first = input.ndim - normalizedShape.length;
  if (normalizedShape.length === 0 || first < 0 || !sameShape(input.shape.slice(first), normalizedShape)) {
    throw new OpError(
      "layerNorm",
      `the input has shape ${showShape(input.shape)}; expected one that ends in normalizedShape ${showShape(normalizedShape)}`,
    );
  }
  const dims = normalizedShape.map((_, i) => first + i);
  return affine("layerNorm", standardize(input, dims, options.eps ?? 1e-5), options, normalizedShape);
}

/** Over the channels of [N, C, …], at each position by itself ("channels first" layer norm); weight and bias have shape [C]. */
export function layerNorm2d(input: Tensor, options: NormOptions = {}): Tensor {
  checkInput("layerNorm2d", input);
  checkOptions("layerNorm2d", options, ["weight", "bias", "eps"]);
  if (input.ndim < 2) throw new OpError("layerNorm2d", `the input has shape ${showShape(input.shape)}; expected [N, C, …]`);
  return affine("layerNorm2d", standardize(input, [1], options.eps ?? 1e-5), options, [input.shape[1]], perChannel(input));
}

/** Over each of `numGroups` equal parts of the channels of [N, C, …], for each sample; weight and bias have shape [C]. */
export function groupNorm(input: Tensor, numGroups: number, options: NormOptions = {}): Tensor {
  checkInput("groupNorm", input);
  checkOptions("groupNorm", options, ["weight", "bias", "eps"]);
  if (input.ndim < 2) throw new OpError("groupNorm", `the input has shape ${showShape(input.shape)}; expected [N, C, …]`);
  const [n, channels, ...rest] = input.shape;
  if (!Number.isInteger(numGroups) || numGroups < 1 || channels % numGroups !== 0) {
    throw new OpError("groupNorm", `${channels} channels do not fall into ${numGroups} equal groups`);
  }
  const grouped = reshape(input, [n, numGroups, channels / numGroups, ...rest]);
  const dims = [2, ...rest.map((_, i) => 3 + i)];
  const out = reshape(standardize(grouped, dims, options.eps ?? 1e-5), input.shape);
  return affine("groupNorm", out, options, [channels], perChannel(input));
}

export interface BatchNormOptions extends NormOptions {
  /** Whether to use the batch's own statistics, and to update the running ones. Default false. */
  readonly training?: boolean;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
}

/**
 * Over all dims of [N, C, …] but the channels. In training the running statistics, where given, move towards the batch's: an effect,
 * carried out with the next read. The running variance is the unbiased one; the batch is normalised with the biased one.
 */
export function batchNorm(input: Tensor, runningMean: Tensor | null, runningVar: Tensor | null, options: BatchNormOptions = {}): Tensor {
  checkInput("batchNorm", input);
  checkOptions("batchNorm", options, ["weight", "bias", "training", "momentum", "eps"]);
  // PyTorch lets an empty vector through, though it has no channels.
  if (input.ndim === 1 && input.numel === 0) return alias(input);
  if (input.ndim < 2) throw new OpError("batchNorm", `the input has shape ${showShape(input.shape)}; expected [N, C, …]`);
  const channels = input.shape[1];
  for (const [name, running] of [
    ["runningMean", runningMean],
    ["runningVar", runningVar],
  ] as const) {
    if (running !== null && !sameShape(running.shape, [channels])) {
      throw new OpError(
        "batchNorm",
        `${name} has shape ${showShape(running.shape)}; expected [${channels}], one for each channel of ${showShape(input.shape)}`,
      );
    }
  }
  const { training = false, momentum = 0.1, eps = 1e-5 } = options;
  const shape = perChannel(input);
  if (!training) {
    if (runningMean === null || runningVar === null)
      throw new OpError("batchNorm", "outside training it needs runningMean and runningVar; or pass { training: true }");
    const centred = sub(input, reshape(runningMean, shape));
    return affine("batchNorm", mul(centred, reshape(rsqrt(add(runningVar, eps)), shape)), options, [channels], shape);
  }
  const count = numel(input.shape) / channels;
  if (count <= 1)
    throw new OpError("batchNorm", `training needs more than one value a channel; the input has shape ${showShape(input.shape)}`);
  const dims = input.shape.map((_, d) => d).filter((d) => d !== 1);
  const { average, centred, variance } = moments(input, dims);
  updateRunning(runningMean, average, momentum, 1);
  updateRunning(runningVar, variance, momentum, count / (count - 1));
  return affine("batchNorm", mul(centred, rsqrt(add(variance, eps))), options, [channels], shape);
}

/** running ← (1 − momentum) · running + momentum · factor · found. A checkpoint that computes its inside again has done so already. */
function updateRunning(running: Tensor | null, found: Tensor, momentum: number, factor: number): void {
  if (running === null || building.recompute !== 0) return;
  const flat = reshape(found.detach(), running.shape);
  running.assign(add(mul(running.detach(), 1 - momentum), mul(flat, momentum * factor)));
}

export interface InstanceNormOptions extends NormOptions {
  readonly runningMean?: Tensor | null;
  readonly runningVar?: Tensor | null;
  /** Whether to use each sample's own statistics. Default true. */
  readonly useInputStats?: boolean;
  readonly momentum?: number;
}

/** Over the positions of [N, C, …], for each sample and channel; weight and bias have shape [C]. */
export function instanceNorm(input: Tensor, options: InstanceNormOptions = {}): Tensor {
  checkInput("instanceNorm", input);
  checkOptions("instanceNorm", options, ["runningMean", "runningVar", "useInputStats", "momentum", "weight", "bias", "eps"]);
  const { runningMean = null, runningVar = null, useInputStats = true, momentum = 0.1, eps = 1e-5 } = options;
  if (input.ndim < 3) throw new OpError("instanceNorm", `the input has shape ${showShape(input.shape)}; expected [N, C, L] or more dims`);
  if (!useInputStats) return batchNorm(input, runningMean, runningVar, { weight: options.weight, bias: options.bias, eps });
  const positions = numel(input.shape.slice(2));
  if (positions <= 1)
    throw new OpError("instanceNorm", `it needs more than one position a channel; the input has shape ${showShape(input.shape)}`);
  const dims = input.shape.slice(2).map((_, i) => 2 + i);
  const { average, centred, variance } = moments(input, dims);
  updateRunning(runningMean, mean(average, { dim: 0, keepdim: true }), momentum, 1);
  updateRunning(runningVar, mean(variance, { dim: 0, keepdim: true }), momentum, positions / (positions - 1));
  return affine("instanceNorm", mul(centred, rsqrt(add(variance, eps))), options, [input.shape[1]], perChannel(input));
}

export interface NormalizeOptions {
  /** Order of the norm; default 2. */
  readonly p?: number;
  /** Default 1. */
  readonly dim?: number | readonly number[];
  /** The least norm to divide by. Default 1e-12. */
  readonly eps?: number;
}

/** x / max(‖x‖, eps), the norm taken along `dim`. */
export function normalize(input: Tensor, options: NormalizeOptions = {}): Tensor {
  checkTensor("normalize", input);
  checkOptions("normalize", options, ["p", "dim", "eps"]);
  const { p = 2, dim = 1, eps = 1e-12 } = options;
  return div(input, lengthAlong(input, p, dim, eps));
}

/** max(‖x‖, eps). The bound applies before the root, whose slope at 0 is infinite: zero vectors get gradient 0. */
function lengthAlong(x: Tensor, p: number, dim: number | readonly number[], eps: number): Tensor {
  if (p === 2) return sqrt(clamp(sum(square(x), { dim, keepdim: true }), { min: eps * eps }));
  if (p === 1) return clamp(sum(abs(x), { dim, keepdim: true }), { min: eps });
  if (p === Number.POSITIVE_INFINITY) return clamp(amax(abs(x), { dim, keepdim: true }), { min: eps });
  return clamp(norm(x, { p, dim, keepdim: true }), { min: eps });
}

/** x₁·x₂ / (max(‖x₁‖, eps) · max(‖x₂‖, eps)) along `dim`; the operands broadcast. */
export function cosineSimilarity(x1: Tensor, x2: Tensor, options: { readonly dim?: number; readonly eps?: number } = {}): Tensor {
  checkTensor("cosineSimilarity", x1, "x1");
  checkTensor("cosineSimilarity", x2, "x2");
  checkOptions("cosineSimilarity", options, ["dim", "eps"]);
  const { dim = 1, eps = 1e-8 } = options;
  const shape = broadcastShapes("cosineSimilarity", x1.shape, x2.shape);
  const [a, b] = [expand(x1, shape), expand(x2, shape)];
  return sum(mul(div(a, lengthAlong(a, 2, dim, eps)), div(b, lengthAlong(b, 2, dim, eps))), { dim });
}
