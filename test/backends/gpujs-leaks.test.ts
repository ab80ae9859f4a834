/** Memory of the gpujs backend over long trainings, and the kernels that it keeps. */
import { GPU } from "gpu.js";
import { afterAll, describe, expect, it } from "vitest";
import { GpujsBackend } from "../../backends/gpujs/backend.js";
import { modes } from "../../backends/gpujs/modes.js";
import { type TrainingStep, training } from "../../conformance/training.js";
import { Device, device, setDefaultDevice, tensor } from "../../index.js";
import { HorNet } from "../../models/index.js";

afterAll(async () => setDefaultDevice(await device("cpu")));

const modeOf = (name: string) => modes.find((mode) => mode.name === name) as (typeof modes)[number];
const listedBy = (gpu: GPU): number => (gpu as unknown as { readonly kernels: readonly unknown[] }).kernels.length;
const block = { order: 2, s: 1 / 3, dwconv: "7x7" } as const;
const build = (): HorNet =>
  new HorNet({ inChans: 1, numClasses: 10, depths: [1, 0, 0, 0], baseDim: 8, gnconv: [block, block, block, block] });

describe("two hundred steps of training on gpujs:webasm", () => {
  for (const plain of [false, true]) {
    it(`${plain ? "built anew each time" : "compiled"} hold as many bytes, buffers and kernels as the first few`, async () => {
      const gpu = new GPU({ mode: "webasm" as "cpu" });
      const backend = new GpujsBackend(modeOf("webasm"), gpu);
      const on = new Device("gpujs:webasm", backend);
      const held: (TrainingStep & { readonly buffers: number; readonly kernels: number })[] = [];
      await training(on, { steps: 200, warmupSteps: 10, batchSize: 1, plain, build }, (step) =>
        held.push({ ...step, buffers: backend.buffers, kernels: listedBy(gpu) }),
      );
      expect(held[199].loss).toBeLessThan(held[0].loss - 0.3);
      expect(held[5].kernels).toBeGreaterThan(20);
      const figures = ({ buffers, kernels, misses }: (typeof held)[number]) => ({ buffers, kernels, misses });
      for (const step of held.slice(5)) expect(figures(step)).toEqual(figures(held[5]));
      for (const step of held.slice(5)) expect(step.liveBytes + step.pooledBytes).toBe(held[5].liveBytes + held[5].pooledBytes);
      await on.close();
    });
  }
});

describe("the kernels kept", () => {
  it("are at most so many: the oldest are forgotten, also by gpu.js, and compiled anew when they are wanted", async () => {
    const gpu = new GPU({ mode: "cpu" });
    const on = new Device("gpujs:cpu", new GpujsBackend(modeOf("cpu"), gpu, { maxKernels: 4 }));
    const sums: number[] = [];
    for (const round of [0, 1]) {
      for (let size = 2; size < 12; size++) {
        const x = tensor(
          Array.from({ length: size }, (_, i) => i + round),
          { device: on },
        );
        sums.push(await x.mul(x).sum().item());
      }
    }
    expect(listedBy(gpu)).toBeLessThanOrEqual(4);
    expect(sums.slice(0, 3)).toEqual([1, 5, 14]);
    expect(sums.slice(10, 13)).toEqual([5, 14, 30]);
    await on.close();
  });
});
