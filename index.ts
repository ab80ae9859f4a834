/**
 * Crabro: engine + autograd, with the `cpu` device registered. Other backends, models and training are imported apart:
 * `crabro/backends/…`, `crabro/models`, `crabro/train`.
 */
import { createCpuBackend } from "./backends/cpu/backend.js";
import { type DeviceOptions, registerBackend } from "./engine/device.js";

const openCpu = ({ interpret, maxBytes }: DeviceOptions) =>
  createCpuBackend({ interpret: interpret === true, ...(typeof maxBytes === "number" ? { maxBytes } : {}) });
registerBackend("cpu", openCpu, openCpu);

export * from "./autograd/index.js";
export * from "./engine/index.js";
