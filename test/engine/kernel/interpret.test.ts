import { describe, expect, test } from "vitest";
import { hostArray, type TypedArray } from "../../../engine/dtype.js";
import { interpretKernel } from "../../../engine/kernel/interpret.js";
import type { Kernel } from "../../../engine/kernel/ir.js";
import { ExprPool } from "../../../engine/kernel/simplify.js";
import { verifyKernel } from "../../../engine/kernel/verify.js";
import { concat, lines, matmul, paddedConv, read, softmax, stage, store, write } from "./kernels.js";

/** Runs a verified kernel on inputs, given in the order of its read buffers; returns the others. */
function run(kernel: Kernel, ...inputs: readonly (readonly number[])[]): number[][] {
  verifyKernel(kernel);
  const given = [...inputs];
  const outputs: TypedArray[] = [];
  const buffers = kernel.buffers.map(({ dtype, length, access }) => {
    const buffer = hostArray(dtype, length);
    if (access !== "write") buffer.set(given.shift() ?? []);
    if (access !== "read") outputs.push(buffer);
    return buffer;
  });
  interpretKernel(kernel, buffers);
  return outputs.map((output) => [...output]);
}

const sequence = (length: number): number[] => Array.from({ length }, (_, i) => ((i * 37) % 19) - 9);
const close = (actual: readonly number[], expected: readonly number[]): void => {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i], 4);
};

describe("loop kernels", () => {
  test("matmul", () => {
    const [a, b] = [sequence(15), sequence(20)];
    const expected = Array.from({ length: 12 }, (_, at) => {
      const [m, n] = [Math.floor(at / 4), at % 4];
      return [0, 1, 2, 3, 4].reduce((sum, k) => sum + a[m * 5 + k] * b[n * 5 + k], 0);
    });
    expect(run(matmul(), a, b)).toEqual([expected]);
  });

  test("a padded, strided convolution", () => {
    const [height, width] = [4, 5];
    const [image, window] = [sequence(20), sequence(9)];
    const pixel = (y: number, x: number): number => (y < 0 || y >= height || x < 0 || x >= width ? 0 : image[y * width + x]);
    const expected: number[] = [];
    for (let y = 0; y < 2; y++) {
      for (let x = 0; x < 3; x++) {
        let sum = 0;
        for (let d = 0; d < 9; d++) sum += pixel(2 * y + Math.floor(d / 3) - 1, 2 * x + (d % 3) - 1) * window[d];
        expected.push(sum);
      }
    }
    expect(run(paddedConv(height, width), image, window)).toEqual([expected]);
  });

  test("softmax of rows", () => {
    const x = sequence(15);
    const [out] = run(softmax(), x);
    const expected = [0, 1, 2].flatMap((row) => {
      const exponentials = x.slice(row * 5, row * 5 + 5).map((value) => Math.exp(value));
      return exponentials.map((e) => e / exponentials.reduce((a, b) => a + b));
    });
    close(out, expected);
  });

  test("two stores side by side", () => {
    expect(run(concat(2, 2, 3), [1, 2, 3, 4], [5, 6, 7, 8, 9, 10])).toEqual([[1, 2, 5, 6, 7, 3, 4, 8, 9, 10]]);
  });

  test("empty reductions, NaN in a maximum, wrapping sums, and sums better than float32", () => {
    const pool = new ExprPool();
    const none = pool.newAxis("none", 0);
    const four = pool.newAxis("i", 4);
    const x = pool.load(0, pool.axis(four), "float32");
    const large = pool.load(1, pool.axis(four), "int32");
    const kernel: Kernel = {
      kind: "loops",
      name: "sums",
      buffers: [read(4), read(4, "int32"), write(3), write(2, "int32")],
      axes: [],
      stages: [
        stage([four, none], x, "max"),
        stage([four], x, "max"),
        stage([four], large),
        stage([none, four], large, "min"),
        stage([four], x, "add"),
      ],
      stores: [
        store(2, pool.int(0), pool.acc(0, "float32")),
        store(2, pool.int(1), pool.acc(1, "float32")),
        store(3, pool.int(0), pool.acc(2, "int32")),
        store(3, pool.int(1), pool.acc(3, "int32")),
        store(2, pool.int(2), pool.acc(4, "float32")),
      ],
    };
    expect(run(kernel, [1, Number.NaN, 3, 2], [2 ** 31 - 1, 1, 0, 0])).toEqual([
      [-Infinity, Number.NaN, Number.NaN],
      [-(2 ** 31), 2 ** 31 - 1],
    ]);
    expect(run(kernel, [2 ** 24, 1, 1, -(2 ** 24)], [0, 0, 0, 0])[0][2]).toBe(2);
  });

  test("guarded stores and conditions leave the rest alone", () => {
    const pool = new ExprPool();
    const i = pool.newAxis("i", 4);
    const at = pool.axis(i);
    const even = pool.eq(pool.mod(at, pool.int(2)), pool.int(0));
    const kernel: Kernel = {
      kind: "loops",
      name: "even",
      buffers: [read(4, "int32"), { dtype: "int32", length: 4, access: "readwrite" }],
      axes: [i],
      stages: [],
      stores: [store(1, at, pool.add(pool.load(1, at, "int32"), pool.load(0, at, "int32")), { guard: even })],
    };
    expect(run(kernel, [1, 2, 3, 4], [10, 10, 10, 10])).toEqual([[11, 10, 13, 10]]);
  });
});

describe("line templates", () => {
  test("running sums, from either end, of floats and wrapping integers", () => {
    const scan = (reverse: boolean) => ({ name: "scan", combine: "add", reverse, length: 3 }) as const;
    expect(run(lines(scan(false), 2, [3], [3]), [1, 2, 3, 4, 5, 6])).toEqual([[1, 3, 6, 4, 9, 15]]);
    expect(run(lines(scan(true), 2, [3], [3]), [1, 2, 3, 4, 5, 6])).toEqual([[6, 5, 3, 15, 11, 6]]);
    expect(run(lines(scan(false), 1, [3], [3], "int32"), [2 ** 31 - 1, 1, 1])).toEqual([[2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1]]);
  });

  test("fft and its inverse", () => {
    const n = 6;
    const x = sequence(2 * n);
    const [spectrum] = run(lines({ name: "fft", n, sign: -1 }, 1, [n, 2], [n, 2]), x);
    // One impulse has a flat spectrum that turns with its place.
    const [impulse] = run(lines({ name: "fft", n: 4, sign: -1 }, 1, [4, 2], [4, 2]), [0, 0, 1, 0, 0, 0, 0, 0]);
    close(impulse, [1, 0, 0, -1, -1, 0, 0, 1]);
    const [back] = run(lines({ name: "fft", n, sign: 1 }, 1, [n, 2], [n, 2]), spectrum);
    close(
      back.map((value) => value / n),
      x,
    );
  });

  test("rfft is half of fft, and irfft undoes it", () => {
    for (const n of [1, 2, 5, 8]) {
      const half = Math.floor(n / 2) + 1;
      const x = sequence(n);
      const [spectrum] = run(lines({ name: "rfft", n }, 1, [n], [half, 2]), x);
      const complex = x.flatMap((value) => [value, 0]);
      const [full] = run(lines({ name: "fft", n, sign: -1 }, 1, [n, 2], [n, 2]), complex);
      close(spectrum, full.slice(0, 2 * half));
      // The imaginary parts of what must be real are ignored.
      spectrum[1] = 7;
      if (n % 2 === 0) spectrum[2 * half - 1] = 7;
      const [back] = run(lines({ name: "irfft", n }, 1, [half, 2], [n]), spectrum);
      close(
        back.map((value) => value / n),
        x,
      );
    }
  });
});
