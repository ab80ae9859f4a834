/** Normalisation layers. */
import { OpError } from "../../engine/errors.js";
import { batchNorm, layerNorm, layerNorm2d } from "../../engine/functional/norm.js";
import { checkChoice } from "../../engine/ops/check.js";
import { showShape } from "../../engine/shape.js";
import type { Tensor } from "../../engine/tensor.js";
import { ones, zeros } from "./init.js";
import { Module } from "./module.js";
import { type BuildOptions, buildWith, initial, type Parameter, parameter } from "./parameter.js";

export interface LayerNormOptions extends BuildOptions {
  /** Default 1e-5 as in PyTorch; the networks here use 1e-6. */
  readonly eps?: number;
  /** `channels_last` normalises the last dims; `channels_first` the channels of NCHW, at every pixel by itself. */
  readonly dataFormat?: "channels_last" | "channels_first";
}

/**
 * (x − mean) / √(variance + eps) · weight + bias, with the biased variance: [..., normalizedShape] → the same, or with `channels_first`
 * [N, C, H, W] → the same, over the channels.
 *
 * Throws OpError for `channels_first` of several dims, and for input of another shape. Reference: torch.nn.LayerNorm; hornet.py, `LayerNorm`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.LayerNorm(16).forward(rand([2, 5, 16])); // [2, 5, 16]
 * new nn.LayerNorm(16, { dataFormat: "channels_first" }).forward(rand([2, 16, 4, 4])); // [2, 16, 4, 4]
 * ```
 */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #shape: readonly number[];
  readonly #eps: number;
  readonly #channelsFirst: boolean;

  constructor(normalizedShape: number | readonly number[], { eps = 1e-5, dataFormat = "channels_last", ...build }: LayerNormOptions = {}) {
    super();
    checkChoice("LayerNorm", "dataFormat", dataFormat, ["channels_last", "channels_first"]);
    this.#shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
    this.#eps = eps;
    this.#channelsFirst = dataFormat === "channels_first";
    if (this.#channelsFirst && this.#shape.length !== 1) {
      throw new OpError("LayerNorm", `channels_first normalises one dim; got shape ${showShape(this.#shape)}`);
    }
    [this.weight, this.bias] = buildWith(build, () => [parameter(this.#shape, ones), parameter(this.#shape, zeros)], "LayerNorm");
  }

  override forward(x: Tensor): Tensor {
    if (!this.#channelsFirst) return layerNorm(x, this.#shape, { weight: this.weight, bias: this.bias, eps: this.#eps });
    const channels = this.#shape[0];
    if (x.ndim !== 4 || x.shape[1] !== channels) {
      throw new OpError("LayerNorm", `expected [N, ${channels}, H, W] for channels_first; got ${showShape(x.shape)}`);
    }
    return layerNorm2d(x, { weight: this.weight, bias: this.bias, eps: this.#eps });
  }

  protected override describe(): string {
    return `${showShape(this.#shape)}, eps=${this.#eps}${this.#channelsFirst ? ", channels_first" : ""}`;
  }
}

/**
 * Layer norm over the channels of [N, C, H, W] → the same, at every pixel by itself.
 *
 * Throws OpError for other input. Reference: glnet.py and timm, `LayerNorm2d`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.LayerNorm2d(16).forward(rand([2, 16, 4, 4])); // [2, 16, 4, 4]
 * ```
 */
export class LayerNorm2d extends LayerNorm {
  constructor(channels: number, { eps = 1e-6, ...build }: Omit<LayerNormOptions, "dataFormat"> = {}) {
    super(channels, { eps, dataFormat: "channels_first", ...build });
  }
}

export interface BatchNorm2dOptions extends BuildOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
}

/**
 * Normalises every channel of [N, C, H, W] → the same: with the batch's own statistics in training, which also move the running ones (an effect
 * of the call), with the running ones otherwise.
 *
 * Throws OpError for other input, and in training for one value a channel. Reference: torch.nn.BatchNorm2d.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.BatchNorm2d(16).forward(rand([2, 16, 4, 4])); // [2, 16, 4, 4], and the running statistics move
 * ```
 */
export class BatchNorm2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  readonly numBatchesTracked: Tensor;
  readonly #eps: number;
  readonly #momentum: number;

  constructor(channels: number, { eps = 1e-5, momentum = 0.1, ...build }: BatchNorm2dOptions = {}) {
    super();
    this.#eps = eps;
    this.#momentum = momentum;
    const made = buildWith(
      build,
      () => ({
        weight: parameter([channels], ones),
        bias: parameter([channels], zeros),
        mean: initial([channels], zeros),
        variance: initial([channels], ones),
        count: initial([], zeros, "int32"),
      }),
      "BatchNorm2d",
    );
    this.weight = made.weight;
    this.bias = made.bias;
    this.runningMean = made.mean;
    this.runningVar = made.variance;
    this.numBatchesTracked = made.count;
  }

  override forward(x: Tensor): Tensor {
    if (x.ndim !== 4) throw new OpError("BatchNorm2d", `expected [N, C, H, W]; got ${showShape(x.shape)}`);
    if (this.training) this.numBatchesTracked.assign(this.numBatchesTracked.add(1));
    return batchNorm(x, this.runningMean, this.runningVar, {
      weight: this.weight,
      bias: this.bias,
      training: this.training,
      momentum: this.#momentum,
      eps: this.#eps,
    });
  }

  protected override describe(): string {
    return `${this.weight.shape[0]}, eps=${this.#eps}, momentum=${this.#momentum}`;
  }
}
