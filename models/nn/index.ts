/** Layers, in PyTorch's terms. */
export * from "./activation.js";
export * from "./attention.js";
export * from "./container.js";
export * from "./conv.js";
export * from "./drop.js";
export * as init from "./init.js";
export * from "./linear.js";
export * from "./module.js";
export * from "./norm.js";
export { type BuildOptions, buildWith, type Init, initial, Parameter, parameter } from "./parameter.js";
export * from "./pool.js";
