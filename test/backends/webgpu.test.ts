import * as vitest from "vitest";
import { runBackendTests, type Skip } from "../../backends/conformance.js";
import { createWebgpuBackend } from "../../backends/webgpu/index.js";

const skip: readonly Skip[] = [
  { test: "float64", reason: "WGSL has no 64-bit floats" },
  { test: "template ", reason: "no shader for line transforms yet; the scheduler takes their slow definitions" },
];

runBackendTests({ name: "webgpu", create: () => createWebgpuBackend(), skip }, vitest);
