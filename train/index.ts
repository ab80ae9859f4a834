/** Training: optimizers, schedules, data, measures, loops, checkpoints. */
export * from "./checkpoint.js";
export * from "./data/dataset.js";
export * from "./data/idx.js";
export * from "./data/loader.js";
export * from "./data/mnist.js";
export * from "./data/synthetic.js";
export * from "./ema.js";
export * from "./loop.js";
export * from "./metrics.js";
export * from "./optim/index.js";
export * from "./run-state.js";
export * from "./schedule.js";
export * from "./token-label.js";
