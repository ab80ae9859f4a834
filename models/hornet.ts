/**
 * HorNet, the classification network, and its published variants.
 *
 * Paper: Rao et al., "HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions", NeurIPS 2022.
 * Original: hornet.py, classes `Block` and `HorNet`, functions `hornet_*`.
 */
import { OpError } from "../engine/errors.js";
import { gelu } from "../engine/functional/activation.js";
import { checkOptions } from "../engine/ops/check.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";
import { GnConv, type GnConvOptions, type SpatialOperator } from "./gnconv.js";
import { type Layer, Sequential } from "./nn/container.js";
import { Conv2d } from "./nn/conv.js";
import { DropPath } from "./nn/drop.js";
import { constant, scaled, truncNormal, xavierUniform, zeros } from "./nn/init.js";
import { Linear } from "./nn/linear.js";
import { Module } from "./nn/module.js";
import { LayerNorm } from "./nn/norm.js";
import { buildWith, type Parameter, parameter } from "./nn/parameter.js";

export interface HorNetBlockOptions {
  /** Rate at which training drops each of the two branches. Default 0. */
  readonly dropPath?: number;
  /** Initial value of the scales of the two branches; 0: no scales. */
  readonly layerScaleInitValue?: number;
  /** See GnConvOptions. Default: order 5. */
  readonly gnconv?: GnConvOptions;
}

/**
 * x = x + dropPath(γ₁ · gnconv(norm1(x)));
 * x = x + dropPath(γ₂ · pwconv2(gelu(pwconv1(norm2(x))))), the second with the channels last: x [N, C, H, W] → [N, C, H, W].
 *
 * Throws OpError as GnConv does. Reference: HorNet, section 3.2; hornet.py, `Block`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { HorNetBlock } from "crabro/models";
 *
 * new HorNetBlock(64, { gnconv: { order: 3 } }).forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * ```
 */
export class HorNetBlock extends Module {
  readonly gamma1: Parameter | null;
  readonly gamma2: Parameter | null;
  readonly norm1: LayerNorm;
  readonly gnconv: GnConv;
  readonly norm2: LayerNorm;
  readonly pwconv1: Linear;
  readonly pwconv2: Linear;
  readonly dropPath: DropPath;
  readonly #dim: number;

  constructor(dim: number, options: HorNetBlockOptions = {}) {
    super();
    checkOptions("HorNetBlock", options, ["dropPath", "layerScaleInitValue", "gnconv"]);
    const { dropPath = 0, layerScaleInitValue = 1e-6, gnconv = {} } = options;
    const scale = () => (layerScaleInitValue > 0 ? parameter([dim], constant(layerScaleInitValue)) : null);
    this.#dim = dim;
    this.gamma1 = scale();
    this.gamma2 = scale();
    this.norm1 = new LayerNorm(dim, { eps: 1e-6, dataFormat: "channels_first" });
    this.gnconv = new GnConv(dim, gnconv);
    this.norm2 = new LayerNorm(dim, { eps: 1e-6 });
    this.pwconv1 = new Linear(dim, 4 * dim);
    this.pwconv2 = new Linear(4 * dim, dim);
    this.dropPath = new DropPath(dropPath);
  }

  override forward(x: Tensor): Tensor {
    let mixed = this.gnconv.forward(this.norm1.forward(x)); // [N, C, H, W]
    if (this.gamma1 !== null) mixed = mixed.mul(this.gamma1.reshape([this.#dim, 1, 1]));
    x = x.add(this.dropPath.forward(mixed));

    const pixels = x.permute([0, 2, 3, 1]); // [N, H, W, C]
    let mlp = this.pwconv2.forward(gelu(this.pwconv1.forward(this.norm2.forward(pixels)))); // [N, H, W, C]
    if (this.gamma2 !== null) mlp = mlp.mul(this.gamma2);
    return x.add(this.dropPath.forward(mlp.permute([0, 3, 1, 2]))); // [N, C, H, W]
  }
}

export interface HorNetOptions {
  /** Channels of the images. Default 3. */
  readonly inChans?: number;
  /** Default 1000. */
  readonly numClasses?: number;
  /** Blocks of each of the four stages. */
  readonly depths?: readonly number[];
  /** Channels of the first stage; each further stage doubles them. */
  readonly baseDim?: number;
  /** The gnConv of each stage. */
  readonly gnconv?: readonly GnConvOptions[];
  /** Drop-path rate of the last block; the rates rise evenly from 0. */
  readonly dropPathRate?: number;
  /** Initial value of the scales of the branches; 0: no scales. Default 1e-6. */
  readonly layerScaleInitValue?: number;
  /** Factor of the head's initial weights. Default 1. */
  readonly headInitScale?: number;
  /** Start weights Xavier-uniform in place of truncated normal 0.02, which is small for narrow networks. */
  readonly uniformInit?: boolean;
}

const third = 1.0 / 3.0;
const filter = (h: number, w: number): SpatialOperator => ({ filter: "gf", h, w });

/** Orders 2 to 5 and s = 1/3, with this operator in the third and fourth stage. */
export function hornetGnConv(stage2: SpatialOperator = "7x7", stage3: SpatialOperator = "7x7"): GnConvOptions[] {
  return (["7x7", "7x7", stage2, stage3] as const).map((dwconv, i) => ({ order: i + 2, s: third, dwconv }));
}

/** The same with filters for square images of this side: as many coefficients as the maps' spectra have. Throws OpError for no such side. */
export function hornetFilters(inputSize: number): GnConvOptions[] {
  if (!Number.isInteger(inputSize) || inputSize < 1) throw new OpError("HorNet", `inputSize is a whole number of pixels; got ${inputSize}`);
  const spectrum = (side: number): SpatialOperator => filter(side, Math.floor(side / 2) + 1);
  return hornetGnConv(spectrum(Math.max(1, Math.floor(inputSize / 16))), spectrum(Math.max(1, Math.floor(inputSize / 32))));
}

/** What the classification network and the backbone of dense prediction have in common. */
export interface HorNetTrunk {
  readonly dims: readonly number[];
  readonly downsampleLayers: readonly Sequential[];
  readonly stages: readonly Sequential<HorNetBlock>[];
}

const initOf = ({ uniformInit = false }: HorNetOptions) => ({ weight: uniformInit ? xavierUniform : truncNormal(0.02), bias: zeros });

export const classifierOptions = [
  "inChans",
  "depths",
  "baseDim",
  "gnconv",
  "dropPathRate",
  "layerScaleInitValue",
  "uniformInit",
  "numClasses",
  "headInitScale",
] satisfies readonly (keyof HorNetOptions)[];

/** Stem, downsamplings and stages. Throws OpError unless there are four depths and four gnConv settings. */
export function hornetTrunk(options: Omit<HorNetOptions, "numClasses" | "headInitScale">): HorNetTrunk {
  const {
    inChans = 3,
    depths = [3, 3, 9, 3],
    baseDim = 96,
    gnconv = hornetGnConv(),
    dropPathRate = 0,
    layerScaleInitValue = 1e-6,
  } = options;
  if (depths.length !== 4 || gnconv.length !== 4) {
    throw new OpError("HorNet", `there are four stages; got ${depths.length} depths and ${gnconv.length} gnconv settings`);
  }
  const dims = [1, 2, 4, 8].map((factor) => baseDim * factor);
  const blocks = depths.reduce((a, b) => a + b);
  const normFirst = (dim: number) => new LayerNorm(dim, { eps: 1e-6, dataFormat: "channels_first" });
  return buildWith({ init: initOf(options) }, () => {
    const downsampleLayers = dims.map((dim, i) =>
      i === 0
        ? new Sequential<Layer>(new Conv2d(inChans, dim, 4, { stride: 4 }), normFirst(dim))
        : new Sequential<Layer>(normFirst(dims[i - 1]), new Conv2d(dims[i - 1], dim, 2, { stride: 2 })),
    );
    let block = 0;
    const stages = dims.map((dim, i) => {
      const stage = Array.from({ length: depths[i] }, () => {
        const dropPath = blocks > 1 ? (dropPathRate * block++) / (blocks - 1) : 0;
        return new HorNetBlock(dim, { dropPath, layerScaleInitValue, gnconv: gnconv[i] });
      });
      return new Sequential(...stage);
    });
    return { dims, downsampleLayers, stages };
  });
}

/** Throws OpError unless x is [N, inChans, H, W] with sides of at least 32, of which four downsamplings leave something. */
export function checkImages(op: string, x: Tensor, inChans: number): void {
  if (x.ndim !== 4 || x.shape[1] !== inChans) throw new OpError(op, `expected images [N, ${inChans}, H, W]; got ${showShape(x.shape)}`);
  if (x.shape[2] < 32 || x.shape[3] < 32) {
    throw new OpError(op, `four downsamplings leave nothing of ${x.shape[2]} × ${x.shape[3]} pixels; pad or resize to at least 32 × 32`);
  }
}

/**
 * Images [N, inChans, H, W], of any size from 32 × 32 → logits [N, numClasses].
 *
 * Throws OpError unless there are four depths and four gnConv settings, where an order does not fit its width (see GnConv), and for images
 * that are smaller or of other channels. Reference: HorNet, section 3.2; hornet.py, `HorNet`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { HorNet } from "crabro/models";
 *
 * const network = new HorNet({ depths: [1, 1, 2, 1], baseDim: 16, numClasses: 10 });
 * network.eval().forward(rand([1, 3, 64, 48])); // [1, 10]
 * ```
 */
export class HorNet extends Module {
  readonly downsampleLayers: readonly Sequential[];
  readonly stages: readonly Sequential<HorNetBlock>[];
  readonly norm: LayerNorm;
  readonly head: Linear;
  readonly #inChans: number;

  constructor(options: HorNetOptions = {}) {
    super();
    checkOptions("HorNet", options, classifierOptions);
    const { inChans = 3, numClasses = 1000, headInitScale = 1 } = options;
    const { dims, downsampleLayers, stages } = hornetTrunk(options);
    this.#inChans = inChans;
    this.downsampleLayers = downsampleLayers;
    this.stages = stages;
    this.norm = new LayerNorm(dims[3], { eps: 1e-6 });
    const headInit = { weight: scaled(initOf(options).weight, headInitScale), bias: zeros };
    this.head = new Linear(dims[3], numClasses, { init: headInit });
  }

  /** What the head sees: images → [N, 8 · baseDim]. */
  forwardFeatures(x: Tensor): Tensor {
    checkImages("HorNet", x, this.#inChans);
    this.stages.forEach((stage, i) => {
      x = stage.forward(this.downsampleLayers[i].forward(x)); // [N, baseDim · 2ⁱ, H / 2ⁱ⁺², W / 2ⁱ⁺²]
    });
    return this.norm.forward(x.mean({ dim: [2, 3] })); // [N, 8 · baseDim]
  }

  override forward(x: Tensor): Tensor {
    return this.head.forward(this.forwardFeatures(x)); // [N, numClasses]
  }
}

const depths = [2, 3, 18, 2];
const gf224 = hornetFilters(224); // 14 × 8 and 7 × 4 coefficients
const gf384 = hornetFilters(384); // 24 × 13 and 12 × 7

/**
 * For 32 × 32 images of one channel and trainings of minutes. At these widths weights of deviation 0.02 and scales of 1e-6 keep the blocks
 * silent for the first hundred steps, hence the wider start.
 */
const micro: HorNetOptions = { depths: [1, 1, 2, 1], baseDim: 16, inChans: 1, numClasses: 10, layerScaleInitValue: 0.1, uniformInit: true };

/** The published variants, and the micro networks of the quick start. */
export const hornetVariants: Readonly<Record<string, HorNetOptions>> = {
  hornet_tiny_7x7: { depths, baseDim: 64 },
  hornet_tiny_gf: { depths, baseDim: 64, gnconv: gf224 },
  hornet_small_7x7: { depths, baseDim: 96 },
  hornet_small_gf: { depths, baseDim: 96, gnconv: gf224 },
  hornet_base_7x7: { depths, baseDim: 128 },
  hornet_base_gf: { depths, baseDim: 128, gnconv: gf224 },
  hornet_base_gf_img384: { depths, baseDim: 128, gnconv: gf384 },
  hornet_large_7x7: { depths, baseDim: 192 },
  hornet_large_gf: { depths, baseDim: 192, gnconv: gf224 },
  hornet_large_gf_img384: { depths, baseDim: 192, gnconv: gf384 },
  hornet_micro_7x7: micro,
  hornet_micro_gf: { ...micro, gnconv: hornetFilters(32) },
};
