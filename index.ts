/**
 * Crabro: engine + autograd, with the devices `cpu` and `webgpu` registered; the latter is loaded when it is opened. Models and
 * training are imported apart: `crabro/models`, `crabro/train`.
 */
import { createCpuBackend } from "./backends/cpu/backend.js";
import { type DeviceOptions, registerBackend } from "./engine/device.js";

const openCpu = ({ interpret, maxBytes }: DeviceOptions) =>
  createCpuBackend({ interpret: interpret === true, ...(typeof maxBytes === "number" ? { maxBytes } : {}) });
registerBackend("cpu", openCpu, openCpu);
registerBackend("webgpu", async ({ software, limits, maxBytes }) => {
  const { createWebgpuBackend } = await import("./backends/webgpu/index.js");
  return createWebgpuBackend({
    ...(typeof software === "boolean" ? { software } : {}),
    ...(limits === "default" ? { limits } : {}),
    ...(typeof maxBytes === "number" ? { maxBytes } : {}),
  });
});

export * from "./autograd/index.js";
export * from "./engine/index.js";
