/** Training on WebGPU: the same losses as on cpu, and a plain loop that neither grows nor schedules again. */
import { expect, it } from "vitest";
import { training } from "../../conformance/training.js";
import { device } from "../../index.js";
import { HorNet } from "../../models/index.js";

it("gives the losses of cpu on the micro HorNet: 20 steps of 16 images, with warm-up", { timeout: 400_000 }, async () => {
  const [webgpu, cpu] = [await device("webgpu"), await device("cpu")];
  const options = { steps: 20, warmupSteps: 5 };
  const got = await training(webgpu, options);
  const want = await training(cpu, options);
  got.forEach(({ loss }, i) => {
    expect(Math.abs(loss - want[i].loss), `step ${i}: ${loss}, on cpu ${want[i].loss}`).toBeLessThan(1e-3);
  });
  // It does learn meanwhile.
  expect(want[19].loss).toBeLessThan(want[0].loss - 0.1);
  await webgpu.close();
  await cpu.close();
});

it("holds the same buffers over 60 plain steps, and finds its plan from the third on", async () => {
  const webgpu = await device("webgpu");
  const gnconv = [2, 3, 3, 3].map((order) => ({ order, s: 1 / 3, dwconv: "7x7" }) as const);
  const build = (): HorNet => new HorNet({ inChans: 1, numClasses: 10, depths: [1, 1, 1, 1], baseDim: 8, gnconv });
  const steps = await training(webgpu, { steps: 60, warmupSteps: 5, batchSize: 2, plain: true, build });
  const [early, late] = [steps[9], steps[59]];
  expect([late.liveBytes, late.pooledBytes]).toEqual([early.liveBytes, early.pooledBytes]);
  expect(late.misses).toBe(steps[2].misses);
  await webgpu.close();
});
