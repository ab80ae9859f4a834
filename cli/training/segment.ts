/** Segmentation as a task: UPerNet and HorFPN's heads on scenes with classes of pixels. */
import { type Segmentor, type SegmentorOptions, segmentor, smallSegmentor } from "../../models/segmentor.js";
import { drawClasses } from "../../train/report/draw.js";
import { classTable } from "../../train/report/scenes.js";
import { type SegmentationResult, type SegmentedScene, segmentationEvaluation, segmentationLesson } from "../../train/segment.js";
import type { TrainOptions } from "../options/train-options.js";
import type { SceneKind } from "./scene-task.js";

const chart = "IoU and accuracy, %";
const percent = (value: number): string => (Number.isNaN(value) ? "–" : (100 * value).toFixed(2)).padStart(7);

function designOf(options: TrainOptions, side: number, numClasses: number): SegmentorOptions {
  const usual = options.model.includes("micro") ? smallSegmentor : { channels: 512, auxChannels: 256, filterSize: 32 };
  return {
    ...usual,
    numClasses,
    backbone: options.model,
    backboneOptions: {
      inChans: options.inChans ?? 3,
      dropPathRate: options.dropPath,
      ...(options.model.endsWith("gf") ? { inputSize: side } : {}),
    },
    head: options.head,
    channels: options.headChannels ?? usual.channels,
    auxChannels: options.auxChannels ?? usual.auxChannels,
  };
}

export const segmentation: SceneKind<Segmentor, SegmentationResult, SegmentedScene> = {
  columns: {
    train: [{ key: "pixels", title: "training pixels %", csv: "pixels", log: "pixels", digits: 2, chart }],
    test: [
      { key: "loss", title: "test loss", csv: "loss", log: "loss", digits: 4, chart: "Loss" },
      { key: "miou", title: "mIoU %", csv: "miou", log: "miou", digits: 2, chart },
      { key: "macc", title: "mAcc %", csv: "macc", log: "macc", digits: 2, chart },
      { key: "aacc", title: "aAcc %", csv: "aacc", log: "aacc", digits: 2 },
    ],
    metric: "miou",
    metricTitle: "mIoU",
  },
  words: {
    training: (mean) => `pixels ${mean("pixels").toFixed(1)}%`,
    testing: ({ loss, miou }) => ({
      line: `Loss: ${loss.toFixed(3).padStart(6)}  mIoU: ${miou.toFixed(3).padStart(7)}`,
      bar: `loss ${loss.toFixed(3)}  mIoU ${miou.toFixed(1)}%`,
    }),
    result: ({ miou, macc, aacc, loss }) =>
      `* mIoU ${miou.toFixed(3)} mAcc ${macc.toFixed(3)} aAcc ${aacc.toFixed(3)} loss ${loss.toFixed(3)}`,
  },
  namesAre: "classes",
  sideOf: (small) => (small ? 128 : 512),
  loading: () => ({ masks: false, maxInstances: 1 }),
  designOf,
  build: (design, options = {}) => segmentor({ ...(design as unknown as SegmentorOptions), ...options }),
  title: ({ model, head }) => `${model} with ${head}`,
  lesson: segmentationLesson,
  evaluation: segmentationEvaluation,
  measures: ({ loss, mIoU, mAcc, aAcc }) => ({ loss, miou: 100 * mIoU, macc: 100 * mAcc, aacc: 100 * aAcc }),
  table: classTable,
  lines: ({ perClass }, names) => {
    const width = Math.max(...names.map(({ length }) => length));
    return perClass.map(({ iou, acc }, i) => `${names[i].padEnd(width)}  IoU ${percent(iou)}  Acc ${percent(acc)}`);
  },
  draw: async ({ index, classes: said }, dataset) => {
    const { image, semantic } = await dataset.get(index);
    return {
      title: dataset.title(index),
      truth: drawClasses(image, semantic as Uint8Array, dataset.classes),
      said: drawClasses(image, said, dataset.classes),
    };
  },
};
