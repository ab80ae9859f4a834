import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { createCpuBackend } from "../../backends/cpu/index.js";

runBackendTests({ name: "cpu", create: () => createCpuBackend(), skip: [] }, vitest);
runBackendTests({ name: "cpu, interpreting", create: () => createCpuBackend({ interpret: true }), skip: [] }, vitest);
