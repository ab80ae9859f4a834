/** Devices that continuous integration asks for: an absent one is a failure. WebGPU may be on a software adapter. */
export const requiredDevices = {
  node: ["cpu", "wasm", "webgpu", "gpujs:cpu", "gpujs:webasm"],
  page: ["wasm", "webgpu", "gpujs:webgl2", "gpujs:webgpu"],
} as const;
