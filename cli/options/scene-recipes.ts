/**
 * The published recipes of segmentation and detection as flags, by the name of the backbone: UPerNet on ADE20K in 160,000 steps, Mask R-CNN on
 * COCO in 12 epochs, at the papers' batch sizes.
 *
 * What they cannot say: a data set's own colour distortion, and pictures that are not square. Detection fits a picture into a square of the
 * longer side in place of 1333 × 800.
 */
import { OpError } from "../../engine/errors.js";
import type { TrainOptions } from "./train-options.js";

type Recipe = Partial<TrainOptions>;
export type SceneTaskName = Exclude<TrainOptions["task"], "classify">;

const common: Recipe = {
  opt: "adamw",
  optBetas: [0.9, 0.999],
  weightDecay: 0.05,
  batchSize: 16,
  lr: 1e-4,
  hflip: 0.5,
  interpolation: "bilinear",
};

/** Pictures of training: ADE20K's 20,210, COCO's 117,266 with instances. */
const steps = { segment: 20_210 / 16, detect: 117_266 / 16 };

const upernet: Recipe = {
  ...common,
  sched: "poly",
  decayRate: 1,
  minLr: 0,
  epochs: Math.ceil(160_000 / steps.segment),
  warmupEpochs: 1500 / steps.segment,
  warmupLr: 1e-4 * 1e-6,
  layerScheme: "stage_wise",
  layerDecay: 0.9,
  layerCount: 12,
  dropPath: 0.4,
  clipGrad: 0,
  reduceZeroLabel: true,
  sceneScale: [0.5, 2],
  mostOfOneClass: 0.75,
  inputSize: 512,
  // A picture of 4 : 3 whose short side is 512.
  evalSize: 704,
  slide: 512,
  slideStride: 341,
};
const filtered: Recipe = { ...upernet, clipGrad: 1 };
const small: Recipe = { dropPath: 0.3 };
const large: Recipe = { layerDecay: 0.8, inputSize: 640, evalSize: 864, slide: 640, slideStride: 426 };

const maskRCNN: Recipe = {
  ...common,
  sched: "multistep",
  decayMilestones: [8, 11],
  decayRate: 0.1,
  epochs: 12,
  warmupEpochs: 500 / steps.detect,
  warmupLr: 1e-4 * 1e-3,
  layerScheme: "layer_wise",
  layerDecay: 0.95,
  layerCount: 6,
  dropPath: 0.6,
  clipGrad: 0,
  sceneScale: [1, 1],
  inputSize: 1344,
};

export const sceneRecipes: Readonly<Record<SceneTaskName, Readonly<Record<string, Recipe>>>> = {
  segment: {
    hornet_tiny_7x7: { ...upernet, layerCount: 6 },
    hornet_tiny_gf: { ...filtered, layerCount: 6 },
    hornet_small_7x7: { ...upernet, ...small },
    hornet_small_gf: { ...filtered, ...small },
    hornet_base_7x7: upernet,
    hornet_base_gf: { ...filtered, dropPath: 0.5 },
    hornet_large_7x7: { ...upernet, ...large },
    hornet_large_gf: { ...filtered, ...large, clipGrad: 0.1 },
  },
  detect: { hornet_small_7x7: maskRCNN },
};

/**
 * The flags of a published recipe for a task on scenes. Published backbones (`det_backbone_small_gf_seg`, whose filters are those of the papers)
 * have that of their network. With HorFPN's GF head gradients are clipped harder than with UPerNet's.
 */
export function sceneRecipeOf(task: SceneTaskName, model: string, head?: string): Recipe {
  const known = sceneRecipes[task];
  const name = model.replace(/^det_backbone_(.*?)(_seg)?$/, "hornet_$1");
  if (!Object.hasOwn(known, name))
    throw new OpError("recipe", `there is no recipe ${name} for --task ${task}; there are ${Object.keys(known).join(", ")}`);
  return task === "segment" && head === "horfpn_gf" ? { ...known[name], clipGrad: 0.1 } : known[name];
}
