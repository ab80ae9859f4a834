import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KernelMaker } from "../../backends/conformance-fuzz.js";
import { Builder, random, randomData } from "../../backends/conformance-kit.js";
import { compileLoops } from "../../backends/wasm/emit.js";
import { ConstantTable } from "../../backends/wasm/math.js";
import type { TypedArray } from "../../engine/dtype.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";

/** Ranges that a phase's steps are cut into, in the order of their execution. */
type Cut = (steps: number) => readonly (readonly [number, number])[];

const whole: Cut = (steps) => [[0, steps]];

function atRandom(seed: number): Cut {
  const next = random(seed);
  return (steps) => {
    const ranges: [number, number][] = [];
    for (let from = 0; from < steps; ) {
      const to = from + 1 + Math.floor(next() * next() * (steps - from));
      ranges.splice(Math.floor(next() * (ranges.length + 1)), 0, [from, to]);
      from = to;
    }
    return ranges;
  };
}

/** All buffers' bytes after a run. */
function outcome(kernel: LoopKernel, data: readonly TypedArray[], cut: Cut): { bytes: Uint8Array; steps: number[] } {
  const memory = new WebAssembly.Memory({ initial: 64 });
  const module = compileLoops(kernel, { relaxed: false, shared: false, constants: new ConstantTable(memory) });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.bytes), {
    env: { memory },
    math: Math as unknown as Record<string, () => number>,
  });
  let end = 65536;
  const place = (bytes: number): number => {
    const address = end;
    end += Math.ceil(bytes / 64) * 64;
    return address;
  };
  const addresses = data.map((array) => {
    const address = place(array.byteLength);
    new Uint8Array(memory.buffer).set(new Uint8Array(array.buffer), address);
    return address;
  });
  const used = end;
  const scratch = module.scratch.map((length) => place(4 * length));
  module.phases.forEach(({ steps }, i) => {
    for (const [from, to] of cut(steps)) (exports[`phase${i}`] as (...args: number[]) => void)(...addresses, ...scratch, from, to);
  });
  return { bytes: new Uint8Array(memory.buffer).slice(65536, used), steps: module.phases.map(({ steps }) => steps) };
}

function expectSame(kernel: LoopKernel, seed: number): number[] {
  const data = randomData(kernel, seed);
  const { bytes, steps } = outcome(kernel, data, whole);
  expect(Buffer.compare(outcome(kernel, data, atRandom(seed)).bytes, bytes), kernel.name).toBe(0);
  return steps;
}

function product(m: number, n: number, k: number): LoopKernel {
  const b = new Builder();
  const [i, j, t] = [b.axis("i", m), b.axis("j", n), b.axis("k", k)];
  const sum = b.reduce([t], "add", b.pool.mul(b.read("float32", [i, t], [m, k]), b.read("float32", [j, t], [n, k])), "matmul");
  b.write([i, j], sum);
  return b.kernel("matmul", [i, j]);
}

describe("steps of a kernel", () => {
  it("give the same bytes in whatever ranges and order they are done", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 30 }), fc.constantFrom(5, 9, 13), (seed, largest) => {
        expectSame(new KernelMaker(seed, largest).make(), seed);
      }),
      { numRuns: 60, seed: 11 },
    );
  });

  it("are many where there is much to do, in each phase of a packed contraction too", () => {
    // Panel by panel; and where the rows do not fit the cache, after all panels.
    for (const [rows, phases] of [
      [132, 1],
      [1100, 2],
    ]) {
      const steps = expectSame(product(rows, 136, 128), 3);
      expect(steps.length).toBe(phases);
      for (const count of steps) expect(count).toBeGreaterThanOrEqual(16);
    }
    expect(expectSame(product(7, 33, 50), 4).length).toBe(1);
  });

  it("are few where all points need the same sum: one for whole vectors, one for what is left", () => {
    const b = new Builder();
    const [i, k] = [b.axis("i", 100), b.axis("k", 50_000)];
    const x = b.buffer("float32", 50_000);
    const sum = b.reduce([k], "add", b.load(x, k));
    b.write([i], b.pool.mul(sum, b.read("float32", [i], [100])));
    for (const count of expectSame(b.kernel("scaled", [i]), 5)) expect(count).toBeLessThanOrEqual(2);
  });
});
