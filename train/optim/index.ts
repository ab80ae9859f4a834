/** Optimizers, and what prepares their gradients and groups. */
export * from "./adamw.js";
export * from "./clip.js";
export * from "./groups.js";
export * from "./optimizer.js";
export * from "./sgd.js";
