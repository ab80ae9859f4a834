import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { createWasmBackend } from "../../backends/wasm/index.js";

runBackendTests({ name: "wasm", create: () => createWasmBackend(), skip: [] }, vitest);
runBackendTests({ name: "wasm without relaxed SIMD", create: () => createWasmBackend({ relaxed: false }), skip: [] }, vitest);
