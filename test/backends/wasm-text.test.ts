/** Modules as text: what `explain` shows is the module that runs. */
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import wabt from "wabt";
import { sourceText } from "../../backends/backend.js";
import { gelu, layerNorm, matmul } from "../../backends/conformance-kernels.js";
import { createWasmBackend } from "../../backends/wasm/index.js";
import { main } from "../../cli/commands/program.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";
import { complex, device, explain, fft, tensor } from "../../index.js";

const features = { simd: true, relaxed_simd: true, threads: true, sat_float_to_int: true, bulk_memory: true };

async function textOf(kernel: LoopKernel, relaxed = true): Promise<string> {
  const backend = await createWasmBackend({ relaxed });
  const text = await sourceText(await backend.compile(kernel));
  backend.destroy();
  return text;
}

describe("the text of a module", () => {
  it("is one that assembles to a valid module again", async () => {
    const assembler = await wabt();
    for (const kernel of [matmul(24, 36, 20), layerNorm(6, 20), gelu(50)]) {
      const text = await textOf(kernel);
      const module = assembler.parseWat("kernel.wat", text, features);
      const { buffer } = module.toBinary({});
      module.destroy();
      expect(WebAssembly.validate(new Uint8Array(buffer))).toBe(true);
      expect(text).toMatch(/\.store/);
    }
  });

  it("says whether multiply-adds are fused", async () => {
    expect(await textOf(matmul(24, 36, 20))).toContain("f32x4.relaxed_madd");
    expect(await textOf(matmul(24, 36, 20), false)).not.toContain("relaxed");
  });

  it("comes for every kernel, those of transforms too", async () => {
    const wasm = await device("wasm");
    const x = tensor([1, 2, 3, 4], { device: wasm });
    for (const kernel of (await explain(fft(complex(x, x)))).kernels) expect(await kernel.source()).toMatch(/^\(module/);
    await wasm.close();
  });
});

describe("crabro explain", () => {
  let output = "";
  const run = async (...argv: string[]): Promise<string> => {
    output = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      output += text;
      return true;
    });
    expect(await main(["explain", ...argv])).toBe(0);
    return output;
  };
  afterEach(() => vi.restoreAllMocks());

  it("prints the module of each kernel of a named device", async () => {
    const text = await run("--device", "wasm", "--model", "hornet_micro_7x7");
    const kernels = Number(/(\d+) kernels/.exec(text)?.[1]);
    expect(kernels).toBeGreaterThan(10);
    expect(text.match(/^\(module/gm)?.length).toBeGreaterThanOrEqual(kernels);
  });

  it("prints one, or none, where that is asked for", async () => {
    expect((await run("--device", "wasm", "--source", "2")).match(/^\(module/gm)).toHaveLength(1);
    expect(await run("--device", "wasm", "--no-source")).not.toContain("(module");
    expect(await run()).not.toContain("(module");
  });
});

describe("without wabt", () => {
  afterAll(() => vi.doUnmock("wabt"));

  it("says what is missing", async () => {
    vi.resetModules();
    vi.doMock("wabt", () => {
      throw new Error("Cannot find package 'wabt'");
    });
    const { moduleText } = await import("../../backends/wasm/text.js");
    await expect(moduleText(new Uint8Array())).rejects.toThrow(/wasm: .*package wabt, which is not installed/);
  });
});
