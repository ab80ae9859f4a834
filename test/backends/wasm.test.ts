import * as vitest from "vitest";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../backends/backend.js";
import { runBackendTests } from "../../backends/conformance.js";
import { checkRandomKernel } from "../../backends/conformance-fuzz.js";
import { Builder, randomData, runOn } from "../../backends/conformance-kit.js";
import { createWasmBackend } from "../../backends/wasm/index.js";
import { Heap, sizeClass } from "../../backends/wasm/memory.js";
import { evaluateFn } from "../../engine/kernel/erf.js";
import type { ScalarFn } from "../../engine/kernel/ir.js";

runBackendTests({ name: "wasm on one thread", create: () => createWasmBackend({ threads: 1 }), skip: [] }, vitest);

describe("wasm", () => {
  it("agrees with the interpreter on random kernels, without relaxed SIMD too", async () => {
    for (const relaxed of [true, false]) {
      const backend = await createWasmBackend({ relaxed });
      for (let seed = 0; seed < 40; seed++) await checkRandomKernel(backend, 70_000 + seed, [5, 9, 13][seed % 3]);
      backend.destroy();
    }
  });

  it("names the bytes wanted, live and allowed when it has no room, and goes on", async () => {
    const backend = await createWasmBackend({ maxBytes: 1 << 20 });
    const held = backend.allocate("float32", 100_000);
    expect(() => backend.allocate("float32", 200_000)).toThrow(/no room for 800000 bytes: \d+ are live, 1048576 are allowed/);
    backend.upload(held, new Float32Array([1, 2]));
    expect(await backend.download(held, 2)).toEqual(new Float32Array([1, 2]));
    backend.free(held);
    backend.free(backend.allocate("float32", 200_000));
    backend.destroy();
  });
});

describe("large contractions", () => {
  const shapes: readonly [string, number, number, number, boolean, boolean][] = [
    ["plain", 132, 136, 128, false, false],
    ["with a transposed first operand", 132, 136, 128, true, false],
    ["with a transposed second operand", 131, 136, 128, false, true],
    ["in blocks of rows", 192, 16, 1024, false, false],
    ["in blocks of rows, both transposed", 192, 16, 1024, true, true],
    ["that no panel fits", 131, 137, 128, true, true],
  ];
  for (const [what, m, n, k, first, second] of shapes) {
    it(`are right ${what}`, async () => {
      const backend = await createWasmBackend();
      const b = new Builder();
      const [i, j, t] = [b.axis("i", m), b.axis("j", n), b.axis("k", k)];
      const x = first ? b.read("float32", [t, i], [k, m]) : b.read("float32", [i, t], [m, k]);
      const y = second ? b.read("float32", [j, t], [n, k]) : b.read("float32", [t, j], [k, n]);
      b.write([i, j], b.pool.add(b.reduce([t], "add", b.pool.mul(x, y), "matmul"), b.float(0.5)));
      const kernel = b.kernel("matmul", [i, j]);
      const data = randomData(kernel);
      const got = (await runOn(backend, kernel, data))[2];
      const [ax, ay] = [first ? [1, m] : [k, 1], second ? [k, 1] : [1, n]];
      let worstError = 0;
      for (let row = 0; row < m; row++) {
        for (let column = 0; column < n; column++) {
          let sum = 0.5;
          for (let s = 0; s < k; s++) sum += data[0][row * ax[0] + s * ax[1]] * data[1][column * ay[0] + s * ay[1]];
          worstError = Math.max(worstError, Math.abs(sum - got[row * n + column]));
        }
      }
      // The sum of k terms of size 1/3 in float32, one after the other: about k · 2^-24, and a few times that at worst.
      expect(worstError).toBeLessThan(k * 1.6e-7);
      backend.destroy();
    });
  }
});

describe("the heap", () => {
  it("gives freed blocks out again and grows by plan", () => {
    const heap = new Heap(2 ** 32);
    const [a, b] = [heap.allocate(1000), heap.allocate(1000)];
    expect(b).toBeGreaterThanOrEqual(a + 1000);
    heap.free(a, 1000);
    expect(heap.allocate(990)).toBe(a);
    const before = heap.memory.buffer.byteLength;
    const large = heap.allocate(10_000_000);
    expect(heap.memory.buffer.byteLength).toBeGreaterThan(before);
    expect(large + 10_000_000).toBeLessThan(heap.memory.buffer.byteLength);
  });

  it("wastes at most a fifth of a block", () => {
    for (let bytes = 257; bytes < 2 ** 31; bytes = Math.ceil(bytes * 1.07)) {
      expect(sizeClass(bytes)).toBeGreaterThanOrEqual(bytes);
      expect(sizeClass(bytes)).toBeLessThanOrEqual(1.25 * bytes + 64);
      expect(sizeClass(sizeClass(bytes))).toBe(sizeClass(bytes));
    }
  });
});

/** In units of the last place of float32 at `want`. */
function ulps(got: number, want: number): number {
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(want) || 1e-45)));
  return Math.abs(got - want) / 2 ** (exponent - 23);
}

async function worst(backend: Backend, fn: ScalarFn, from: number, to: number): Promise<number> {
  const count = 40_000;
  const b = new Builder();
  const i = b.axis("i", count);
  b.write([i], b.pool.call(fn, [b.read("float32", [i], [count])]));
  const x = Float32Array.from({ length: count }, (_, k) => from + ((to - from) * (k + 0.37)) / count);
  const [, y] = await runOn(backend, b.kernel(fn, [i]), [x, new Float32Array(count)]);
  let most = 0;
  for (let k = 0; k < count; k++) most = Math.max(most, ulps(y[k], evaluateFn(fn, [x[k]], "float32", "float32")));
  return most;
}

describe("functions of reals", () => {
  const ranges: readonly [ScalarFn, number, number, number][] = [
    ["exp", -87, 88, 2],
    ["exp", -1, 1, 2],
    ["log", 1e-6, 4, 2],
    ["log", 0.1, 1e6, 2],
    ["tanh", -10, 10, 2],
    ["tanh", -0.7, 0.7, 2],
    ["erf", -4.5, 4.5, 2],
    ["sin", -1.5, 1.5, 2],
    ["cos", -1.5, 1.5, 2],
  ];
  for (const [fn, from, to, allowed] of ranges) {
    for (const relaxed of [true, false]) {
      it(`${fn} is within ${allowed} ulp in [${from}, ${to}]${relaxed ? "" : " without relaxed SIMD"}`, async () => {
        const backend = await createWasmBackend({ relaxed });
        expect(await worst(backend, fn, from, to)).toBeLessThanOrEqual(allowed);
        backend.destroy();
      });
    }
  }
});
