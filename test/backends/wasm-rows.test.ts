import { describe, expect, it } from "vitest";
import { conv2d, type Device, device, rand, softmax, sum, type Tensor, tensor } from "../../index.js";

type Program = (inputs: Tensor[]) => Tensor;

/** A program's result and the gradients of its square's sum, on a device. */
async function run(on: Device, program: Program, data: readonly (readonly [number[], ArrayLike<number>])[]): Promise<ArrayLike<number>[]> {
  const inputs = data.map(([shape, values]) => tensor(Float32Array.from(values), { shape, device: on }).requiresGrad_());
  const y = program(inputs);
  y.mul(y).sum().backward();
  return Promise.all([y, ...inputs.map((input) => input.grad as Tensor)].map((t) => t.data()));
}

describe("rows and planes", () => {
  const depthwise =
    (padding: number, options: { readonly dilation?: number; readonly stride?: number } = {}): Program =>
    ([x, w]) =>
      conv2d(x, w, { padding, groups: x.shape[1], ...options });
  const cases: readonly [string, number[][], Program][] = [
    ["softmax of long rows", [[5, 333]], ([x]) => softmax(x.mul(3), { dim: -1 })],
    ["softmax of rows that just fill their vectors", [[2, 3, 128]], ([x]) => softmax(x, { dim: -1 })],
    ["sums of rows with and without a rest", [[3, 1000 + 7]], ([x]) => sum(x.exp(), { dim: 1 }).add(sum(x, { dim: 1 }))],
    [
      "depthwise 7 × 7 windows",
      [
        [2, 3, 16, 18],
        [3, 1, 7, 7],
      ],
      depthwise(3),
    ],
    [
      "depthwise 7 × 7 windows on an odd map",
      [
        [3, 5, 14, 13],
        [5, 1, 7, 7],
      ],
      depthwise(3),
    ],
    [
      "depthwise 5 × 3 windows",
      [
        [1, 2, 40, 37],
        [2, 1, 5, 3],
      ],
      depthwise(2),
    ],
    [
      "dilated depthwise windows",
      [
        [2, 2, 28, 28],
        [2, 1, 5, 5],
      ],
      depthwise(4, { dilation: 2 }),
    ],
    [
      "depthwise windows with a stride",
      [
        [2, 2, 40, 40],
        [2, 1, 7, 7],
      ],
      depthwise(3, { stride: 2 }),
    ],
  ];
  for (const [what, shapes, program] of cases) {
    it(`${what} and their gradients are cpu's`, async () => {
      const [cpu, wasm] = [await device("cpu"), await device("wasm")];
      const data = await Promise.all(shapes.map(async (shape) => [shape, await rand(shape, { device: cpu }).sub(0.5).data()] as const));
      const [want, got] = [await run(cpu, program, data), await run(wasm, program, data)];
      want.forEach((values, i) => {
        const list = Array.from(values);
        const size = list.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const worst = list.reduce((most, value, k) => Math.max(most, Math.abs(value - got[i][k])), 0);
        // Some roundings of sums, relative to the largest result.
        expect(worst).toBeLessThan(4e-6 * size);
      });
      await Promise.all([cpu.close(), wasm.close()]);
    });
  }
});
