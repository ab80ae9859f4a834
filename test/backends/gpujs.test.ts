import * as vitest from "vitest";
import { runBackendTests, type Skip } from "../../backends/conformance.js";
import { createGpujsBackend } from "../../backends/gpujs/index.js";

const skip: readonly Skip[] = [
  { test: "float64", reason: "gpu.js computes in float32" },
  { test: "template ", reason: "a gpu.js kernel returns one value a thread; the scheduler takes the slow definitions of line transforms" },
  { test: "scalar threefry", reason: "its 32-bit words are beyond the integers that gpu.js holds; random tensors are filled on the host" },
  { test: "int32 wraps", reason: "so would only integers that gpu.js does not hold" },
  { test: "int32 of 0", reason: "the identities of max and min over int32 are beyond the integers that gpu.js holds" },
];

for (const mode of ["cpu", "webasm"] as const) {
  runBackendTests({ name: `gpujs:${mode}`, create: () => createGpujsBackend(mode), skip }, vitest);
}
