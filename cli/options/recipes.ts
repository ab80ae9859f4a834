/** The published recipes as flags: what the papers trained the networks with on ImageNet-1k, at the papers' batch sizes. */
import { OpError } from "../../engine/errors.js";
import type { TrainOptions } from "./train-options.js";

type Recipe = Partial<TrainOptions>;

const common: Recipe = {
  opt: "adamw",
  optEps: 1e-8,
  weightDecay: 0.05,
  sched: "cosine",
  scale: [0.08, 1],
  hflip: 0.5,
  interpolation: "bicubic",
  aa: "rand-m9-mstd0.5-inc1",
  reprob: 0.25,
  remode: "pixel",
  recount: 1,
  mixup: 0.8,
  cutmix: 1,
  mixupSwitchProb: 0.5,
  smoothing: 0.1,
  modelEma: true,
  modelEmaDecay: 0.9999,
};

const hornet: Recipe = { ...common, batchSize: 4096, lr: 4e-3, minLr: 1e-6, epochs: 300, warmupEpochs: 20 };
const finetuned: Recipe = {
  ...hornet,
  batchSize: 512,
  lr: 5e-5,
  epochs: 30,
  warmupEpochs: 0,
  dropPath: 0.4,
  clipGrad: 1,
  weightDecay: 1e-8,
  mixup: 0,
  cutmix: 0,
  layerDecay: 0.7,
};
const glnet: Recipe = { ...common, batchSize: 2048, lr: 2e-3, minLr: 1e-5, epochs: 300, warmupEpochs: 5, augRepeats: 3, clipGrad: 5 };
const tokenLabels: Recipe = {
  ...glnet,
  epochs: 300,
  cooldownEpochs: 10,
  warmupLr: 1e-6,
  dropPath: 0.1,
  modelEma: false,
  tokenLabel: true,
};

export const recipes: Readonly<Record<string, Recipe>> = {
  hornet_tiny_7x7: { ...hornet, dropPath: 0.2, clipGrad: 100 },
  hornet_tiny_gf: { ...hornet, dropPath: 0.2, clipGrad: 1 },
  hornet_small_7x7: { ...hornet, dropPath: 0.4, clipGrad: 5 },
  hornet_small_gf: { ...hornet, dropPath: 0.4, clipGrad: 1, aa: "rand-m12-mstd0.5-inc1" },
  hornet_base_7x7: { ...hornet, dropPath: 0.5, clipGrad: 5 },
  hornet_base_gf: { ...hornet, dropPath: 0.5, clipGrad: 1, aa: "rand-m15-mstd0.5-inc1" },
  hornet_large_7x7: finetuned,
  hornet_large_gf: finetuned,
  hornet_large_gf_img384: finetuned,
  glnet_stl: { ...glnet, dropPath: 0.1 },
  glnet_stl_paramslot: { ...glnet, dropPath: 0.1 },
  glnet_4g: { ...glnet, dropPath: 0.15 },
  glnet_9g: { ...glnet, dropPath: 0.3 },
  glnet_16g: { ...glnet, dropPath: 0.4 },
  glnet_4g_tklb: tokenLabels,
  glnet_9g_tklb: tokenLabels,
};

/** The flags of a published recipe. */
export function recipeOf(name: string): Recipe {
  if (!Object.hasOwn(recipes, name))
    throw new OpError("recipe", `there is no recipe ${name}; there are ${Object.keys(recipes).join(", ")}`);
  return recipes[name];
}
