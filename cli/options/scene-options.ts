/** What `crabro train --task segment` can be told besides the rest. */
import { segmentationHeads } from "../../models/segmentor.js";
import { aboveZero, choice, type Fields, number, onSwitch, openNumber, openNumbers, openText, share, wholeFrom } from "./field.js";

export const taskNames = ["classify", "segment", "detect"] as const;

export const sceneFields = {
  task: choice("what is learnt: classes of pictures, of pixels, or boxes and masks of objects", taskNames, "classify"),
  backboneCheckpoint: openText("<file>", "weights of a classifier that the backbone begins with; what does not fit is named"),
  head: choice("of segmentation", segmentationHeads, "uper"),
  headChannels: openNumber("<n>", "width of the head (default: 24 for micro networks, else 512)", wholeFrom(1)),
  auxChannels: openNumber("<n>", "width of the auxiliary head; 0: none (default: 32 for micro networks, else 256)", wholeFrom(0)),
  layerScheme: choice("how layers are numbered for --layer-decay", ["stage_wise", "layer_wise"], "stage_wise"),
  layerCount: number("<n>", "layers of that numbering", 12, wholeFrom(1)),
  sceneScale: openNumbers(
    "<factor>",
    "least and greatest factor of scenes, seen from where they just fit (default: 0.75 1.5)",
    aboveZero,
    2,
  ),
  mostOfOneClass: number("<share>", "greatest share of a crop that one class may have, if it can be helped", 0.95, share),
  reduceZeroLabel: onSwitch("0 in masks means that nobody knows, as in ADE20K"),
  evalSize: openNumber("<pixels>", "side that evaluation fits scenes into (default: the input size)", wholeFrom(1)),
  slide: openNumber("<pixels>", "evaluate by windows of this side (default: pictures as wholes)", wholeFrom(32)),
  slideStride: openNumber("<pixels>", "from one window to the next (default: two thirds of their side)", wholeFrom(1)),
} satisfies Fields;

/** What holds for a task where nothing else is said. */
export const taskDefaults: Readonly<Record<(typeof taskNames)[number], Readonly<Record<string, unknown>>>> = {
  classify: {},
  segment: {
    dataset: "folder",
    batchSize: 8,
    epochs: 12,
    sched: "poly",
    lr: 2e-3,
    minLr: 0,
    warmupLr: 2e-6,
    warmupEpochs: 0.5,
    interpolation: "bilinear",
  },
  detect: {
    dataset: "folder",
    batchSize: 8,
    epochs: 12,
    sched: "multistep",
    decayMilestones: [9, 11],
    lr: 2e-3,
    warmupLr: 2e-6,
    warmupEpochs: 0.5,
    interpolation: "bilinear",
    sceneScale: [1, 1],
  },
};
