/** Convolution layers. */
import { OpError } from "../../engine/errors.js";
import { conv2d, convTranspose2d } from "../../engine/functional/conv.js";
import type { Tensor } from "../../engine/tensor.js";
import { kaimingUniform, uniform } from "./init.js";
import { Module } from "./module.js";
import { type BuildOptions, buildWith, initInForce, type Parameter, parameter } from "./parameter.js";

type Pair = number | readonly [number, number];
const pair = (value: Pair): readonly [number, number] => (typeof value === "number" ? [value, value] : value);

export interface Conv2dOptions extends BuildOptions {
  /** Default 1. */
  readonly stride?: Pair;
  /** Zeros around the map. Default 0. */
  readonly padding?: Pair;
  /** Distance of the taps. Default 1. */
  readonly dilation?: Pair;
  /** Channels are convolved in so many groups, each with its own. Default 1. */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * Convolution with weight [out, in / groups, kh, kw], zero padding: x [N, in, H, W] → [N, out, H', W'],
 * H' = ⌊(H + 2 · padding − dilation · (kh − 1) − 1) / stride⌋ + 1. `groups` = in: depthwise.
 *
 * Throws OpError where the groups do not divide the channels, and for other input. Reference: torch.nn.Conv2d.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.Conv2d(3, 16, 3, { stride: 2, padding: 1 }).forward(rand([1, 3, 8, 8])); // [1, 16, 4, 4]
 * ```
 */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly #options: {
    readonly stride: readonly [number, number];
    readonly padding: readonly [number, number];
    readonly dilation: readonly [number, number];
    readonly groups: number;
  };

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...build } = options;
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new OpError("Conv2d", `${inChannels} input and ${outChannels} output channels do not divide into ${groups} groups`);
    }
    this.#options = { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), groups };
    const [kh, kw] = pair(kernelSize);
    const fanIn = (inChannels / groups) * kh * kw;
    [this.weight, this.bias] = buildWith(
      build,
      () => {
        const init = initInForce() ?? { weight: kaimingUniform, bias: uniform(1 / Math.sqrt(fanIn)) };
        return [parameter([outChannels, inChannels / groups, kh, kw], init.weight), bias ? parameter([outChannels], init.bias) : null];
      },
      "Conv2d",
    );
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, { ...this.#options, bias: this.bias });
  }

  protected override describe(): string {
    const [out, perGroup, kh, kw] = this.weight.shape;
    const { stride, groups } = this.#options;
    return `${perGroup * groups}, ${out}, kernelSize=${kh}x${kw}, stride=${stride[0]}${groups > 1 ? `, groups=${groups}` : ""}`;
  }
}

export interface ConvTranspose2dOptions extends BuildOptions {
  /** Places of the result from one of the input to the next. Default 1. */
  readonly stride?: Pair;
  /** Taken off at the border. Default 0. */
  readonly padding?: Pair;
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * Transposed convolution of x [N, in, H, W] with weight [in, out, kh, kw] → [N, out, (H − 1) · stride − 2 · padding + kh, …].
 *
 * Throws OpError for other input. Reference: torch.nn.ConvTranspose2d.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.ConvTranspose2d(16, 8, 2, { stride: 2 }).forward(rand([1, 16, 7, 7])); // [1, 8, 14, 14]
 * ```
 */
export class ConvTranspose2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly #options: { readonly stride: readonly [number, number]; readonly padding: readonly [number, number] };

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: ConvTranspose2dOptions = {}) {
    super();
    const { stride = 1, padding = 0, bias = true, ...build } = options;
    this.#options = { stride: pair(stride), padding: pair(padding) };
    const [kh, kw] = pair(kernelSize);
    [this.weight, this.bias] = buildWith(
      build,
      () => {
        const init = initInForce() ?? { weight: kaimingUniform, bias: uniform(1 / Math.sqrt(outChannels * kh * kw)) };
        return [parameter([inChannels, outChannels, kh, kw], init.weight), bias ? parameter([outChannels], init.bias) : null];
      },
      "ConvTranspose2d",
    );
  }

  override forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, { ...this.#options, bias: this.bias });
  }

  protected override describe(): string {
    const [inner, out, kh, kw] = this.weight.shape;
    return `${inner}, ${out}, kernelSize=${kh}x${kw}, stride=${this.#options.stride[0]}`;
  }
}
