/**
 * Crabro: engine + autograd, with the devices `cpu` and `wasm` registered (`wasm` is loaded when it is opened). Other backends, models
 * and training are imported apart: `crabro/backends/…`, `crabro/models`, `crabro/train`.
 */
import { createCpuBackend } from "./backends/cpu/backend.js";
import { type DeviceOptions, registerBackend } from "./engine/device.js";

const openCpu = ({ interpret, maxBytes }: DeviceOptions) =>
  createCpuBackend({ interpret: interpret === true, ...(typeof maxBytes === "number" ? { maxBytes } : {}) });
registerBackend("cpu", openCpu, openCpu);
registerBackend("wasm", async ({ maxBytes, relaxed }) =>
  (await import("./backends/wasm/index.js")).createWasmBackend({
    ...(typeof maxBytes === "number" ? { maxBytes } : {}),
    relaxed: relaxed !== false,
  }),
);

export * from "./autograd/index.js";
export * from "./engine/index.js";
