/**
 * Heads for segmentation: UPerNet's, the same with a gnConv module (HorFPN), and the auxiliary FCN head.
 *
 * Papers: Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018; HorNet, section 3.2 (HorFPN).
 * Original: mmseg's `UPerHead` and `FCNHead`; HorNet's semantic_segmentation code, class `GNUPerHead`.
 */
import { OpError } from "../engine/errors.js";
import { cat } from "../engine/functional/movement.js";
import { interpolate } from "../engine/functional/pool.js";
import { checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { ConvModule, GNConvModule, type GNConvModuleOptions } from "./conv-module.js";
import { addTopDown } from "./horfpn.js";
import { type Layer, Sequential } from "./nn/container.js";
import { Conv2d } from "./nn/conv.js";
import { Dropout2d } from "./nn/drop.js";
import { normal, zeros } from "./nn/init.js";
import { Module } from "./nn/module.js";
import { AdaptiveAvgPool2d } from "./nn/pool.js";

export interface SegmentationHeadOptions {
  /** Default 150. */
  readonly numClasses?: number;
  /** Inner width. */
  readonly channels?: number;
  /** Rate at which training drops whole maps before the last convolution. Default 0.1. */
  readonly dropoutRatio?: number;
  /** Standard deviation of the last convolution's weights before training. Default 0.01. */
  readonly initStd?: number;
}

const publishedStd = 0.01;
const classifier = (channels: number, numClasses: number, std: number): Conv2d =>
  new Conv2d(channels, numClasses, 1, { init: { weight: normal(std), bias: zeros } });
const normed = { norm: true, activation: true };

export interface UPerHeadOptions extends SegmentationHeadOptions {
  /** Sides of the grids that the coarsest map is pooled to. Default 1, 2, 3, 6. */
  readonly poolScales?: readonly number[];
  /** Whether resizing keeps the centres of the corners. Default false. */
  readonly alignCorners?: boolean;
}

/**
 * Four maps [N, inChannels[i], Hᵢ, Wᵢ], finest first → logits [N, numClasses, H₀, W₀] at the size of the finest.
 *
 * Throws OpError for another number of maps. Reference: Xiao et al., "Unified Perceptual Parsing for Scene Understanding" (2018), section 3.1;
 * mmseg's `UPerHead`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { UPerHead } from "crabro/models";
 *
 * const maps = [16, 32, 64, 128].map((channels, i) => rand([1, channels, 16 >> i, 16 >> i]));
 * new UPerHead([16, 32, 64, 128], { channels: 32, numClasses: 5 }).eval().forward(maps); // [1, 5, 16, 16]
 * ```
 */
export class UPerHead extends Module {
  readonly convSeg: Conv2d;
  readonly pspModules: readonly Sequential<Layer>[];
  readonly bottleneck: ConvModule;
  readonly lateralConvs: readonly ConvModule[];
  readonly fpnConvs: readonly ConvModule[];
  readonly fpnBottleneck: Layer;
  readonly dropout: Dropout2d;
  readonly #alignCorners: boolean;

  constructor(inChannels: readonly number[], options: UPerHeadOptions = {}, bottleneck?: (inner: number) => Layer) {
    super();
    checkOptions("UPerHead", options, ["numClasses", "channels", "dropoutRatio", "initStd", "poolScales", "alignCorners"]);
    const { numClasses = 150, channels = 512, dropoutRatio = 0.1, initStd = publishedStd } = options;
    const { poolScales = [1, 2, 3, 6], alignCorners = false } = options;
    const last = inChannels[inChannels.length - 1];
    const rest = inChannels.slice(0, -1);
    const fused = inChannels.length * channels;
    this.#alignCorners = alignCorners;
    this.convSeg = classifier(channels, numClasses, initStd);
    this.pspModules = poolScales.map(
      (scale) => new Sequential<Layer>(new AdaptiveAvgPool2d(scale), new ConvModule(last, channels, 1, normed)),
    );
    this.bottleneck = new ConvModule(last + poolScales.length * channels, channels, 3, { padding: 1, ...normed });
    this.lateralConvs = rest.map((width) => new ConvModule(width, channels, 1, normed));
    this.fpnConvs = rest.map(() => new ConvModule(channels, channels, 3, { padding: 1, ...normed }));
    this.fpnBottleneck = bottleneck?.(fused) ?? new ConvModule(fused, channels, 3, { padding: 1, ...normed });
    this.dropout = new Dropout2d(dropoutRatio);
  }

  /** The fused map before the classes, [N, channels, H₀, W₀]. */
  forwardFeatures(inputs: readonly Tensor[]): Tensor {
    const wanted = this.lateralConvs.length + 1;
    if (inputs.length !== wanted) throw new OpError("UPerHead", `expected ${wanted} maps; got ${inputs.length}`);
    const laterals = this.lateralConvs.map((conv, i) => conv.forward(inputs[i])); // [N, K, Hᵢ, Wᵢ]
    laterals.push(this.#pyramidPooling(inputs[inputs.length - 1]));
    addTopDown(laterals, (map, size) => this.#resize(map, size));
    const levels = laterals.map((map, i) => this.fpnConvs[i]?.forward(map) ?? map); // the coarsest as it is
    const [, , height, width] = levels[0].shape;
    const fused = cat(
      levels.map((map, i) => (i === 0 ? map : this.#resize(map, [height, width]))),
      { dim: 1 },
    ); // [N, 4K, H₀, W₀]
    return this.fpnBottleneck.forward(fused);
  }

  override forward(inputs: readonly Tensor[]): Tensor {
    return this.convSeg.forward(this.dropout.forward(this.forwardFeatures(inputs)));
  }

  #pyramidPooling(x: Tensor): Tensor {
    const [, , height, width] = x.shape;
    const pooled = this.pspModules.map((module) => this.#resize(module.forward(x), [height, width])); // [N, K, H₃, W₃]
    return this.bottleneck.forward(cat([x, ...pooled], { dim: 1 }));
  }

  #resize(map: Tensor, size: [number, number]): Tensor {
    return interpolate(map, { size, mode: "bilinear", alignCorners: this.#alignCorners });
  }
}

export interface HorFPNUPerHeadOptions extends UPerHeadOptions {
  /** The module that fuses the levels. Default: 3×3 gnConv of order 2; published is 7×7 with an output projection. */
  readonly gnconv?: GNConvModuleOptions;
}

/**
 * HorFPN for segmentation: UPerNet's head whose levels are fused by a gnConv module. Maps → logits, as UPerHead.
 *
 * Throws OpError as UPerHead and GNConvModule do. Reference: HorNet, section 3.2 (HorFPN); its segmentation code, `GNUPerHead`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { HorFPNUPerHead } from "crabro/models";
 *
 * const maps = [16, 32, 64, 128].map((channels, i) => rand([1, channels, 16 >> i, 16 >> i]));
 * const head = new HorFPNUPerHead([16, 32, 64, 128], { channels: 32, numClasses: 5, gnconv: { kernelSize: 7, projOut: true } });
 * head.eval().forward(maps); // [1, 5, 16, 16]
 * ```
 */
export class HorFPNUPerHead extends UPerHead {
  constructor(inChannels: readonly number[], { gnconv = {}, ...options }: HorFPNUPerHeadOptions = {}) {
    const { channels = 512 } = options;
    super(inChannels, options, (fused) => new GNConvModule(fused, channels, { kernelSize: 3, ...gnconv, ...normed }));
  }
}

export interface FCNHeadOptions extends SegmentationHeadOptions {
  /** Which of the backbone's maps it takes. Default 2. */
  readonly inIndex?: number;
  /** 3×3 convolutions. Default 1. */
  readonly numConvs?: number;
}

/**
 * The auxiliary head of training: the backbone's maps, of which it takes one [N, inChannels, H, W] → logits [N, numClasses, H, W].
 *
 * Throws OpError where there is no map `inIndex`. Reference: Long et al., "Fully Convolutional Networks for Semantic Segmentation" (2015),
 * section 3; mmseg's `FCNHead`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { FCNHead } from "crabro/models";
 *
 * const maps = [16, 32, 64].map((channels, i) => rand([1, channels, 16 >> i, 16 >> i]));
 * new FCNHead(64, { channels: 32, numClasses: 5 }).forward(maps); // of the third: [1, 5, 4, 4]
 * ```
 */
export class FCNHead extends Module {
  readonly convSeg: Conv2d;
  readonly convs: readonly ConvModule[];
  readonly dropout: Dropout2d;
  readonly #inIndex: number;

  constructor(inChannels: number, options: FCNHeadOptions = {}) {
    super();
    checkOptions("FCNHead", options, ["numClasses", "channels", "dropoutRatio", "initStd", "inIndex", "numConvs"]);
    const { numClasses = 150, channels = 256, dropoutRatio = 0.1, initStd = publishedStd, inIndex = 2, numConvs = 1 } = options;
    this.#inIndex = inIndex;
    this.convSeg = classifier(channels, numClasses, initStd);
    this.convs = Array.from(
      { length: numConvs },
      (_, i) => new ConvModule(i === 0 ? inChannels : channels, channels, 3, { padding: 1, ...normed }),
    );
    this.dropout = new Dropout2d(dropoutRatio);
  }

  override forward(inputs: readonly Tensor[]): Tensor {
    if (inputs[this.#inIndex] === undefined)
      throw new OpError("FCNHead", `there is no map ${this.#inIndex}, as ${inputs.length} are given`);
    let x = inputs[this.#inIndex];
    for (const conv of this.convs) x = conv.forward(x);
    return this.convSeg.forward(this.dropout.forward(x));
  }
}
