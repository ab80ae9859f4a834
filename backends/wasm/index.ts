export { createWasmBackend, type WasmOptions } from "./backend.js";
