/** What the cpu backend's printed code looks like, and that it stays right where it is rewritten most. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRandomKernel } from "../../backends/conformance-fuzz.js";
import { conv2d, layerNorm, matmul } from "../../backends/conformance-kernels.js";
import { Builder, runOn } from "../../backends/conformance-kit.js";
import { createCpuBackend } from "../../backends/cpu/index.js";
import type { LoopKernel } from "../../engine/kernel/ir.js";

const sourceOf = (kernel: LoopKernel): string => {
  const executable = createCpuBackend().compile(kernel);
  if (executable instanceof Promise || typeof executable.source !== "string") throw new Error("the cpu backend prints at once");
  return executable.source;
};

const count = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;

describe("printed code", () => {
  it("is a loop for each axis, with index sums hoisted", () => {
    expect(sourceOf(matmul(3, 4, 5))).toBe(
      [
        "return (b0, b1, b2) => {",
        "  for (let m = 0; m < 3; m++) {",
        "    const i0 = m * 5;",
        "    const i1 = m * 4;",
        "    for (let n = 0; n < 4; n++) {",
        "      let s0 = 0;",
        "      for (let k = 0; k < 5; k++) {",
        "        s0 = s0 + b0[i0 + k | 0] * b1[n + k * 4 | 0];",
        "      }",
        "      b2[i1 + n | 0] = s0;",
        "    }",
        "  }",
        "};",
      ].join("\n"),
    );
  });

  it("merges axes that indices go through in one stride", () => {
    const source = sourceOf(conv2d({ n: 2, c: 3, o: 4, h: 5, w: 6, k: 1 }));
    expect(source).toContain("hw < 30");
    expect(count(source, /for \(/g)).toBe(4);
  });

  it("turns a window's padding into bounds: nothing is tested inside", () => {
    const source = sourceOf(conv2d({ n: 2, c: 3, o: 3, h: 8, w: 8, k: 7, padding: 3, groups: 3 }));
    expect(source).toContain("Math.max(3 - h | 0, 0)");
    expect(source).toContain("Math.min(11 - h | 0, 7)");
    expect(source).not.toMatch(/\?|if \(/);
  });

  it("steps over the taps that a strided gradient does not meet", () => {
    const source = sourceOf(conv2d({ n: 1, c: 2, o: 2, h: 9, w: 9, k: 3, stride: 2, padding: 1 }, "inputGrad"));
    expect(count(source, /\+= 2\) \{/g)).toBe(2);
    expect(source).not.toMatch(/\?|if \(/);
  });

  it("tiles contractions: loads are shared by several sums", () => {
    const source = sourceOf(matmul(64, 64, 64));
    expect(count(source, /let s\d+ = 0/g)).toBe(8);
    expect(count(source, /const v\d+ = b[01]\[/g)).toBeLessThan(8);
  });

  it("gives what is left of a ragged tile a loop of its own", () => {
    expect(count(sourceOf(matmul(67, 61, 64)), /function part\d+/g)).toBeGreaterThan(1);
  });

  it("keeps what a loop does not change outside of it", () => {
    const source = sourceOf(layerNorm(2, 8));
    const store = source.slice(source.lastIndexOf("for ("));
    expect(store).not.toContain("sqrt");
    expect(source.indexOf("Math.sqrt")).toBeGreaterThan(0);
  });

  it("does not compute an expensive branch that is not taken", () => {
    const b = new Builder();
    const i = b.axis("i", 4);
    const x = b.read("float32", [i], [4]);
    b.write([i], b.pool.where(b.read("bool", [i], [4]), b.pool.exp(x), x));
    expect(sourceOf(b.kernel("branch", [i]))).toContain("? Math.exp(");
  });

  it("names loops after their axes, unless JavaScript or the printer uses the name", () => {
    const b = new Builder();
    const axes = [b.axis("for", 2), b.axis("i0", 2), b.axis("row", 2), b.axis("row", 2), b.axis("erf", 2)];
    const order = [axes[4], axes[3], axes[2], axes[1], axes[0]];
    b.write(axes, b.read("float32", order, [2, 2, 2, 2, 2]));
    const source = sourceOf(b.kernel("names", axes));
    expect([...source.matchAll(/let (\w+) = 0/g)].map(([, name]) => name)).toEqual(["x0", "x1", "row", "row_0", "x2"]);
  });

  it("is the same for equal kernels", () => {
    expect(sourceOf(matmul(9, 8, 7))).toBe(sourceOf(matmul(9, 8, 7)));
  });
});

describe("the cpu backend", () => {
  it("prints chains of any length", async () => {
    const b = new Builder();
    const i = b.axis("i", 2);
    let e = b.read("float32", [i], [2]);
    for (let step = 0; step < 20_000; step++) e = b.pool.add(step % 2 ? b.pool.neg(e) : b.pool.abs(e), b.float(1));
    b.write([i], e);
    const backend = createCpuBackend();
    const [, got] = await runOn(backend, b.kernel("chain", [i]), [Float32Array.of(3, -1), new Float32Array(2)]);
    const expected = [3, -1].map((start) => {
      let x = start;
      for (let step = 0; step < 20_000; step++) x = (step % 2 ? -x : Math.abs(x)) + 1;
      return x;
    });
    expect([...got]).toEqual(expected);
  });

  it("rounds float32 only when it stores: sums stay exact", async () => {
    const b = new Builder();
    const r = b.axis("r", 3);
    b.write([], b.reduce([r], "add", b.read("float32", [r], [3])));
    const [, got] = await runOn(createCpuBackend(), b.kernel("sum", []), [Float32Array.of(2 ** 24, 1, 1), new Float32Array(1)]);
    expect(got[0]).toBe(2 ** 24 + 2);
  });

  it("holds no more than it is allowed to", () => {
    const backend = createCpuBackend({ maxBytes: 100 });
    const buffer = backend.allocate("float64", 12);
    expect(() => backend.allocate("float32", 2)).toThrow("cpu: no room for 8 bytes: 96 of 100 are in use");
    backend.free(buffer);
    backend.allocate("float32", 25);
  });

  it("names what is wrong with a launch", async () => {
    const backend = createCpuBackend();
    const executable = await backend.compile(matmul(2, 2, 2));
    const buffers = [4, 3, 4].map((length) => backend.allocate("float32", length));
    backend.run([{ executable, buffers }]);
    await expect(backend.download(buffers[2], 4)).rejects.toThrow(
      /matmul_nn_2x2x2 failed: .*buffer 1 is float32\[3\], must be float32\[4\]/,
    );
  });

  it("agrees with the interpreter on random kernels, tiled and clamped", { timeout: 120_000 }, async () => {
    const backend = createCpuBackend({ tileFrom: 1 });
    const kernels = fc.asyncProperty(fc.nat(), fc.constantFrom(3, 4, 6), async (seed, largest) => {
      // Constants are folded to float32: the only difference.
      await checkRandomKernel(backend, seed, largest, { allowed: { relative: 1e-6, absolute: 1e-9 } });
    });
    await fc.assert(kernels, { numRuns: 150 });
  });
});
