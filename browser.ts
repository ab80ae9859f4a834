/**
 * The library for pages, built as one ES module without Node's modules, of which bundlers keep what is used: engine, autograd, layers and models,
 * what trains them, and what opens the backends. Nothing happens by importing it: register the backend that you want, and call `installMethods()`
 * for methods on tensors (the first layer made does so too).
 */
import "./autograd/backward.js";

export * from "./autograd/index.js";
export { type CpuOptions, createCpuBackend } from "./backends/cpu/index.js";
export { createGpujsBackend } from "./backends/gpujs/index.js";
export { createWasmBackend } from "./backends/wasm/index.js";
export { createWebgpuBackend, tuner } from "./backends/webgpu/index.js";
export * from "./engine/core.js";
export * as nn from "./models/nn/index.js";
export { Module, Parameter } from "./models/nn/index.js";
export { createModel, listModels } from "./models/registry.js";
export * from "./train/browser.js";
