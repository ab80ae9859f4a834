/** Detection as a task: Mask R-CNN on a COCO data set. */
import { OpError } from "../../engine/errors.js";
import { Detector, type DetectorOptions, lossNames, maskRCNN, smallDetector } from "../../models/detection/index.js";
import type { Detections, Scene } from "../../train/data/scene.js";
import type { SceneBatch } from "../../train/data/scene-loader.js";
import { type DetectorEvaluation, detectionStep, evaluateDetector } from "../../train/detection.js";
import { ModelEma } from "../../train/ema.js";
import { denseScheme } from "../../train/optim/groups.js";
import { drawDetections, drawTruth } from "../../train/report/draw.js";
import type { Columns } from "../../train/report/history.js";
import { cocoTable, sceneGallery } from "../../train/report/scenes.js";
import type { Measures, Task, Words } from "../../train/task.js";
import type { TrainOptions } from "../options/train-options.js";
import { loadBackbone, prepareScenes, type SceneData, sceneLoaders } from "./scenes.js";
import { beginWith, makeOptimizer } from "./setup.js";

const shownScenes = 12;

const chart = "Average precision, %";
const titles = { rpnCls: "anchors", rpnBox: "anchors' boxes", cls: "classes", box: "boxes", mask: "masks" } as const;
const columns: Columns = {
  train: lossNames.map((name) => ({ key: name, title: `loss, ${titles[name]}`, csv: name, log: name, digits: 4 })),
  test: [
    { key: "boxAP", title: "box AP", csv: "box_ap", log: "box_ap", digits: 2, chart },
    { key: "boxAP50", title: "box AP50", csv: "box_ap50", log: "box_ap50", digits: 2, chart },
    { key: "maskAP", title: "mask AP", csv: "mask_ap", log: "mask_ap", digits: 2, chart },
    { key: "maskAP50", title: "mask AP50", csv: "mask_ap50", log: "mask_ap50", digits: 2, chart },
  ],
  metric: "boxAP50",
  metricTitle: "box AP50",
};

const words: Words = {
  training: (mean) => `rpn ${(mean("rpnCls") + mean("rpnBox")).toFixed(2)} cls ${mean("cls").toFixed(2)} mask ${mean("mask").toFixed(2)}`,
  testing: () => ({ line: "", bar: "" }),
  result: ({ boxAP, boxAP50, maskAP, maskAP50 }) =>
    `* box AP ${boxAP.toFixed(2)} AP50 ${boxAP50.toFixed(2)}  mask AP ${maskAP.toFixed(2)} AP50 ${maskAP50.toFixed(2)}`,
};

/** In per cent. */
const measuresOf = ({ bbox, segm }: DetectorEvaluation): Measures => ({
  boxAP: 100 * bbox.AP,
  boxAP50: 100 * bbox.AP50,
  maskAP: 100 * segm.AP,
  maskAP50: 100 * segm.AP50,
});

/** What the flags say of the network. */
function designOf(options: TrainOptions, numClasses: number): DetectorOptions {
  const small = options.model.includes("micro");
  const { neck, neckChannels, regions, maskRegions, maxDetections } = options;
  return {
    ...(small ? smallDetector : {}),
    numClasses,
    backbone: options.model,
    backboneOptions: {
      inChans: options.inChans ?? 3,
      dropPathRate: options.dropPath,
      ...(options.model.endsWith("gf") ? { inputSize: detectionSize(options) } : {}),
    },
    neck,
    ...(neckChannels === undefined ? {} : { neckChannels }),
    ...(regions === undefined ? {} : { regions: { count: regions } }),
    ...(maskRegions === undefined ? {} : { maskRegions }),
    ...(maxDetections === undefined ? {} : { maxPerImage: maxDetections }),
  };
}

/** The side of training's pictures. */
const detectionSize = ({ inputSize, model }: TrainOptions): number => inputSize ?? (model.includes("micro") ? 128 : 800);

/** Throws OpError for flags that detection has no use for. */
export function planDetection(options: TrainOptions): SceneData {
  if (options.mixup > 0 || options.cutmix > 0) throw new OpError("train", "--mixup and --cutmix are for classification");
  const data = prepareScenes(options, detectionSize(options));
  const { length } = data.trainSet.categories;
  if (options.numClasses !== undefined && options.numClasses !== length)
    throw new OpError("train", `${data.trainSet.name} has ${length} categories; got --num-classes ${options.numClasses}`);
  return data;
}

export async function detectTask(options: TrainOptions, data: SceneData, say: (line: string) => void): Promise<Task<SceneBatch>> {
  const { trainSet, testSet, train, shown } = data;
  const { categories } = trainSet;
  const design = designOf(options, categories.length);
  const model = maskRCNN(design);
  if (options.initialCheckpoint !== undefined) beginWith(model, options.initialCheckpoint, "this network", say);
  else if (options.backboneCheckpoint !== undefined) loadBackbone(model.backbone, options.backboneCheckpoint, say);
  const optimizer = makeOptimizer(model, options, denseScheme(options.layerScheme, options.layerCount));
  const { loader, testLoader } = sceneLoaders(options, data, { masks: true, maxInstances: options.model.includes("micro") ? 32 : 100 });
  const ema = options.modelEma ? await ModelEma.of(model, { decay: options.modelEmaDecay }) : null;
  const averaged = ema === null ? null : maskRCNN({ ...design, meta: true });
  const detectors = { model: new Detector(model), average: averaged === null ? null : new Detector(averaged) };
  let last: { readonly result: DetectorEvaluation; readonly scenes: readonly (readonly [Scene, Detections])[] } | null = null;
  const [height, width] = train.size;
  return {
    title: `Mask R-CNN of ${options.model} with ${options.neck} on ${trainSet.name}`,
    opening: `${trainSet.name}: ${loader.samples} scenes of ${train.channels} × ${height} × ${width} an epoch`,
    facts: [
      ["network", `Mask R-CNN, ${options.model}, neck ${options.neck}, ${model.numParameters} parameters`],
      ["data", `${trainSet.name}: ${trainSet.length} scenes; ${testSet.name}: ${testSet.length}; ${categories.length} categories`],
    ],
    model,
    optimizer,
    ema,
    loader,
    step: detectionStep(model, optimizer, {
      clipGrad: options.clipGrad || null,
      ema,
      guard: true,
      compiled: options.compile,
      accumulates: options.gradAccumSteps > 1,
    }),
    columns,
    words,
    evaluate: async (which, { onBatch, signal, shown: kept }) => {
      if (which === "average" && ema !== null) averaged?.loadStateDict(ema.stateDict());
      const scenes: [Scene, Detections][] = [];
      const onScene = (scene: Scene, found: Detections): void => {
        if (scenes.length < shownScenes) scenes.push([scene, found]);
      };
      const detector = (which === "average" ? detectors.average : null) ?? detectors.model;
      const result = await evaluateDetector(detector, testLoader, { onBatch, signal, ...(kept ? { onScene } : {}) });
      if (kept) last = { result, scenes };
      return measuresOf(result);
    },
    sections: async () => {
      if (last === null) return "";
      const pictures = last.scenes.map(([scene, found]) => ({
        title: `image ${scene.imageId}`,
        truth: drawTruth(scene, categories),
        said: drawDetections(scene.image, found, categories),
      }));
      return `${cocoTable(last.result, categories)}\n${sceneGallery(pictures)}`;
    },
    broken: () => [...data.broken, ...loader.broken, ...testLoader.broken],
    card: () => ({
      model: options.model,
      task: "detect",
      numClasses: categories.length,
      inChans: train.channels,
      inputSize: height,
      classNames: categories,
      sceneTransform: shown,
      design: { ...design },
    }),
    // The anomaly of a step is looked for with classification's loss alone.
    locate: async () => null,
    close: async () => {
      await Promise.all([loader.close(), testLoader.close()]);
    },
  };
}
