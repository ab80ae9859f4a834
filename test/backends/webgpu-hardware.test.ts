/** Kernels as they are written for real GPUs, checked on whatever adapter there is. */
import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { createWebgpuBackend } from "../../backends/webgpu/index.js";
import { skip } from "./webgpu-skip.js";

runBackendTests({ name: "webgpu, kernels for hardware", create: () => createWebgpuBackend({ kernels: "hardware" }), skip }, vitest);
