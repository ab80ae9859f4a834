/**
 * GLNet, the classification network, and its published variants.
 *
 * Paper: Zhu et al., "Revisiting the Integration of Convolution and Attention for Vision Backbone", NeurIPS 2024.
 * Original: glnet.py, classes `BasicLayer` and `GLNet`, functions `glnet_*`.
 */
import { OpError } from "../engine/errors.js";
import { checkChoice, checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { MHSABlock, MHSANchwBlock } from "./attention.js";
import { GLMixBlock, type GLMixOptions, linearInit, mixingOptions, mlpOptions, toMap, toSequence } from "./glmix.js";
import { checkImages } from "./hornet.js";
import type { Layer, Sequential } from "./nn/container.js";
import { Linear } from "./nn/linear.js";
import { Module } from "./nn/module.js";
import { type MapNorm, mapNorm, nonOverlappedPatchEmbeddings, overlappedPatchEmbeddings } from "./patch.js";

/** What the blocks of a stage are; in the mixed kind those at even places are GLMix. */
export type StageKind = "glmix" | "mha" | "mha_nchw" | "glmix.mha_nchw";

export interface BasicLayerOptions extends Omit<GLMixOptions, "dropPath"> {
  /** Default glmix. */
  readonly kind?: StageKind;
  /** How many blocks. */
  readonly depth: number;
  /** One rate a block. */
  readonly dropPath?: readonly number[];
}

/**
 * A stage: `depth` blocks on maps [N, C, H, W] → [N, C, H, W]. In a stage of kind `mha` the map is a sequence from the first block to the
 * last.
 *
 * Throws OpError as its blocks do. Reference: GLNet, section 3; glnet.py, `BasicLayer`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { BasicLayer } from "crabro/models";
 *
 * new BasicLayer(64, 2, { kind: "glmix.mha_nchw", depth: 2, numSlots: 16 }).forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * ```
 */
export class BasicLayer extends Module {
  readonly blocks: readonly (GLMixBlock | MHSABlock | MHSANchwBlock)[];
  readonly #kind: StageKind;

  constructor(dim: number, numHeads: number, { kind = "glmix", depth, dropPath = [], ...options }: BasicLayerOptions) {
    super();
    checkChoice("BasicLayer", "kind", kind, ["glmix", "mha", "mha_nchw", "glmix.mha_nchw"]);
    checkOptions("BasicLayer", options, [...mixingOptions, ...mlpOptions]);
    this.#kind = kind;
    const { mlpRatio, mlpDw, cpeKs, layerScale } = options;
    this.blocks = Array.from({ length: depth }, (_, j) => {
      const rate = dropPath[j] ?? 0;
      if (kind === "mha") return new MHSABlock(dim, numHeads, { mlpRatio, layerScale, dropPath: rate });
      const global = kind === "mha_nchw" || (kind === "glmix.mha_nchw" && j % 2 === 1);
      return global
        ? new MHSANchwBlock(dim, numHeads, { mlpRatio, mlpDw, cpeKs, layerScale, dropPath: rate })
        : new GLMixBlock(dim, numHeads, { ...options, dropPath: rate });
    });
  }

  override forward(x: Tensor): Tensor {
    const [, , height, width] = x.shape;
    const sequence = this.#kind === "mha";
    let y = sequence ? toSequence(x) : x;
    for (const block of this.blocks) y = block.forward(y);
    return sequence ? toMap(y, height, width) : y;
  }
}

export interface GLNetOptions extends Omit<GLMixOptions, "dropPath" | "mlpRatio"> {
  /** Channels of the images. Default 3. */
  readonly inChans?: number;
  /** Default 1000. */
  readonly numClasses?: number;
  /** Blocks of each of the four stages. */
  readonly depths?: readonly number[];
  /** Channels of each stage. */
  readonly dims?: readonly number[];
  /** Channels of a head of attention. */
  readonly headDim?: number;
  /** Hidden channels of the MLPs of each stage, in channels. Default 4. */
  readonly mlpRatios?: readonly number[];
  /** Blocks of each stage. Default three of glmix, then mha. */
  readonly stageKinds?: readonly StageKind[];
  /** Norm of the patch embeddings, and of the last map. */
  readonly norm?: MapNorm;
  /** Patch embeddings: of non-overlapping patches, or by overlapping convolutions. */
  readonly downsampleStyle?: "non_ovlp" | "ovlp";
  /** Between the stages: convolution and norm, or norm and convolution. Default proj.norm. */
  readonly transitionLayout?: "proj.norm" | "norm.proj";
  /** With `ovlp`: also norm the images, by LayerNorm2d. Default false. */
  readonly dualPatchNorm?: boolean;
  /** Drop-path rate of the last block; the rates rise evenly from 0. */
  readonly dropPathRate?: number;
}

/** What the classification network and the backbone have in common. */
interface GLNetTrunk {
  readonly downsampleLayers: readonly Sequential<Layer>[];
  readonly stages: readonly BasicLayer[];
}

const usualDims = [96, 192, 384, 768];

const classifierOptions = [
  "inChans",
  "depths",
  "dims",
  "headDim",
  "dropPathRate",
  "mlpRatios",
  "stageKinds",
  "norm",
  "downsampleStyle",
  "transitionLayout",
  "dualPatchNorm",
  "numClasses",
  ...mixingOptions,
  "cpeKs",
  "mlpDw",
  "layerScale",
] satisfies readonly (keyof GLNetOptions)[];

function glnetTrunk(options: GLNetOptions): GLNetTrunk {
  const { inChans = 3, depths = [2, 2, 6, 2], dims = usualDims, headDim = 32, dropPathRate = 0 } = options;
  const { mlpRatios = [4, 4, 4, 4], stageKinds = ["glmix", "glmix", "glmix", "mha"], norm = "BatchNorm2d" } = options;
  const { downsampleStyle = "non_ovlp", transitionLayout = "proj.norm", dualPatchNorm = false } = options;
  checkChoice("GLNet", "norm", norm, ["BatchNorm2d", "LayerNorm2d"]);
  checkChoice("GLNet", "downsampleStyle", downsampleStyle, ["non_ovlp", "ovlp"]);
  const { numSlots, slotInit, scaleMode, slotScale, localDwKs, cpeKs, mlpDw, layerScale } = options;
  for (const [name, list] of Object.entries({ depths, dims, mlpRatios, stageKinds })) {
    if (list.length !== 4) throw new OpError("GLNet", `there are four stages; got ${list.length} ${name}`);
  }
  const embeddings = { inChans, norm, order: transitionLayout };
  const blocks = depths.reduce((a, b) => a + b);
  let block = 0;
  const downsampleLayers =
    downsampleStyle === "ovlp"
      ? overlappedPatchEmbeddings(dims, { ...embeddings, dualPatchNorm })
      : nonOverlappedPatchEmbeddings(dims, embeddings);
  const stages = dims.map((dim, i) => {
    const dropPath = Array.from({ length: depths[i] }, () => (blocks > 1 ? (dropPathRate * block++) / (blocks - 1) : 0));
    const mixing = { numSlots, slotInit, scaleMode, slotScale, localDwKs, cpeKs, mlpDw, layerScale };
    const stage = { ...mixing, kind: stageKinds[i], depth: depths[i], mlpRatio: mlpRatios[i], dropPath };
    return new BasicLayer(dim, Math.floor(dim / headDim), stage);
  });
  return { downsampleLayers, stages };
}

/**
 * Images [N, inChans, H, W], of any size from 32 × 32 → logits [N, numClasses].
 *
 * Throws OpError where an option has not four entries for the four stages, where the slots or heads do not fit (see GLMixBlock), and for images
 * that are smaller or of other channels. Reference: GLNet, section 3; glnet.py, `GLNet`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GLNet } from "crabro/models";
 *
 * const network = new GLNet({ dims: [32, 64, 96, 128], depths: [1, 1, 1, 1], numClasses: 10 });
 * network.eval().forward(rand([1, 3, 64, 64])); // [1, 10]
 * ```
 */
export class GLNet extends Module {
  readonly downsampleLayers: readonly Sequential<Layer>[];
  readonly stages: readonly BasicLayer[];
  readonly norm: Layer;
  readonly head: Linear;
  readonly #inChans: number;

  constructor(options: GLNetOptions = {}) {
    super();
    checkOptions("GLNet", options, classifierOptions);
    const { inChans = 3, numClasses = 1000, dims = usualDims, norm = "BatchNorm2d" } = options;
    this.#inChans = inChans;
    const { downsampleLayers, stages } = glnetTrunk(options);
    this.downsampleLayers = downsampleLayers;
    this.stages = stages;
    this.norm = mapNorm(norm, dims[3]);
    this.head = new Linear(dims[3], numClasses, { init: linearInit });
  }

  /** The normed last map: images → [N, dims[3], ~H / 32, ~W / 32]. */
  forwardFeatures(x: Tensor): Tensor {
    return this.norm.forward(this.stagesFrom(this.stem(x)));
  }

  override forward(x: Tensor): Tensor {
    return this.head.forward(this.forwardFeatures(x).mean({ dim: [2, 3] })); // [N, numClasses]
  }

  /** Images → the map that the first stage takes. */
  protected stem(x: Tensor): Tensor {
    checkImages(this.constructor.name, x, this.#inChans);
    return this.downsampleLayers[0].forward(x);
  }

  /** The four stages on the map of the stem. */
  protected stagesFrom(x: Tensor): Tensor {
    this.stages.forEach((stage, i) => {
      x = stage.forward(i === 0 ? x : this.downsampleLayers[i].forward(x)); // [N, dims[i], ~H / 2ⁱ⁺², ~W / 2ⁱ⁺²]
    });
    return x;
  }
}

export interface GLNetBackboneOptions extends Omit<GLNetOptions, "numClasses"> {
  /** Stages whose maps are wanted. Default: all four. */
  readonly outIndices?: readonly number[];
}

/**
 * Images [N, inChans, H, W] → one map [N, dims[i], ~H / 2ⁱ⁺², ~W / 2ⁱ⁺²] for each i of `outIndices`, finest first, as the stages leave
 * them. Weights of the classification network load with `{ strict: false }`: its `norm` and `head` are reported as unexpected.
 *
 * Throws OpError as GLNet does, and for `outIndices` other than 0 to 3. Reference: glnet.py, `GLNet`, without norm and head.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GLNetBackbone } from "crabro/models";
 *
 * const backbone = new GLNetBackbone({ dims: [32, 64, 96, 128], depths: [1, 1, 1, 1] });
 * backbone.forward(rand([1, 3, 64, 64])).map((map) => map.shape); // [1, 32, 16, 16], …, [1, 128, 2, 2]
 * ```
 */
export class GLNetBackbone extends Module {
  readonly downsampleLayers: readonly Sequential<Layer>[];
  readonly stages: readonly BasicLayer[];
  readonly #inChans: number;
  readonly #outIndices: readonly number[];
  readonly #channels: readonly number[];

  constructor({ outIndices = [0, 1, 2, 3], ...options }: GLNetBackboneOptions = {}) {
    super();
    // A classifier's options fit: that of its head has no use here.
    checkOptions("GLNetBackbone", options, classifierOptions);
    if (!outIndices.every((i) => i === 0 || i === 1 || i === 2 || i === 3)) {
      throw new OpError("GLNetBackbone", `outIndices are of the stages 0 to 3; got ${outIndices.join(", ")}`);
    }
    const { downsampleLayers, stages } = glnetTrunk(options);
    this.#inChans = options.inChans ?? 3;
    this.#outIndices = outIndices;
    this.#channels = (options.dims ?? usualDims).filter((_, i) => (outIndices as readonly number[]).includes(i));
    this.downsampleLayers = downsampleLayers;
    this.stages = stages;
  }

  /** Of each map. */
  get channels(): readonly number[] {
    return this.#channels;
  }

  override forward(x: Tensor): Tensor[] {
    checkImages("GLNetBackbone", x, this.#inChans);
    const maps: Tensor[] = [];
    this.stages.forEach((stage, i) => {
      x = stage.forward(this.downsampleLayers[i].forward(x)); // [N, dims[i], ~H / 2ⁱ⁺², ~W / 2ⁱ⁺²]
      if (this.#outIndices.includes(i)) maps.push(x);
    });
    return maps;
  }
}

const deep = { depths: [4, 4, 18, 4], mlpRatios: [3, 3, 3, 3], cpeKs: 3, mlpDw: true, downsampleStyle: "ovlp" } as const;
const mixed = ["glmix", "glmix", "glmix.mha_nchw", "mha_nchw"] as const;
const glnet4g: GLNetOptions = { ...deep, stageKinds: mixed, dims: [64, 128, 256, 512] };
const glnet9g: GLNetOptions = { ...deep, stageKinds: mixed, dims: [96, 192, 384, 768] };

/** The published variants. */
export const glnetVariants: Readonly<Record<string, GLNetOptions>> = {
  glnet_stl: { transitionLayout: "norm.proj" },
  glnet_stl_paramslot: { transitionLayout: "norm.proj", slotInit: "param" },
  glnet_4g: glnet4g,
  glnet_9g: glnet9g,
  glnet_16g: { ...deep, stageKinds: mixed, dims: [128, 256, 512, 1024], layerScale: 1e-4 },
};

/** Variants that are trained with token labels: `GLNetTokenLabel`. */
export const glnetTokenLabelVariants: Readonly<Record<string, GLNetOptions>> = { glnet_4g_tklb: glnet4g, glnet_9g_tklb: glnet9g };
