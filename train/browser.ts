/** What of `crabro/train` runs in pages: all but what reads or writes files. */

export { type Dataset, firstOf } from "./data/dataset.js";
export { openDigits } from "./data/digits.js";
export { readIdx } from "./data/idx.js";
export { type Batch, DataLoader, type LoaderOptions, plainTransform } from "./data/loader.js";
export { synthetic } from "./data/synthetic.js";
export { ModelEma, type ModelEmaOptions } from "./ema.js";
export { type EvalResult, type Evaluation, evaluation } from "./evaluate.js";
export { type TrainEpochOptions, trainEpoch, updatesOf } from "./loop.js";
export * from "./metrics.js";
export * from "./optim/index.js";
export * from "./schedule.js";
export { type TrainingStepOptions, trainingStep, trainStep } from "./step.js";
