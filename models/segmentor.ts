/**
 * Segmentation: a backbone, UPerNet's head or one of HorFPN, and in training an auxiliary head.
 *
 * Original: mmseg's `EncoderDecoder`; HorNet's semantic_segmentation configurations. State-dict names are theirs.
 */
import { OpError } from "../engine/errors.js";
import { crossEntropy } from "../engine/functional/loss.js";
import { interpolate } from "../engine/functional/pool.js";
import { checkOptions } from "../engine/ops/check.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import { type BackboneOptions, makeBackbone } from "./detection/build.js";
import { Module } from "./nn/module.js";
import { type BuildOptions, buildWith } from "./nn/parameter.js";
import type { Backbone } from "./registry.js";
import { FCNHead, HorFPNUPerHead, UPerHead, type UPerHeadOptions } from "./upernet.js";

/** Names of the heads: UPerNet's, and those of HorFPN with 7×7 convolutions or filters. */
export const segmentationHeads = ["uper", "horfpn_7x7", "horfpn_gf"] as const;
/** One of `segmentationHeads`. */
export type SegmentationHead = (typeof segmentationHeads)[number];

/** What class pixels have that nobody knows. */
const ignored = 255;
/** Weight of the auxiliary head's loss. */
const auxiliaryWeight = 0.4;

export interface SegmentorOptions extends Omit<BuildOptions, "init"> {
  /** Classes of pixels. */
  readonly numClasses: number;
  /** A classification network, or a published backbone. Default `det_backbone_small_7x7`. */
  readonly backbone?: string;
  /** Of the backbone: channels of the images, drop path, size. */
  readonly backboneOptions?: BackboneOptions;
  /** Default `uper`. */
  readonly head?: SegmentationHead;
  /** Width of the head. Default 512. */
  readonly channels?: number;
  /** Width of the auxiliary head; 0: none. Default 256. */
  readonly auxChannels?: number;
  /** Rate at which training drops whole maps before the last convolution of each head. Default 0.1. */
  readonly dropoutRatio?: number;
  /** Rows of the filters of `horfpn_gf`. Default 32. */
  readonly filterSize?: number;
  /** Standard deviation of the weights of each head's last convolution before training. Default 0.01. */
  readonly initStd?: number;
}

/** For pictures of about 128 pixels, trained in minutes. */
export const smallSegmentor = {
  backbone: "hornet_micro_7x7",
  backboneOptions: { inChans: 3 },
  channels: 24,
  auxChannels: 32,
  filterSize: 16,
  // A tenth of 24 maps is noise that hides for long how classes differ.
  dropoutRatio: 0,
  // At the published 0.01 all classes have nearly the same weights: for a thousand steps the layers below learn where things are, not what.
  initStd: 0.2,
};

function makeHead(
  name: SegmentationHead,
  inChannels: readonly number[],
  options: UPerHeadOptions & { readonly filterSize: number },
): UPerHead {
  const { filterSize, ...shared } = options;
  switch (name) {
    case "uper":
      return new UPerHead(inChannels, shared);
    case "horfpn_7x7":
      return new HorFPNUPerHead(inChannels, { ...shared, gnconv: { kernelSize: 7, order: 2, projOut: true } });
    case "horfpn_gf":
      return new HorFPNUPerHead(inChannels, { ...shared, gnconv: { type: "gngf", h: filterSize, order: 2, projOut: true } });
    default:
      throw new OpError("segmentor", `there is no head ${String(name)}; there are ${segmentationHeads.join(", ")}`);
  }
}

export interface SlidingOptions {
  /** Height and width of the windows. */
  readonly crop: readonly [number, number];
  /** From one window to the next. */
  readonly stride: readonly [number, number];
}

/** Where windows begin along a side: `stride` apart, the last one at the end. */
export function windowStarts(side: number, crop: number, stride: number): number[] {
  const count = Math.max(Math.ceil((side - crop) / stride), 0) + 1;
  return Array.from({ length: count }, (_, i) => Math.max(Math.min(i * stride, side - crop), 0));
}

/**
 * Images [N, C, H, W] → logits [N, classes, H, W]. Throws OpError for images that the backbone does not take.
 *
 * Reference: Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018; mmseg, `EncoderDecoder`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { segmentor, smallSegmentor } from "crabro/models";
 *
 * const model = segmentor({ ...smallSegmentor, numClasses: 11, head: "horfpn_7x7" }).eval();
 * model.forward(rand([1, 3, 64, 64])); // [1, 11, 64, 64]
 * ```
 */
export class Segmentor extends Module {
  readonly backbone: Backbone;
  readonly decodeHead: UPerHead;
  readonly auxiliaryHead: FCNHead | null;

  constructor(backbone: Backbone, decodeHead: UPerHead, auxiliaryHead: FCNHead | null) {
    super();
    this.backbone = backbone;
    this.decodeHead = decodeHead;
    this.auxiliaryHead = auxiliaryHead;
  }

  override forward(images: Tensor): Tensor {
    return enlarge(this.decodeHead.forward(this.backbone.forward(images)), images);
  }

  /** Losses of both heads, the auxiliary one weighted 0.4, against classes [N, H, W] (int32; 255: not counted); and the logits. */
  forwardTraining(
    images: Tensor,
    classes: Tensor,
  ): { readonly loss: Tensor; readonly decode: Tensor; readonly aux: Tensor | null; readonly logits: Tensor } {
    const maps = this.backbone.forward(images);
    const logits = enlarge(this.decodeHead.forward(maps), images);
    const decode = crossEntropy(logits, classes, { ignoreIndex: ignored });
    if (this.auxiliaryHead === null) return { loss: decode, decode, aux: null, logits };
    const aux = crossEntropy(enlarge(this.auxiliaryHead.forward(maps), images), classes, { ignoreIndex: ignored }).mul(auxiliaryWeight);
    return { loss: decode.add(aux), decode, aux, logits };
  }

  /** Logits by windows that overlap, each place the mean of those over it. For pictures that are larger than those of training. */
  forwardSliding(images: Tensor, { crop: [height, width], stride: [down, across] }: SlidingOptions): Tensor {
    const [, , h, w] = images.shape;
    if (!(height > 0 && width > 0 && down > 0 && across > 0))
      throw new OpError("forwardSliding", `crop and stride are above 0; got ${height} × ${width} and ${down} × ${across}`);
    const [ch, cw] = [Math.min(height, h), Math.min(width, w)];
    const [tops, lefts] = [windowStarts(h, ch, down), windowStarts(w, cw, across)];
    const covered = new Float32Array(h * w);
    let sum: Tensor | null = null;
    for (const top of tops) {
      for (const left of lefts) {
        const window = this.forward(images.narrow(2, top, ch).narrow(3, left, cw));
        const placed = window.pad([left, w - cw - left, top, h - ch - top]);
        sum = sum === null ? placed : sum.add(placed);
        for (let y = top; y < top + ch; y++) for (let x = left; x < left + cw; x++) covered[y * w + x]++;
      }
    }
    return (sum as Tensor).div(fromHost(covered, [1, 1, h, w], "float32", images.device));
  }
}

/** Logits at the size of the images. */
function enlarge(logits: Tensor, images: Tensor): Tensor {
  const [, , height, width] = images.shape;
  return interpolate(logits, { size: [height, width], mode: "bilinear", alignCorners: false });
}

const segmentorOptions = [
  "numClasses",
  "backbone",
  "backboneOptions",
  "head",
  "channels",
  "auxChannels",
  "dropoutRatio",
  "filterSize",
  "initStd",
] satisfies readonly (keyof SegmentorOptions)[];

/** Builds a segmentor; without further options than the classes it is the published one. Throws OpError for unknown names. */
export function segmentor({ device, dtype, generator, meta, ...options }: SegmentorOptions): Segmentor {
  const { numClasses, backbone: name = "det_backbone_small_7x7", backboneOptions = {}, head = "uper" } = options;
  const { channels = 512, auxChannels = 256, dropoutRatio = 0.1, filterSize = 32, initStd } = options;
  checkOptions("segmentor", options, segmentorOptions);
  return buildWith({ device, dtype, generator, meta }, () => {
    const backbone = makeBackbone(name, backboneOptions);
    const decode = makeHead(head, backbone.channels, { numClasses, channels, dropoutRatio, filterSize, initStd });
    const aux = auxChannels === 0 ? null : new FCNHead(backbone.channels[2], { numClasses, channels: auxChannels, dropoutRatio, initStd });
    return new Segmentor(backbone, decode, aux);
  });
}
