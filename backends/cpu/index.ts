export { type CpuOptions, createCpuBackend } from "./backend.js";
