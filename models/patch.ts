/**
 * Patch embeddings of GLNet: the four layers that shrink the maps between its stages.
 *
 * Original: glnet.py, classes `NonOverlappedPatchEmbeddings` and `OverlappedPacthEmbeddings`.
 */
import { checkChoice, checkOptions } from "../engine/ops/check.js";
import { GELU } from "./nn/activation.js";
import { Identity, type Layer, Sequential } from "./nn/container.js";
import { Conv2d } from "./nn/conv.js";
import { BatchNorm2d, LayerNorm2d } from "./nn/norm.js";

/** A norm over the channels of a map. */
export type MapNorm = "BatchNorm2d" | "LayerNorm2d";

/** A norm of maps [N, C, H, W], by its name. */
export const mapNorm = (norm: MapNorm, dim: number): Layer => (norm === "BatchNorm2d" ? new BatchNorm2d(dim) : new LayerNorm2d(dim));

export interface PatchEmbeddingOptions {
  /** Channels of the images. Default 3. */
  readonly inChans?: number;
  /** Default BatchNorm2d. */
  readonly norm?: MapNorm;
  /** Whether the embeddings between stages project first, or norm first. Default proj.norm. */
  readonly order?: "proj.norm" | "norm.proj";
}

const embeddingOptions = ["inChans", "norm", "order"] satisfies readonly (keyof PatchEmbeddingOptions)[];

function checkEmbeddings(op: string, options: PatchEmbeddingOptions, known: readonly string[]): void {
  checkOptions(op, options, known);
  checkChoice(op, "norm", options.norm ?? "BatchNorm2d", ["BatchNorm2d", "LayerNorm2d"]);
  checkChoice(op, "order", options.order ?? "proj.norm", ["proj.norm", "norm.proj"]);
}

/** `conv` and its norm in the order asked for. */
function transition(from: number, to: number, conv: Layer, norm: MapNorm, order: "proj.norm" | "norm.proj"): Sequential<Layer> {
  return order === "proj.norm" ? new Sequential<Layer>(conv, mapNorm(norm, to)) : new Sequential<Layer>(mapNorm(norm, from), conv);
}

/**
 * The four layers between GLNet's stages, of patches that do not overlap: 4×4 of the images, then 2×2 of the maps. Sizes shrink by 4, 2, 2,
 * 2, rounded down. Reference: glnet.py, `NonOverlappedPatchEmbeddings`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nonOverlappedPatchEmbeddings } from "crabro/models";
 *
 * const [stem, second] = nonOverlappedPatchEmbeddings([32, 64, 96, 128], { order: "norm.proj" });
 * second.forward(stem.forward(rand([1, 3, 64, 64]))); // [1, 64, 8, 8]
 * ```
 */
export function nonOverlappedPatchEmbeddings(dims: readonly number[], options: PatchEmbeddingOptions = {}): Sequential<Layer>[] {
  checkEmbeddings("nonOverlappedPatchEmbeddings", options, embeddingOptions);
  const { inChans = 3, norm = "BatchNorm2d", order = "proj.norm" } = options;
  return dims.map((dim, i) =>
    i === 0
      ? new Sequential<Layer>(new Conv2d(inChans, dim, 4, { stride: 4 }), mapNorm(norm, dim))
      : transition(dims[i - 1], dim, new Conv2d(dims[i - 1], dim, 2, { stride: 2 }), norm, order),
  );
}

/**
 * The same by 3×3 convolutions of stride 2, two of them in the stem: sizes shrink by 4, 2, 2, 2, rounded up. Reference: glnet.py,
 * `OverlappedPacthEmbeddings`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { overlappedPatchEmbeddings } from "crabro/models";
 *
 * const [stem, second] = overlappedPatchEmbeddings([32, 64, 96, 128], { norm: "LayerNorm2d", dualPatchNorm: true });
 * second.forward(stem.forward(rand([1, 3, 64, 64]))); // [1, 64, 8, 8]
 * ```
 */
export function overlappedPatchEmbeddings(
  dims: readonly number[],
  /** `dualPatchNorm`: also norm the images, by LayerNorm2d. */
  options: PatchEmbeddingOptions & { readonly dualPatchNorm?: boolean } = {},
): Sequential<Layer>[] {
  checkEmbeddings("overlappedPatchEmbeddings", options, [...embeddingOptions, "dualPatchNorm"]);
  const { inChans = 3, norm = "BatchNorm2d", order = "proj.norm", dualPatchNorm = false } = options;
  const conv = (from: number, to: number): Conv2d => new Conv2d(from, to, 3, { stride: 2, padding: 1 });
  return dims.map((dim, i) => {
    if (i > 0) return transition(dims[i - 1], dim, conv(dims[i - 1], dim), norm, order);
    const half = Math.floor(dim / 2);
    return new Sequential<Layer>(
      dualPatchNorm ? new LayerNorm2d(inChans) : new Identity(),
      conv(inChans, half),
      mapNorm(norm, half),
      new GELU(),
      conv(half, dim),
      mapNorm(norm, dim),
    );
  });
}
