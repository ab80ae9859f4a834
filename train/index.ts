/** Training: optimizers, schedules, data, augmentation, measures, loops, checkpoints, reports. */
export * from "./anomaly.js";
export * from "./augment/index.js";
export * from "./checkpoint.js";
export * from "./data/index.js";
export * from "./ema.js";
export * from "./evaluate.js";
export * from "./loop.js";
export * from "./metrics.js";
export * from "./optim/index.js";
export * from "./report/index.js";
export * from "./run/index.js";
export * from "./schedule.js";
export * from "./step.js";
export * from "./token-label.js";
