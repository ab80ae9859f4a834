/** Detectors by name of their parts, and the small one for small pictures. */
import { OpError } from "../../engine/errors.js";
import { FPN, HorFPN } from "../horfpn.js";
import { type BuildOptions, buildWith } from "../nn/parameter.js";
import { type Backbone, createBackbone, createModel, listBackbones, listModels } from "../registry.js";
import { nearest } from "../state.js";
import { defaultAnchors } from "./anchors.js";
import { MaskRCNN } from "./mask-rcnn.js";
import type { MaskRCNNOptions } from "./options.js";

/** The pyramids that `maskRCNN` knows. */
export const neckNames = ["fpn", "horfpn_7x7", "horfpn_gf"] as const;
/** One of `neckNames`. */
export type NeckName = (typeof neckNames)[number];

/** A pyramid by name. `filterSize` are the rows of `horfpn_gf`'s filters (default 32). */
export function makeNeck(
  name: NeckName,
  inChannels: readonly number[],
  {
    outChannels = 256,
    numOuts = 5,
    filterSize = 32,
  }: { readonly outChannels?: number; readonly numOuts?: number; readonly filterSize?: number } = {},
): FPN {
  switch (name) {
    case "fpn":
      return new FPN(inChannels, { outChannels, numOuts });
    case "horfpn_7x7":
      return new HorFPN(inChannels, { outChannels, numOuts });
    case "horfpn_gf":
      return new HorFPN(inChannels, { outChannels, numOuts, gnconv: { type: "gngf", h: filterSize } });
    default:
      throw new OpError("makeNeck", `there is no neck ${String(name)}; there are ${neckNames.join(", ")}`);
  }
}

/** A backbone by the name of its classification network, or of the published one of detection: `det_backbone_small_7x7`. */
export function makeBackbone(name: string, options: BackboneOptions = {}): Backbone {
  if (listBackbones().includes(name)) return createBackbone(name, options);
  if (listModels().includes(name)) return createModel(name, { ...options, featuresOnly: true });
  const known = [...listModels(), ...listBackbones()];
  const near = nearest(name, known);
  throw new OpError(
    "makeBackbone",
    `no backbone is named ${name}; ${near.length > 0 ? `did you mean ${near.join(" or ")}?` : known.join(", ")}`,
  );
}

export interface BackboneOptions {
  /** Channels of the images. Default: those of the network as published. */
  readonly inChans?: number;
  /** Drop-path rate of the last block; the rates rise evenly from 0. Default 0. */
  readonly dropPathRate?: number;
  /** Side of the images that a GF network's filters are made for. */
  readonly inputSize?: number;
}

export interface DetectorOptions extends MaskRCNNOptions, Omit<BuildOptions, "init"> {
  /** Default `det_backbone_small_7x7`. */
  readonly backbone?: string;
  /** Channels, drop path and size of the backbone. */
  readonly backboneOptions?: BackboneOptions;
  /** Default `fpn`. */
  readonly neck?: NeckName;
  /** Channels of the neck's maps. Default 256. */
  readonly neckChannels?: number;
  /** Rows of the filters of `horfpn_gf`. Default 32. */
  readonly neckFilter?: number;
}

/**
 * A Mask R-CNN. Without further options it is the published one, of 256 channels and 512 regions a picture; `smallDetector` has those for
 * pictures of about 128 pixels.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { maskRCNN, smallDetector } from "crabro/models";
 *
 * const model = maskRCNN({ ...smallDetector, numClasses: 10, neck: "horfpn_7x7" });
 * model.forward(rand([1, 3, 64, 64])).maps.map((map) => map.shape); // [1, 32, 16, 16], …, [1, 32, 1, 1]
 * ```
 */
export function maskRCNN({ device, dtype, generator, meta, ...options }: DetectorOptions): MaskRCNN {
  const {
    backbone: name = "det_backbone_small_7x7",
    backboneOptions = {},
    neck = "fpn",
    neckChannels = 256,
    neckFilter,
    ...heads
  } = options;
  return buildWith({ device, dtype, generator, meta }, () => {
    const backbone = makeBackbone(name, backboneOptions);
    const { strides } = { ...defaultAnchors, ...heads.anchors };
    const pyramid = makeNeck(neck, backbone.channels, { outChannels: neckChannels, numOuts: strides.length, filterSize: neckFilter });
    return new MaskRCNN(backbone, pyramid, neckChannels, heads);
  });
}

/** For pictures of about 128 pixels, trained in minutes. */
export const smallDetector = {
  backbone: "hornet_micro_7x7",
  backboneOptions: { inChans: 3 },
  neckChannels: 32,
  neckFilter: 8,
  // Objects of up to 112 pixels are read from the finest two maps, so that coarser ones would cost time alone.
  regionLevels: 2,
  proposals: { nmsPre: 200, maxPerImage: 100 },
  testProposals: { nmsPre: 200, maxPerImage: 64 },
  regions: { count: 64 },
  finestScale: 28,
  samplingRatio: 2,
  boxSize: 7,
  boxChannels: 128,
  // As in `smallSegmentor`: classes that begin nearly alike stay so for long.
  initStd: 0.1,
  maskRegions: 8,
  maskChannels: 32,
  maskConvs: 2,
} satisfies Omit<DetectorOptions, "numClasses">;
