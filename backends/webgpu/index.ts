export { createWebgpuBackend, type WebgpuOptions } from "./backend.js";
export { type TuneOptions, tuner } from "./tuner.js";
