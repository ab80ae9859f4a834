import { describe, expect, it } from "vitest";
import { conv2d, type Device, device, explain, matmul, rand, type Tensor, tensor } from "../../index.js";

/** Sums of products in register tiles, whose innermost loops take several rounds at a time. */
const cases: readonly [string, readonly number[], readonly number[], (x: Tensor, y: Tensor) => Tensor, boolean][] = [
  ["elements of rows and panels", [64, 272], [272, 64], (x, y) => matmul(x, y), true],
  ["rows with rows", [72, 256], [64, 256], (x, y) => matmul(x, y.transpose(0, 1)), true],
  ["terms that are no multiple of the turns", [72, 258], [258, 64], (x, y) => matmul(x, y), false],
  ["a 1 × 1 convolution", [1, 96, 14, 14], [67, 96, 1, 1], (x, y) => conv2d(x, y), true],
  ["whole rows of a window", [1, 48, 28, 28], [48, 1, 7, 7], (x, y) => conv2d(x, y, { padding: 3, groups: 48 }), true],
];

/** Ways out of loops in the middle, which nothing else has. */
async function waysOut(t: Tensor): Promise<number> {
  const texts = await Promise.all((await explain(t)).kernels.map((kernel) => kernel.source()));
  return texts.join("").match(/br_if \$B/g)?.length ?? 0;
}

describe("rounds of register tiles in turns", () => {
  for (const [what, shape, other, compute, inTurns] of cases) {
    it(`are right and alike with any threads: ${what}`, async () => {
      const [cpu, ...wasm] = [await device("cpu"), await device("wasm", { threads: 1 }), await device("wasm", { threads: 3 })];
      const data = await Promise.all([shape, other].map((s) => rand(s, { device: cpu }).sub(0.5).data()));
      const on = async (target: Device): Promise<Tensor> => {
        const [x, y] = data.map((values, i) => tensor(Float32Array.from(values), { shape: [shape, other][i], device: target }));
        return compute(x, y);
      };
      const want = await (await on(cpu)).data();
      const found = await on(wasm[0]);
      expect((await waysOut(found)) > 0).toBe(inTurns);
      const [alone, shared] = [await found.data(), await (await on(wasm[1])).data()];
      expect(Math.max(...alone.map((value, i) => Math.abs(value - want[i])))).toBeLessThan(2e-6 * 16);
      expect(shared).toEqual(alone);
      await Promise.all([cpu, ...wasm].map((each) => each.close()));
    });
  }
});
