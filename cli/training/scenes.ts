/** Scenes by folder, and how they are shown: for segmentation and detection. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { adaptState } from "../../models/pretrained.js";
import type { Backbone } from "../../models/registry.js";
import { showLoadReport } from "../../models/state.js";
import { padded, type SceneTransform, withoutAugmentation } from "../../train/augment/scene-transform.js";
import { readModel } from "../../train/checkpoint.js";
import { cocoDataset } from "../../train/data/coco.js";
import type { Split } from "../../train/data/dataset.js";
import { imagenetStatistics } from "../../train/data/folder.js";
import { firstScenes, keptScenes, type SceneDataset } from "../../train/data/scene.js";
import { SceneLoader } from "../../train/data/scene-loader.js";
import { semanticDataset } from "../../train/data/semantic.js";
import type { TrainOptions } from "../options/train-options.js";

const halves: Readonly<Record<Split, readonly string[]>> = {
  train: ["train", "train2017", "training"],
  test: ["val", "val2017", "validation"],
};

/** The annotation file and the pictures of a half of a COCO data set; throws OpError where they are not there. */
function cocoPaths(root: string, split: Split): { readonly file: string; readonly images: string } {
  for (const name of halves[split]) {
    const file = join(root, "annotations", `instances_${name}.json`);
    if (!existsSync(file)) continue;
    const images = [join(root, "images", name), join(root, name)].find((path) => existsSync(path));
    if (images === undefined) throw new OpError("coco", `${root} has no folder images/${name}, nor ${name}, for ${file}`);
    return { file, images };
  }
  const names = halves[split].map((name) => `instances_${name}.json`);
  throw new OpError("coco", `${join(root, "annotations")} holds none of ${names.join(", ")}`);
}

export interface SceneData {
  readonly trainSet: SceneDataset;
  readonly testSet: SceneDataset;
  readonly train: SceneTransform;
  /** How evaluation shows scenes. */
  readonly shown: SceneTransform;
  /** What was left out when the annotations were read. */
  readonly broken: readonly string[];
}

export interface ReadingScenes {
  readonly limit: number | undefined;
  readonly reduceZeroLabel: boolean;
  readonly skipBroken: boolean;
  readonly onBroken: (why: string) => void;
}

/** A half of a folder's scenes: with classes of pixels, or else with instances. Throws OpError where they are not there or are broken. */
export function openScenes(
  root: string,
  split: Split,
  withClasses: boolean,
  { limit, reduceZeroLabel, ...reading }: ReadingScenes,
): SceneDataset {
  if (withClasses) return firstScenes(semanticDataset(root, split, { ...reading, reduceZeroLabel }), limit);
  const { file, images } = cocoPaths(root, split);
  return firstScenes(cocoDataset(file, images, reading), limit);
}

/** Scenes up to so many bytes stay in memory once they are read. */
const keptBytes = 2 ** 29;

/** The data of segmentation or detection, and what is drawn of them. Throws OpError where they are not there or are broken. */
export function prepareScenes(options: TrainOptions, size: number): SceneData {
  const { task, dataDir, reduceZeroLabel, skipBroken } = options;
  if (dataDir === undefined) throw new OpError("train", `name the folder of scenes: crabro train FOLDER --task ${task}`);
  if (!existsSync(dataDir))
    throw new OpError("train", `there is no folder ${dataDir}; crabro data digits-scenes --to ${dataDir} makes one`);
  const broken: string[] = [];
  const reading = { reduceZeroLabel, skipBroken, onBroken: (why: string) => broken.push(why) };
  const open = (split: Split, limit: number | undefined): SceneDataset =>
    keptScenes(openScenes(dataDir, split, task === "segment", { ...reading, limit }), keptBytes);
  const [trainSet, testSet] = [open("train", options.trainLimit), open("test", options.valLimit)];
  for (const kind of ["categories", "classes"] as const)
    if (trainSet[kind].join("\n") !== testSet[kind].join("\n")) throw new OpError("train", `the halves of ${dataDir} have other ${kind}`);
  const [least, greatest] = options.sceneScale ?? [0.75, 1.5];
  const train = sceneTransform(options, size, { scale: [least, greatest], hflip: options.hflip ?? 0 });
  return { trainSet, testSet, train, shown: withoutAugmentation({ ...train, size: square(options.evalSize ?? size) }), broken };
}

const square = (side: number): readonly [number, number] => [padded(side), padded(side)];

function sceneTransform(options: TrainOptions, size: number, drawn: Pick<SceneTransform, "scale" | "hflip">): SceneTransform {
  const channels = options.inChans ?? 3;
  if (channels !== 1 && channels !== 3) throw new OpError("data", `images have 1 or 3 channels; got --in-chans ${channels}`);
  const grey = (values: readonly number[]): readonly number[] =>
    channels === 3 ? values : [values.reduce((sum, value) => sum + value, 0) / values.length];
  const [mean, std] = [options.mean ?? grey(imagenetStatistics.mean), options.std ?? grey(imagenetStatistics.std)];
  for (const [name, values] of Object.entries({ mean, std }))
    if (values.length !== channels) throw new OpError("data", `--${name} has ${values.length} values for ${channels} channels`);
  return {
    size: square(size),
    channels,
    mean,
    std,
    interpolation: options.interpolation,
    mostOfOneClass: options.mostOfOneClass,
    ...(options.aug ? drawn : { scale: [1, 1], hflip: 0 }),
  };
}

/** Both loaders, on the default device. */
export function sceneLoaders(
  { batchSize, validationBatchSize, seed, skipBroken }: TrainOptions,
  { trainSet, testSet, train, shown }: SceneData,
  more: { readonly masks: boolean; readonly maxInstances?: number },
) {
  const shared = { seed, ...more };
  const loader = new SceneLoader(trainSet, {
    ...shared,
    batchSize,
    transform: train,
    shuffle: true,
    dropLast: trainSet.length >= batchSize,
    broken: skipBroken ? "replace" : "refuse",
  });
  const testLoader = new SceneLoader(testSet, {
    ...shared,
    batchSize: validationBatchSize ?? batchSize,
    transform: shown,
    broken: skipBroken ? "drop" : "refuse",
  });
  return { loader, testLoader };
}

/** Gives a backbone the weights of a classifier, and says which of them are missing, unexpected or of another shape. */
export function loadBackbone(backbone: Backbone, path: string, say: (line: string) => void): void {
  const state = adaptState(readModel(path).tensors, backbone, "drop");
  const report = backbone.loadStateDict(state, { strict: false });
  const fitting = backbone.stateDict().size - report.missing.length - report.mismatched.length;
  if (fitting === 0) throw new OpError("train", `${path} holds nothing of the backbone`);
  const left = showLoadReport(report);
  say(`the backbone begins with ${fitting} entries of ${path}${left === "" ? "" : `; ${left}`}`);
}
