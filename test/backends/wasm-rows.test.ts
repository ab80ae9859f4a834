import { describe, expect, it } from "vitest";
import { randomArray } from "../../backends/conformance-kit.js";
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

describe("long sums", () => {
  const dot: Program = ([x, y]) => x.mul(y).sum();
  const cases: readonly [string, number[][], Program, number][] = [
    [
      "of products",
      [
        [64, 3136],
        [64, 3136],
      ],
      dot,
      4e-10,
    ],
    ["of one row", [[200_001]], ([x]) => x.sum(), 4e-10],
    ["over the first dim", [[4000, 9]], ([x]) => x.sum({ dim: 0 }), 4e-9],
    ["of rows", [[5, 4003]], ([x]) => x.sum({ dim: 1 }), 4e-9],
    ["of many short rows, together", [[300, 50, 7]], ([x]) => x.sum({ dim: [0, 2] }), 1e-8],
  ];
  for (const [what, shapes, program, allowed] of cases) {
    it(`${what} lose nothing by their length`, async () => {
      const wasm = await device("wasm");
      const cpu = await device("cpu");
      const data = shapes.map((shape, seed) => ({
        shape,
        values: randomArray(
          "float32",
          shape.reduce((a, b) => a * b),
          7 + seed,
        ),
      }));
      const on = (device: Device, dtype: "float32" | "float64", size = false): Promise<ArrayLike<number>> =>
        program(
          data.map(({ shape, values }) => {
            const x = tensor(Float64Array.from(values), { shape, device, dtype });
            return size ? x.abs() : x;
          }),
        ).data();
      const [got, want, sizes] = await Promise.all([on(wasm, "float32"), on(cpu, "float64"), on(cpu, "float64", true)]);
      // Beyond the rounding of the result: relative to the sum of absolute values.
      for (let i = 0; i < want.length; i++)
        expect(Math.abs(got[i] - want[i]) - 2 ** -24 * Math.abs(want[i])).toBeLessThan(allowed * sizes[i]);
      await Promise.all([cpu.close(), wasm.close()]);
    });
  }
});
