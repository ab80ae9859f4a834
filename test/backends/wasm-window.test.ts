import { describe, expect, it } from "vitest";
import { type ConvOptions, conv2d, type Device, device, rand, type Tensor, tensor } from "../../index.js";

type Options = Pick<ConvOptions, "stride" | "padding" | "dilation" | "groups">;

/** The result and the gradients of a convolution of the same numbers on a device. */
async function run(on: Device, data: readonly (readonly [number[], ArrayLike<number>])[], options: Options): Promise<ArrayLike<number>[]> {
  const [x, w, b] = data.map(([shape, values]) => tensor(Float32Array.from(values), { shape, device: on }).requiresGrad_());
  const y = conv2d(x, w, { ...options, bias: b });
  y.mul(y).sum().backward();
  return Promise.all([y, x.grad as Tensor, w.grad as Tensor].map((t) => t.data()));
}

const worstOf = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);

describe("windows as matrices", () => {
  const cases: readonly [string, number[], number[], Options][] = [
    ["3 × 3", [2, 16, 18, 16], [32, 16, 3, 3], { padding: 1 }],
    ["of rows that no panel fits", [2, 16, 19, 14], [32, 16, 3, 3], { padding: 1 }],
    ["that overlap the edge on one side only, dilated", [2, 16, 20, 19], [32, 16, 3, 3], { padding: [0, 2], dilation: [2, 1] }],
    ["beside one another", [2, 6, 64, 64], [48, 6, 4, 4], { stride: 4 }],
    ["in groups", [2, 32, 20, 16], [64, 16, 3, 3], { padding: 1, groups: 2 }],
    ["with a stride", [2, 16, 40, 30], [32, 16, 3, 3], { padding: 1, stride: 2 }],
  ];
  for (const [what, x, w, options] of cases) {
    it(`are right ${what}`, async () => {
      const [cpu, wasm] = [await device("cpu"), await device("wasm")];
      const data = await Promise.all(
        [x, w, [w[0]]].map(async (shape) => [shape, await rand(shape, { device: cpu }).sub(0.5).data()] as const),
      );
      const [want, got] = [await run(cpu, data, options), await run(wasm, data, options)];
      // Sums of up to some thousand terms of size 1/10 and more: rounding errors of their size times 2^-24, a few times over.
      want.forEach((values, i) => {
        const size = Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 1);
        expect(worstOf(got[i], values)).toBeLessThan(4e-6 * size);
      });
      await Promise.all([cpu.close(), wasm.close()]);
    });
  }
});
