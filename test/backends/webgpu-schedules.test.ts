/** Every schedule of a kernel for one kind of adapter adds in the same order: the results are equal bit by bit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sourceText } from "../../backends/backend.js";
import { amax, conv2d, type Device, device, grad, layerNorm2d, matmul, softmax, sum, type Tensor, tensor } from "../../index.js";

const values = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(12.9898 * i + seed) + 0.1);

type Make = (seed: number, ...shape: number[]) => Tensor;

const works: readonly (readonly [name: string, run: (make: Make) => readonly Tensor[]])[] = [
  ["matmul with odd edges", (make) => [matmul(make(1, 37, 70), make(2, 70, 45))]],
  [
    "matmul whose neighbours share rows",
    (make) => [matmul(make(1, 48, 64), make(2, 64, 32)), matmul(make(1, 2, 16, 600), make(2, 2, 600, 64))],
  ],
  ["softmax", (make) => [softmax(make(1, 32, 784), { dim: 1 })]],
  ["matmul with a long sum", (make) => [matmul(make(1, 24, 900), make(2, 900, 40))]],
  ["conv2d", (make) => [conv2d(make(1, 2, 6, 14, 13), make(2, 10, 6, 3, 3), { padding: 1 })]],
  [
    "depthwise 7 × 7 and its gradients",
    (make) => {
      const loss = (x: Tensor, w: Tensor): Tensor => sum(conv2d(x, w, { padding: 3, groups: 8 }).mul(make(3, 1, 8, 14, 14)));
      const [x, w] = [make(1, 1, 8, 14, 14), make(2, 8, 1, 7, 7)];
      return [grad(loss)(x, w), grad(loss, { argnums: 1 })(x, w)] as readonly Tensor[];
    },
  ],
  [
    "strided conv2d's gradient",
    (make) => [grad((x: Tensor) => sum(conv2d(x, make(2, 8, 3, 4, 4), { stride: 4 })))(make(1, 2, 3, 16, 16)) as Tensor],
  ],
  ["norm over channels", (make) => [layerNorm2d(make(1, 2, 24, 9, 9))]],
  ["a maximum", (make) => [amax(make(1, 40, 300), { dim: 1 })]],
];

async function results(on: Device, run: (make: Make) => readonly Tensor[]): Promise<readonly unknown[]> {
  const make: Make = (seed, ...shape) =>
    tensor(
      values(
        shape.reduce((a, b) => a * b),
        seed,
      ),
      { shape, device: on },
    );
  return Promise.all(run(make).map((result) => result.data()));
}

/** The best by estimate, and some further down. */
const numbers = [0, 3, 30];

describe.each(["software", "hardware"] as const)("schedules of webgpu for %s", (kernels) => {
  const devices: Device[] = [];
  const shaders: string[][] = numbers.map(() => []);
  beforeAll(async () => {
    for (const [i, schedule] of numbers.entries()) {
      devices[i] = await device("webgpu", { kernels, schedule });
      const { backend } = devices[i];
      const compile = backend.compile.bind(backend);
      backend.compile = async (kernel) => {
        const executable = await compile(kernel);
        shaders[i].push(await sourceText(executable));
        return executable;
      };
    }
  });
  afterAll(async () => {
    for (const each of devices) await each.close();
  });

  it.each(works)("differ in nothing but time: %s", async (_, run) => {
    const want = await results(devices[0], run);
    for (const [i, on] of devices.entries()) expect(await results(on, run), `schedule ${numbers[i]}`).toEqual(want);
  });

  it("differ in nothing but time without subgroups, too", async () => {
    const without = await device("webgpu", { kernels, subgroups: false });
    try {
      for (const [, run] of works) expect(await results(without, run)).toEqual(await results(devices[0], run));
    } finally {
      await without.close();
    }
    const source = shaders.flat().join();
    // The software adapter has subgroups, and its loads are dear.
    expect(source.includes("subgroupBroadcast")).toBe(kernels === "software");
  });

  it("are other shaders", () => {
    expect(new Set(shaders.map((each) => each.join())).size).toBe(numbers.length);
  });
});
