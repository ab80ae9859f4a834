/** Segmentation as a task. */
import { OpError } from "../../engine/errors.js";
import { type Segmentor, type SegmentorOptions, segmentor, smallSegmentor } from "../../models/segmentor.js";
import type { SceneBatch } from "../../train/data/scene-loader.js";
import { ModelEma } from "../../train/ema.js";
import { denseScheme } from "../../train/optim/groups.js";
import { drawClasses } from "../../train/report/draw.js";
import type { Columns } from "../../train/report/history.js";
import { classTable, type ShownScene, sceneGallery } from "../../train/report/scenes.js";
import { type SegmentationResult, type SegmentedScene, segmentationEvaluation, segmentationStep } from "../../train/segment.js";
import type { Measures, Task, Words } from "../../train/task.js";
import type { TrainOptions } from "../options/train-options.js";
import { loadBackbone, prepareScenes, type SceneData, sceneLoaders } from "./scenes.js";
import { beginWith, makeOptimizer } from "./setup.js";

const shownScenes = 12;

const chart = "IoU and accuracy, %";
const columns: Columns = {
  train: [{ key: "pixels", title: "training pixels %", csv: "pixels", log: "pixels", digits: 2, chart }],
  test: [
    { key: "loss", title: "test loss", csv: "loss", log: "loss", digits: 4, chart: "Loss" },
    { key: "miou", title: "mIoU %", csv: "miou", log: "miou", digits: 2, chart },
    { key: "macc", title: "mAcc %", csv: "macc", log: "macc", digits: 2, chart },
    { key: "aacc", title: "aAcc %", csv: "aacc", log: "aacc", digits: 2 },
  ],
  metric: "miou",
  metricTitle: "mIoU",
};

export const segmentationWords: Words = {
  training: (mean) => `pixels ${mean("pixels").toFixed(1)}%`,
  testing: ({ loss, miou }) => ({
    line: `Loss: ${loss.toFixed(3).padStart(6)}  mIoU: ${miou.toFixed(3).padStart(7)}`,
    bar: `loss ${loss.toFixed(3)}  mIoU ${miou.toFixed(1)}%`,
  }),
  result: ({ miou, macc, aacc, loss }) =>
    `* mIoU ${miou.toFixed(3)} mAcc ${macc.toFixed(3)} aAcc ${aacc.toFixed(3)} loss ${loss.toFixed(3)}`,
};

export const segmentationMeasures = ({ loss, mIoU, mAcc, aAcc }: SegmentationResult): Measures => ({
  loss,
  miou: 100 * mIoU,
  macc: 100 * mAcc,
  aacc: 100 * aAcc,
});

/** The side of training's pictures. */
export const segmentationSize = (options: Pick<TrainOptions, "inputSize" | "model">): number =>
  options.inputSize ?? (options.model.includes("micro") ? 128 : 512);

/** What the flags say of the network. */
function designOf(options: TrainOptions, numClasses: number): SegmentorOptions {
  const small = options.model.includes("micro");
  const usual = small ? smallSegmentor : { channels: 512, auxChannels: 256, filterSize: 32 };
  return {
    ...usual,
    numClasses,
    backbone: options.model,
    backboneOptions: {
      inChans: options.inChans ?? 3,
      dropPathRate: options.dropPath,
      ...(options.model.endsWith("gf") ? { inputSize: segmentationSize(options) } : {}),
    },
    head: options.head,
    channels: options.headChannels ?? usual.channels,
    auxChannels: options.auxChannels ?? usual.auxChannels,
  };
}

/** Throws OpError for flags that segmentation has no use for. */
export function planSegmentation(options: TrainOptions): SceneData {
  if (options.mixup > 0 || options.cutmix > 0) throw new OpError("train", "--mixup and --cutmix are for classification");
  const data = prepareScenes(options, segmentationSize(options));
  const { length } = data.trainSet.classes;
  if (options.numClasses !== undefined && options.numClasses !== length)
    throw new OpError("train", `${data.trainSet.name} has ${length} classes; got --num-classes ${options.numClasses}`);
  return data;
}

export async function segmentTask(options: TrainOptions, data: SceneData, say: (line: string) => void): Promise<Task<SceneBatch>> {
  const { trainSet, testSet, train, shown } = data;
  const { classes } = trainSet;
  const design = designOf(options, classes.length);
  const model = segmentor(design);
  if (options.initialCheckpoint !== undefined) beginWith(model, options.initialCheckpoint, "this network", say);
  else if (options.backboneCheckpoint !== undefined) loadBackbone(model.backbone, options.backboneCheckpoint, say);
  const optimizer = makeOptimizer(model, options, denseScheme(options.layerScheme, options.layerCount));
  const { loader, testLoader } = sceneLoaders(options, data, { masks: false, maxInstances: 1 });
  const sliding = slidingOf(options);
  const evaluateModel = segmentationEvaluation(model, sliding);
  const average = options.modelEma ? await averageOf(model, design, options) : null;
  let last: { readonly result: SegmentationResult; readonly scenes: readonly SegmentedScene[] } | null = null;
  const [height, width] = train.size;
  return {
    title: `${options.model} with ${options.head} on ${trainSet.name}`,
    opening: `${trainSet.name}: ${loader.samples} scenes of ${train.channels} × ${height} × ${width} an epoch`,
    facts: [
      ["network", `${options.model}, head ${options.head}, ${model.numParameters} parameters`],
      ["data", `${trainSet.name}: ${trainSet.length} scenes; ${testSet.name}: ${testSet.length}; ${classes.length} classes`],
      ["evaluation", sliding === null ? "whole pictures" : `windows of ${sliding.crop.join(" × ")}, ${sliding.stride.join(" × ")} apart`],
    ],
    model,
    optimizer,
    ema: average?.ema ?? null,
    loader,
    step: segmentationStep(model, optimizer, {
      clipGrad: options.clipGrad || null,
      ema: average?.ema ?? null,
      guard: true,
      compiled: options.compile,
      accumulates: options.gradAccumSteps > 1,
    }),
    columns,
    words: segmentationWords,
    evaluate: async (which, { onBatch, signal, shown: kept }) => {
      if (which === "average") average?.averaged.loadStateDict(average.ema.stateDict());
      const evaluate = which === "average" && average !== null ? average.evaluate : evaluateModel;
      const scenes: SegmentedScene[] = [];
      const onScene = (scene: SegmentedScene): void => {
        if (scenes.length < shownScenes) scenes.push(scene);
      };
      const result = await evaluate(testLoader, { onBatch, signal, ...(kept ? { onScene } : {}) });
      if (kept) last = { result, scenes };
      return segmentationMeasures(result);
    },
    sections: async () => {
      if (last === null) return "";
      const pictures: ShownScene[] = [];
      for (const { index, classes: said } of last.scenes) {
        const { image, semantic } = await testSet.get(index);
        pictures.push({
          title: testSet.title(index),
          truth: drawClasses(image, semantic as Uint8Array, classes),
          said: drawClasses(image, said, classes),
        });
      }
      return `${classTable(last.result, classes)}\n${sceneGallery(pictures)}`;
    },
    broken: () => [...data.broken, ...loader.broken, ...testLoader.broken],
    card: () => ({
      model: options.model,
      task: "segment",
      numClasses: classes.length,
      inChans: train.channels,
      inputSize: height,
      classNames: classes,
      sceneTransform: shown,
      design: { ...design },
      ...(sliding === null ? {} : { sliding }),
    }),
    // The anomaly of a step is looked for with classification's loss alone.
    locate: async () => null,
    close: async () => {
      await Promise.all([loader.close(), testLoader.close()]);
    },
  };
}

function slidingOf({ slide, slideStride = Math.floor(((slide ?? 0) * 2) / 3) }: TrainOptions) {
  if (slide === undefined) return null;
  return { crop: [slide, slide] as const, stride: [slideStride, slideStride] as const };
}

async function averageOf(model: Segmentor, design: SegmentorOptions, options: TrainOptions) {
  const ema = await ModelEma.of(model, { decay: options.modelEmaDecay });
  const averaged = segmentor({ ...design, meta: true });
  return { ema, averaged, evaluate: segmentationEvaluation(averaged, slidingOf(options)) };
}
