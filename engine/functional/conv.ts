/** Convolutions, in one and two dimensions, and transposed. */
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { conv2dInputGrad, conv2dRaw, type Pair } from "../ops/conv.js";
import { checkContractionDtypes } from "../ops/matmul.js";
import { type Shape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { add } from "./elementwise.js";
import { reshape, squeeze, unsqueeze } from "./movement.js";
import { type Sizes, spatialSizes } from "./sizes.js";

export type { Sizes } from "./sizes.js";

export interface ConvOptions {
  readonly bias?: Tensor | null;
  /** Default 1. */
  readonly stride?: Sizes;
  /** Zeros on both sides of each spatial dim; "same" keeps the size (stride 1 only), "valid" is 0. Default 0. */
  readonly padding?: Sizes | "same" | "valid";
  /** Default 1. */
  readonly dilation?: Sizes;
  /** Both kinds of channels fall into this many parts, which do not mix. Default 1. */
  readonly groups?: number;
}

export interface ConvTransposeOptions extends Omit<ConvOptions, "padding"> {
  /** Cut off both sides of the result. Default 0. */
  readonly padding?: Sizes;
  /** Rows and columns added on one side of the result. Default 0. */
  readonly outputPadding?: Sizes;
}

const optionNames = ["bias", "stride", "padding", "dilation", "groups"] as const;

/**
 * Cross-correlation of x [N, Ci, H, W] (or [Ci, H, W]) with weight [Co, Ci/groups, KH, KW] → [N, Co, OH, OW], where
 * OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1.
 */
export function conv2d(input: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolve("conv2d", 2, input, weight, options);
}

/** As `conv2d`, along one dim: x [N, Ci, L] (or [Ci, L]), weight [Co, Ci/groups, K] → [N, Co, OL]. */
export function conv1d(input: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolve("conv1d", 1, input, weight, options);
}

/**
 * Transposed convolution, the gradient of `conv2d` for its input: x [N, Ci, H, W] (or [Ci, H, W]), weight [Ci, Co/groups, KH, KW] →
 * [N, Co, OH, OW], where OH = (H − 1)·stride − 2·padding + dilation·(KH − 1) + outputPadding + 1.
 */
export function convTranspose2d(input: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return convolveTransposed("convTranspose2d", 2, input, weight, options);
}

/** As `convTranspose2d`, along one dim. */
export function convTranspose1d(input: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return convolveTransposed("convTranspose1d", 1, input, weight, options);
}

function convolve(op: string, spatial: 1 | 2, input: Tensor, weight: Tensor, options: ConvOptions): Tensor {
  checkOptions(op, options, optionNames);
  checkRanks(op, spatial, input, weight);
  const { groups = 1, padding = 0 } = options;
  checkGroups(op, groups, weight, "output");
  const channels = input.shape[input.ndim - spatial - 1];
  if (channels !== weight.shape[1] * groups) {
    throw new OpError(
      op,
      `input has ${channels} channels, but weight ${showShape(weight.shape)} with groups=${groups} expects ${weight.shape[1] * groups}`,
    );
  }
  const stride = spatialSizes(op, "stride", options.stride ?? 1, spatial, 1);
  const dilation = spatialSizes(op, "dilation", options.dilation ?? 1, spatial, 1);
  const reach = weight.shape.slice(2).map((kernel, i) => dilation[i] * (kernel - 1));
  const pads = paddings(op, padding, stride, reach);
  const sizes = input.shape.slice(-spatial);
  const out = sizes.map((size, i) => {
    const padded = size + pads[i][0] + pads[i][1];
    if (padded <= reach[i]) {
      throw new OpError(
        op,
        `the kernel is larger than the padded input: it reaches over ${showShape(reach.map((r) => r + 1))} (weight ${showShape(weight.shape)}, dilation ${showShape(dilation)}), the input has ${showShape(sizes.map((s, j) => s + pads[j][0] + pads[j][1]))} with padding`,
      );
    }
    return Math.floor((padded - reach[i] - 1) / stride[i]) + 1;
  });
  const before = pads.map(([first]) => first);
  const attrs = { stride: pair(stride, 1), padding: pair(before, 0), dilation: pair(dilation, 1), groups, size: pair(out, 1) };
  const result = conv2dRaw(planar(input, spatial), planar(weight, spatial, true), attrs);
  return finish(op, result, input, spatial, options.bias ?? null, weight.shape);
}

function convolveTransposed(op: string, spatial: 1 | 2, input: Tensor, weight: Tensor, options: ConvTransposeOptions): Tensor {
  checkOptions(op, options, [...optionNames, "outputPadding"]);
  checkRanks(op, spatial, input, weight);
  const { groups = 1 } = options;
  checkGroups(op, groups, weight, "input");
  const channels = input.shape[input.ndim - spatial - 1];
  if (channels !== weight.shape[0]) {
    throw new OpError(
      op,
      `input has ${channels} channels, but weight ${showShape(weight.shape)} expects ${weight.shape[0]}; its layout is [in, out/groups, …]`,
    );
  }
  const stride = spatialSizes(op, "stride", options.stride ?? 1, spatial, 1);
  const dilation = spatialSizes(op, "dilation", options.dilation ?? 1, spatial, 1);
  const padding = spatialSizes(op, "padding", options.padding ?? 0, spatial, 0);
  const extra = spatialSizes(op, "outputPadding", options.outputPadding ?? 0, spatial, 0);
  const sizes = input.shape.slice(-spatial);
  const out = sizes.map((size, i) => {
    if (extra[i] >= stride[i] && extra[i] >= dilation[i]) {
      throw new OpError(
        op,
        `outputPadding ${showShape(extra)} must be smaller than stride ${showShape(stride)} or dilation ${showShape(dilation)}`,
      );
    }
    return (size - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + extra[i] + 1;
  });
  if (out.some((size) => size < 1))
    throw new OpError(op, `the result would have size ${showShape(out)}; padding ${showShape(padding)} is too large`);
  const attrs = { stride: pair(stride, 1), padding: pair(padding, 0), dilation: pair(dilation, 1), groups, size: pair(out, 1) };
  const result = conv2dInputGrad(planar(input, spatial), planar(weight, spatial, true), attrs);
  return finish(op, result, input, spatial, options.bias ?? null, weight.shape);
}

function checkRanks(op: string, spatial: number, input: Tensor, weight: Tensor): void {
  checkTensor(op, input);
  checkTensor(op, weight, "weight");
  checkContractionDtypes(op, input, weight);
  const layout = spatial === 2 ? ["H", "W"] : ["L"];
  if (weight.ndim !== spatial + 2) {
    throw new OpError(
      op,
      `weight has shape ${showShape(weight.shape)}; expected ${spatial + 2} dims: [out, in, ${layout.map((l) => "K" + l).join(", ")}]`,
    );
  }
  if (input.ndim !== spatial + 2 && input.ndim !== spatial + 1) {
    throw new OpError(op, `input has shape ${showShape(input.shape)}; expected [N, C, ${layout.join(", ")}] or [C, ${layout.join(", ")}]`);
  }
  if (weight.shape.slice(2).some((size) => size === 0))
    throw new OpError(op, `weight has shape ${showShape(weight.shape)}; a kernel has at least one element`);
}

function checkGroups(op: string, groups: number, weight: Tensor, kind: "input" | "output"): void {
  if (!Number.isInteger(groups) || groups < 1) throw new OpError(op, `groups is ${groups}; expected a whole number ≥ 1`);
  if (weight.shape[0] % groups !== 0) {
    throw new OpError(
      op,
      `weight ${showShape(weight.shape)} has ${weight.shape[0]} ${kind} channels, which do not fall into groups=${groups} equal parts`,
    );
  }
}

/** Zeros before and after each spatial dim. */
function paddings(op: string, padding: Sizes | string, stride: readonly number[], reach: readonly number[]): (readonly [number, number])[] {
  if (padding === "same") {
    if (stride.some((step) => step !== 1))
      throw new OpError(op, `padding "same" needs stride 1; got stride ${showShape(stride)}; give the padding as numbers`);
    return reach.map((total) => [Math.floor(total / 2), Math.ceil(total / 2)]);
  }
  if (padding === "valid") return reach.map(() => [0, 0]);
  if (typeof padding === "string") throw new OpError(op, `padding is "${padding}"; expected whole numbers, "same" or "valid"`);
  return spatialSizes(op, "padding", padding, reach.length, 0).map((size) => [size, size]);
}

/** A pair for the record: one-dimensional convolutions are images of one row. */
const pair = (values: readonly number[], first: number): Pair => (values.length === 2 ? [values[0], values[1]] : [first, values[0]]);

/** Adds what is missing to [N, C, H, W]: the row dim, the batch dim. */
function planar(x: Tensor, spatial: number, isWeight = false): Tensor {
  const rows = spatial === 1 ? unsqueeze(x, -2) : x;
  return !isWeight && rows.ndim === 3 ? unsqueeze(rows, 0) : rows;
}

function finish(op: string, result: Tensor, input: Tensor, spatial: number, bias: Tensor | null, weightShape: Shape): Tensor {
  let out = result;
  if (bias !== null) {
    checkTensor(op, bias, "bias");
    const channels = result.shape[1];
    if (bias.ndim !== 1 || bias.shape[0] !== channels) {
      throw new OpError(
        op,
        `bias has shape ${showShape(bias.shape)}; expected [${channels}], one for each output channel of weight ${showShape(weightShape)}`,
      );
    }
    out = add(out, reshape(bias, [channels, 1, 1]));
  }
  if (spatial === 1) out = squeeze(out, { dim: -2 });
  return input.ndim === spatial + 1 ? squeeze(out, { dim: 0 }) : out;
}
