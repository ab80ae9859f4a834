/**
 * GLMix: global mixing of a few semantic slots beside local mixing by convolution.
 *
 * Paper: Zhu et al., "Revisiting the Integration of Convolution and Attention for Vision Backbone", NeurIPS 2024.
 * Original: glnet.py, classes `GLMixBlock` and `ResDWConvNCHW`.
 */
import { OpError } from "../engine/errors.js";
import { softmax } from "../engine/functional/activation.js";
import { matmul } from "../engine/functional/linalg.js";
import { normalize } from "../engine/functional/norm.js";
import { adaptiveAvgPool2d } from "../engine/functional/pool.js";
import { checkChoice, checkOptions } from "../engine/ops/check.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";
import { GELU } from "./nn/activation.js";
import { MultiheadAttention } from "./nn/attention.js";
import { Identity, type Layer, Sequential } from "./nn/container.js";
import { Conv2d } from "./nn/conv.js";
import { DropPath, LayerScale } from "./nn/drop.js";
import { constant, normal, truncNormal, zeros } from "./nn/init.js";
import { tell } from "./nn/listen.js";
import { Module } from "./nn/module.js";
import { LayerNorm2d } from "./nn/norm.js";
import { initial, type Parameter, parameter } from "./nn/parameter.js";

/** Initialisation of the linear layers of GLNet; its convolutions start as PyTorch's do. */
export const linearInit = { weight: truncNormal(0.02), bias: zeros };

/**
 * x + depthwise k × k convolution of x: [N, C, H, W] → [N, C, H, W], k odd. The state has the names of the convolution itself.
 *
 * Throws OpError for input that is not [N, C, H, W]. Reference: glnet.py, `ResDWConvNCHW`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { ResDWConv } from "crabro/models";
 *
 * new ResDWConv(16, 3).forward(rand([1, 16, 8, 8])); // [1, 16, 8, 8]
 * ```
 */
export class ResDWConv extends Conv2d {
  constructor(dim: number, kernelSize = 3) {
    super(dim, dim, kernelSize, { padding: Math.floor(kernelSize / 2), groups: dim });
  }

  override forward(x: Tensor): Tensor {
    return x.add(super.forward(x));
  }
}

/** 1×1 convolution to `hidden` channels, a residual depthwise 3×3 if wanted, GELU, 1×1 convolution back. */
export function convMlp(dim: number, hidden: number, depthwise: boolean): Sequential<Layer> {
  return new Sequential<Layer>(
    new Conv2d(dim, hidden, 1),
    depthwise ? new ResDWConv(hidden, 3) : new Identity(),
    new GELU(),
    new Conv2d(hidden, dim, 1),
  );
}

/** Position encoding by a depthwise convolution; null without. */
export const positionConv = (dim: number, kernelSize: number): Conv2d | null =>
  kernelSize > 0 ? new Conv2d(dim, dim, kernelSize, { padding: Math.floor(kernelSize / 2), groups: dim }) : null;

/** [N, C, H, W] → [N, H · W, C]. */
export const toSequence = (x: Tensor): Tensor => x.flatten({ startDim: 2 }).transpose(1, 2);

/** [N, H · W, C] → [N, C, H, W]. */
export const toMap = (x: Tensor, height: number, width: number): Tensor =>
  x.transpose(1, 2).reshape([x.shape[0], x.shape[2], height, width]);

export interface MlpOptions {
  /** Hidden channels of the MLP, in channels; rounded down. Default 4. */
  readonly mlpRatio?: number;
  /** Whether a residual depthwise 3×3 convolution stands in the middle of the MLP. Default false. */
  readonly mlpDw?: boolean;
  /** Side of the depthwise convolution that encodes positions; 0 (default): none. */
  readonly cpeKs?: number;
  /** Rate at which training drops each of the two branches. Default 0. */
  readonly dropPath?: number;
  /** Initial value of the scales of the two branches; 0 (default): no scales. */
  readonly layerScale?: number;
}

export const mlpOptions = ["mlpRatio", "mlpDw", "cpeKs", "dropPath", "layerScale"] satisfies readonly (keyof MlpOptions)[];

export interface GLMixOptions extends MlpOptions {
  /** Default 64. */
  readonly numSlots?: number;
  /** Slots start as means of the parts of the block's input (the number must be a square), or as learned vectors. */
  readonly slotInit?: "ada_avgpool" | "param";
  /** Whether `slotScale` is trained. Default: it is. */
  readonly scaleMode?: "learnable" | "const";
  /** Factor of the cosines between slots and pixels. Default C^−½. */
  readonly slotScale?: number;
  /** Side of the local branch's depthwise convolution; 0: the branch is the identity. Default 5. */
  readonly localDwKs?: number;
}

/** Those that are not of the MLP. */
export const mixingOptions = ["numSlots", "slotInit", "scaleMode", "slotScale", "localDwKs"] satisfies readonly (keyof GLMixOptions)[];

/**
 * GLMix block: x [N, C, H, W] → [N, C, H, W].
 *
 * Pixels are grouped into S slots by similarity, the slots attend to each other, and their results go back to the pixels along the same
 * similarities; a convolution adds what is local.
 *
 * Throws OpError where `numHeads` does not divide `dim`, where `numSlots` is no square though the slots are pooled, and for other input.
 * Reference: GLNet, section 3; glnet.py, `GLMixBlock`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GLMixBlock } from "crabro/models";
 *
 * const block = new GLMixBlock(64, 2, { numSlots: 16, cpeKs: 3 });
 * block.forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * ```
 */
export class GLMixBlock extends Module {
  /** Trained if learnable, otherwise a buffer. */
  readonly slotScale: Parameter | Tensor;
  readonly initSlots: Parameter | null;
  readonly posConv: Conv2d | null;
  readonly norm1: LayerNorm2d;
  readonly relationMha: MultiheadAttention;
  readonly featureConv: Sequential<Layer> | Identity;
  readonly norm2: LayerNorm2d;
  readonly mlp: Sequential<Layer>;
  readonly ls1: LayerScale | null;
  readonly ls2: LayerScale | null;
  readonly dropPath: DropPath;
  readonly #dim: number;
  readonly #side: number;

  constructor(dim: number, numHeads: number, options: GLMixOptions = {}) {
    super();
    checkOptions("GLMixBlock", options, [...mixingOptions, ...mlpOptions]);
    const { numSlots = 64, slotInit = "ada_avgpool", scaleMode = "learnable", slotScale = dim ** -0.5, localDwKs = 5 } = options;
    const { mlpRatio = 4, mlpDw = false, cpeKs = 0, dropPath = 0, layerScale = 0 } = options;
    checkChoice("GLMixBlock", "slotInit", slotInit, ["ada_avgpool", "param"]);
    checkChoice("GLMixBlock", "scaleMode", scaleMode, ["learnable", "const"]);
    this.#dim = dim;
    this.#side = Math.round(Math.sqrt(numSlots));
    if (slotInit === "ada_avgpool" && this.#side ** 2 !== numSlots) {
      throw new OpError("GLMixBlock", `pooled slots form a square: numSlots must be 4, 9, 16, …; got ${numSlots}`);
    }
    this.slotScale = scaleMode === "learnable" ? parameter([], constant(slotScale)) : initial([], constant(slotScale));
    this.initSlots = slotInit === "param" ? parameter([1, numSlots, dim], normal(0.02)) : null;
    this.posConv = positionConv(dim, cpeKs);
    this.norm1 = new LayerNorm2d(dim);
    this.relationMha = new MultiheadAttention(dim, numHeads, { init: linearInit });
    this.featureConv =
      localDwKs > 0
        ? new Sequential<Layer>(
            new Conv2d(dim, dim, 1),
            new Conv2d(dim, dim, localDwKs, { padding: Math.floor(localDwKs / 2), groups: dim }),
            new Conv2d(dim, dim, 1),
          )
        : new Identity();
    this.norm2 = new LayerNorm2d(dim);
    this.mlp = convMlp(dim, Math.floor(mlpRatio * dim), mlpDw);
    const scale = () => (layerScale > 0 ? new LayerScale(dim, { initValue: layerScale, format: "nchw" }) : null);
    this.ls1 = scale();
    this.ls2 = scale();
    this.dropPath = new DropPath(dropPath);
  }

  override forward(x: Tensor): Tensor {
    if (x.ndim !== 4 || x.shape[1] !== this.#dim)
      throw new OpError("GLMixBlock", `expected [N, ${this.#dim}, H, W]; got ${showShape(x.shape)}`);
    const initial = this.#initialSlots(x); // of the bare input, before position encoding and norm: [N, S, C]
    if (this.posConv !== null) x = x.add(this.posConv.forward(x));
    const mixed = this.mix(this.norm1.forward(x), initial); // [N, C, H, W]
    x = x.add(this.dropPath.forward(this.ls1?.forward(mixed) ?? mixed));
    const mlp = this.mlp.forward(this.norm2.forward(x)); // [N, C, H, W]
    return x.add(this.dropPath.forward(this.ls2?.forward(mlp) ?? mlp));
  }

  /** Global and local mixing of the normed input z [N, C, H, W], from initial slots [N, S, C]. */
  protected mix(z: Tensor, slots: Tensor): Tensor {
    const [, , height, width] = z.shape;
    const pixels = toSequence(z); // Z [N, L, C]
    const logits = this.slotLogits(slots, pixels); // [N, S, L]
    const grouped = matmul(softmax(logits, { dim: -1 }), pixels); // [N, S, C]
    const related = this.relationMha.forward(grouped); // [N, S, C], without a residual
    const shares = softmax(logits.transpose(1, 2), { dim: -1 }); // of the slots in each pixel, [N, L, S]
    tell(this, "slot_assignment", () => toMap(shares, height, width));
    const ungrouped = matmul(shares, related); // [N, L, C]
    return toMap(ungrouped, height, width).add(this.featureConv.forward(z));
  }

  /** Scaled cosines between slots [N, S, C] and pixels [N, L, C] → [N, S, L]. */
  slotLogits(slots: Tensor, pixels: Tensor): Tensor {
    const cosines = matmul(normalize(slots, { dim: -1 }), normalize(pixels, { dim: -1 }).transpose(1, 2));
    return cosines.mul(this.slotScale);
  }

  #initialSlots(x: Tensor): Tensor {
    if (this.initSlots === null) return toSequence(adaptiveAvgPool2d(x, this.#side));
    return this.initSlots.expand([x.shape[0], ...this.initSlots.shape.slice(1)]);
  }
}
