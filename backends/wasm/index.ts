export { createWasmBackend, type WasmBackend, type WasmOptions } from "./backend.js";
