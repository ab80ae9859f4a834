/** What backends emit against the interpreter, on random kernels: those that failed once, and new ones. */
import { describe, it } from "vitest";
import type { Backend } from "../../backends/backend.js";
import { checkRandomKernel } from "../../backends/conformance-fuzz.js";
import { createCpuBackend } from "../../backends/cpu/index.js";
import { createWasmBackend } from "../../backends/wasm/index.js";
import kept from "./kernels.json" with { type: "json" };

/** A seed, the largest axis and whether on results, as the message of a failure names them; they stand for the same kernel as long as `KernelMaker` does. */
const failedOnce = kept as [seed: number, largest: number, onResults: boolean][];
const runs = Number(process.env.FUZZ_RUNS ?? 60);
const first = 1_000_000 * Number(process.env.FUZZ_SEED ?? 1);

const backends: Readonly<Record<string, () => Backend | Promise<Backend>>> = {
  cpu: () => createCpuBackend(),
  wasm: () => createWasmBackend(),
  "wasm without relaxed SIMD": () => createWasmBackend({ relaxed: false }),
};

describe("emitted = interpreted", () => {
  for (const [name, open] of Object.entries(backends)) {
    it(`on ${name}`, async () => {
      const backend = await open();
      for (const [seed, largest, onResults] of failedOnce) await checkRandomKernel(backend, seed, largest, { onResults });
      for (let i = 0; i < runs; i++) await checkRandomKernel(backend, first + i, [3, 5, 9, 13][i % 4], { onResults: i % 3 === 0 });
      backend.destroy();
    });
  }
});
