/**
 * Crabro: engine + autograd, with all devices registered: `wasm`, the default; `cpu`, the default where there is no WebAssembly SIMD; `webgpu` and
 * `gpujs`, which are loaded when they are opened. Models and training are imported apart: `crabro/models`, `crabro/train`.
 */
import { createCpuBackend } from "./backends/cpu/backend.js";
import { createWasmBackend } from "./backends/wasm/index.js";
import { type DeviceOptions, registerBackend } from "./engine/device.js";
import { interpretKernel } from "./engine/kernel/interpret.js";

const openCpu = ({ interpret, maxBytes }: DeviceOptions) =>
  createCpuBackend({
    ...(interpret === true ? { interpret: interpretKernel } : {}),
    ...(typeof maxBytes === "number" ? { maxBytes } : {}),
  });
registerBackend("cpu", openCpu, openCpu);
const openWasm = ({ maxBytes, relaxed, threads, callerCycles }: DeviceOptions) =>
  createWasmBackend({
    ...(typeof maxBytes === "number" ? { maxBytes } : {}),
    ...(typeof callerCycles === "number" ? { callerCycles } : {}),
    // Whatever was given: the backend says what is wrong with it.
    ...(threads === undefined ? {} : { threads: threads as number }),
    relaxed: relaxed !== false,
  });
registerBackend("wasm", openWasm, openWasm);
const openWebgpu = async ({ software, limits, maxBytes, kernels, schedule, tune }: DeviceOptions) => {
  const { createWebgpuBackend, tuner } = await import("./backends/webgpu/index.js");
  return createWebgpuBackend({
    ...(typeof software === "boolean" ? { software } : {}),
    ...(limits === "default" ? { limits } : {}),
    ...(typeof maxBytes === "number" ? { maxBytes } : {}),
    ...(kernels === "software" || kernels === "hardware" ? { kernels } : {}),
    ...(typeof schedule === "number" ? { schedule } : {}),
    ...(tune === true ? { tune: await tuner() } : {}),
  });
};
registerBackend("webgpu", openWebgpu);
registerBackend("webgpu:software", (options) => openWebgpu({ ...options, software: true }));
const openGpujs =
  (mode?: string) =>
  async ({ maxBytes }: DeviceOptions) => {
    const { createGpujsBackend } = await import("./backends/gpujs/index.js");
    return createGpujsBackend(mode, typeof maxBytes === "number" ? { maxBytes } : {});
  };
registerBackend("gpujs", openGpujs());
for (const mode of ["cpu", "webasm", "webgpu", "webgpu:software", "webgl2", "headlessgl"])
  registerBackend(`gpujs:${mode}`, openGpujs(mode));

export * from "./autograd/index.js";
export * from "./engine/index.js";
