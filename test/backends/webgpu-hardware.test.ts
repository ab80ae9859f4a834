/** Kernels as they are written for real GPUs, checked on whatever adapter there is. */
import * as vitest from "vitest";
import { runBackendTests, type Skip } from "../../backends/conformance.js";
import { createWebgpuBackend } from "../../backends/webgpu/index.js";

const skip: readonly Skip[] = [{ test: "float64", reason: "WGSL has no 64-bit floats" }];

runBackendTests({ name: "webgpu, kernels for hardware", create: () => createWebgpuBackend({ kernels: "hardware" }), skip }, vitest);
