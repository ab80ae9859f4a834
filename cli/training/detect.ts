/** Detection as a task: Mask R-CNN with FPN or HorFPN on a COCO data set. */
import { Detector, type DetectorOptions, lossNames, type MaskRCNN, maskRCNN, smallDetector } from "../../models/detection/index.js";
import { cocoLineNames } from "../../train/coco-metrics.js";
import type { Detections, Scene } from "../../train/data/scene.js";
import { type DetectorEvaluation, detectionLesson, evaluateDetector } from "../../train/detection.js";
import { drawDetections, drawTruth } from "../../train/report/draw.js";
import { cocoTable } from "../../train/report/scenes.js";
import type { TrainOptions } from "../options/train-options.js";
import type { SceneKind } from "./scene-task.js";

const chart = "Average precision, %";
const titles = { rpnCls: "anchors", rpnBox: "anchors' boxes", cls: "classes", box: "boxes", mask: "masks" } as const;

function designOf(options: TrainOptions, side: number, numClasses: number): DetectorOptions {
  const { neck, neckChannels, regions, maskRegions, maxDetections } = options;
  return {
    ...(options.model.includes("micro") ? smallDetector : {}),
    numClasses,
    backbone: options.model,
    backboneOptions: {
      inChans: options.inChans ?? 3,
      dropPathRate: options.dropPath,
      ...(options.model.endsWith("gf") ? { inputSize: side } : {}),
    },
    neck,
    ...(neckChannels === undefined ? {} : { neckChannels }),
    ...(regions === undefined ? {} : { regions: { count: regions } }),
    ...(maskRegions === undefined ? {} : { maskRegions }),
    ...(maxDetections === undefined ? {} : { maxPerImage: maxDetections }),
  };
}

/** In per cent; "–" where there was nothing to find. */
const percent = (value: number): string => (value < 0 ? "–" : (100 * value).toFixed(2)).padStart(7);

export const detection: SceneKind<MaskRCNN, DetectorEvaluation, readonly [Scene, Detections]> = {
  columns: {
    train: lossNames.map((name) => ({ key: name, title: `loss, ${titles[name]}`, csv: name, log: name, digits: 4 })),
    test: [
      { key: "boxAP", title: "box AP", csv: "box_ap", log: "box_ap", digits: 2, chart },
      { key: "boxAP50", title: "box AP50", csv: "box_ap50", log: "box_ap50", digits: 2, chart },
      { key: "maskAP", title: "mask AP", csv: "mask_ap", log: "mask_ap", digits: 2, chart },
      { key: "maskAP50", title: "mask AP50", csv: "mask_ap50", log: "mask_ap50", digits: 2, chart },
    ],
    metric: "boxAP50",
    metricTitle: "box AP50",
  },
  words: {
    training: (mean) => `rpn ${(mean("rpnCls") + mean("rpnBox")).toFixed(2)} cls ${mean("cls").toFixed(2)} mask ${mean("mask").toFixed(2)}`,
    testing: () => ({ line: "", bar: "" }),
    result: ({ boxAP, boxAP50, maskAP, maskAP50 }) =>
      `* box AP ${boxAP.toFixed(2)} AP50 ${boxAP50.toFixed(2)}  mask AP ${maskAP.toFixed(2)} AP50 ${maskAP50.toFixed(2)}`,
  },
  namesAre: "categories",
  sideOf: (small) => (small ? 128 : 800),
  loading: (small) => ({ masks: true, maxInstances: small ? 32 : 100 }),
  designOf,
  build: (design, options = {}) => maskRCNN({ ...(design as unknown as DetectorOptions), ...options }),
  title: ({ model, neck }) => `Mask R-CNN of ${model} with ${neck}`,
  lesson: (model) => detectionLesson(model),
  evaluation: (model) => {
    const detector = new Detector(model);
    return (loader, { onBatch, signal, onScene } = {}) =>
      evaluateDetector(detector, loader, { onBatch, signal, onScene: (scene, found) => onScene?.([scene, found]) });
  },
  measures: ({ bbox, segm }) => ({ boxAP: 100 * bbox.AP, boxAP50: 100 * bbox.AP50, maskAP: 100 * segm.AP, maskAP50: 100 * segm.AP50 }),
  table: cocoTable,
  lines: ({ bbox, segm }, names) => {
    const line = (name: string, ...values: number[]): string => `${name}  ${values.map(percent).join("  ")}`;
    const width = Math.max(...cocoLineNames.map(([, name]) => name.length), ...names.map(({ length }) => length));
    const head = (...columns: string[]): string => `${"".padEnd(width)}  ${columns.map((column) => column.padStart(7)).join("  ")}`;
    return [
      head("boxes", "masks"),
      ...cocoLineNames.map(([key, name]) => line(name.padEnd(width), bbox[key], segm[key])),
      head("AP", "AP50", "mask AP", "AP50"),
      ...names.map((name, i) => {
        const [box, mask] = [bbox.perClass[i], segm.perClass[i]];
        return line(name.padEnd(width), box.AP, box.AP50, mask.AP, mask.AP50);
      }),
    ];
  },
  draw: async ([scene, found], { categories }) => ({
    title: `image ${scene.imageId}`,
    truth: drawTruth(scene, categories),
    said: drawDetections(scene.image, found, categories),
  }),
};
