import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { createCpuBackend } from "../../backends/cpu/index.js";
import { interpretKernel } from "../../engine/kernel/interpret.js";

runBackendTests({ name: "cpu", create: () => createCpuBackend(), skip: [] }, vitest);
runBackendTests({ name: "cpu, interpreting", create: () => createCpuBackend({ interpret: interpretKernel }), skip: [] }, vitest);
