/**
 * HorNet as the backbone of dense prediction: the maps of all stages, normed.
 *
 * Original: object_detection/mmdet/models/backbones/hornet.py and semantic_segmentation/backbone/hornet.py, class `HorNet`.
 */
import { checkpoint } from "../autograd/checkpoint.js";
import { OpError } from "../engine/errors.js";
import { checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { checkImages, classifierOptions, type HorNetBlock, type HorNetOptions, hornetGnConv, hornetTrunk } from "./hornet.js";
import type { Sequential } from "./nn/container.js";
import { Module } from "./nn/module.js";
import { LayerNorm } from "./nn/norm.js";

export interface HorNetBackboneOptions extends Omit<HorNetOptions, "numClasses" | "headInitScale"> {
  /** Stages whose maps are wanted. Default: all four. */
  readonly outIndices?: readonly number[];
  /** Forget activations inside blocks and compute them again for the gradient; changes no value. */
  readonly useCheckpoint?: boolean;
}

/**
 * Images [N, inChans, H, W] → one map [N, baseDim · 2ⁱ, H / 2ⁱ⁺², W / 2ⁱ⁺²] for each i of `outIndices`, finest first. What follows a stage
 * takes its map as it is; the norm is for the output alone. Weights of the classification network load with `{ strict: false }`: the
 * four norms stay at 1 and 0, and `norm` and `head` are reported as unexpected.
 *
 * Throws OpError as HorNet does, and for `outIndices` other than 0 to 3. Reference: HorNet, section 3.2; its dense-prediction code, `HorNet`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { HorNetBackbone } from "crabro/models";
 *
 * const backbone = new HorNetBackbone({ depths: [1, 1, 1, 1], baseDim: 16, outIndices: [1, 3] });
 * backbone.forward(rand([1, 3, 64, 64])).map((map) => map.shape); // [1, 32, 8, 8] and [1, 128, 2, 2]
 * ```
 */
export class HorNetBackbone extends Module {
  readonly downsampleLayers: readonly Sequential[];
  readonly stages: readonly Sequential<HorNetBlock>[];
  readonly norm0: LayerNorm;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly #inChans: number;
  readonly #outIndices: readonly number[];
  readonly #checkpoint: boolean;
  readonly #channels: readonly number[];

  constructor({ outIndices = [0, 1, 2, 3], useCheckpoint = false, ...options }: HorNetBackboneOptions = {}) {
    super();
    // A classifier's options fit: those of its head have no use here.
    checkOptions("HorNetBackbone", options, classifierOptions);
    if (!outIndices.every((i) => i === 0 || i === 1 || i === 2 || i === 3)) {
      throw new OpError("HorNetBackbone", `outIndices are of the stages 0 to 3; got ${outIndices.join(", ")}`);
    }
    this.#inChans = options.inChans ?? 3;
    this.#outIndices = outIndices;
    this.#checkpoint = useCheckpoint;
    const { dims, downsampleLayers, stages } = hornetTrunk(options);
    this.#channels = dims.filter((_, i) => (outIndices as readonly number[]).includes(i));
    this.downsampleLayers = downsampleLayers;
    this.stages = stages;
    const norm = (i: number) => new LayerNorm(dims[i], { eps: 1e-6, dataFormat: "channels_first" });
    this.norm0 = norm(0);
    this.norm1 = norm(1);
    this.norm2 = norm(2);
    this.norm3 = norm(3);
  }

  /** Of each map. */
  get channels(): readonly number[] {
    return this.#channels;
  }

  override forward(x: Tensor): Tensor[] {
    checkImages("HorNetBackbone", x, this.#inChans);
    const norms = [this.norm0, this.norm1, this.norm2, this.norm3];
    const maps: Tensor[] = [];
    this.stages.forEach((stage, i) => {
      x = this.downsampleLayers[i].forward(x);
      if (this.#checkpoint && this.training)
        for (const block of stage as Iterable<HorNetBlock>) x = checkpoint((y: Tensor) => block.forward(y), x);
      else x = stage.forward(x);
      if (this.#outIndices.includes(i)) maps.push(norms[i].forward(x));
    });
    return maps;
  }
}

const depths = [2, 3, 18, 2];
const widths = { tiny: 64, small: 96, base: 128, large: 192 };
const filters = (stage2: readonly [number, number], stage3: readonly [number, number]) =>
  hornetGnConv({ filter: "gf", h: stage2[0], w: stage2[1] }, { filter: "gf", h: stage3[0], w: stage3[1] });

/** The published backbones. Filters have 24 × 13 and 12 × 7 coefficients in segmentation and in the large model, 14 × 8 and 7 × 4 elsewhere. */
export const hornetBackboneVariants: Readonly<Record<string, HorNetBackboneOptions>> = Object.fromEntries(
  Object.entries(widths).flatMap(([size, baseDim]): [string, HorNetBackboneOptions][] => {
    const wide = filters([24, 13], [12, 7]);
    const detection = size === "large" ? wide : filters([14, 8], [7, 4]);
    return [
      [`det_backbone_${size}_7x7`, { depths, baseDim }],
      [`det_backbone_${size}_gf`, { depths, baseDim, gnconv: detection }],
      [`det_backbone_${size}_gf_seg`, { depths, baseDim, gnconv: wide }],
    ];
  }),
);
