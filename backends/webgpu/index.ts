export { createWebgpuBackend, type WebgpuOptions } from "./backend.js";
