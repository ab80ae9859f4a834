/** Steps of UPerNet: the same on every device, and without end. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device, fromHost, manualSeed, memory, setDefaultDevice } from "../../../index.js";
import { segmentor, smallSegmentor } from "../../../models/index.js";
import type { HostScenes, SceneBatch } from "../../../train/data/index.js";
import { AdamW, ModelEma, segmentationStep } from "../../../train/index.js";
import { blocks } from "../../models/detection/scenes.js";

const side = 32;
const count = 4;
const tiny = { ...smallSegmentor, numClasses: 3, channels: 8, auxChannels: 8, dropoutRatio: 0.1, head: "horfpn_7x7" } as const;

/** Made-up pictures: the ground is class 0, two kinds of blocks are 1 and 2, and of the first row nobody knows. */
function batchOf(seed: number, on: Device): SceneBatch {
  const { images, truths } = blocks(count, side, seed);
  const classes = new Int32Array(count * side * side);
  truths.forEach(({ masks, labels }, n) => {
    masks.forEach((mask, k) => {
      mask.forEach((inside, at) => {
        if (inside === 1) classes[n * side * side + at] = labels[k] + 1;
      });
    });
    classes.fill(255, n * side * side, n * side * side + side);
  });
  return {
    images: fromHost(images, [count, 3, side, side], "float32", on),
    semantic: fromHost(classes, [count, side, side], "int32", on),
    host: { count, height: side, width: side } as HostScenes,
    size: count,
  };
}

async function learner(on: Device, compiled = true) {
  setDefaultDevice(on);
  manualSeed(3);
  const model = segmentor(tiny);
  const optimizer = new AdamW(model.parameters(), { lr: 2e-3, weightDecay: 0.05 });
  const ema = await ModelEma.of(model, { decay: 0.9 });
  return segmentationStep(model, optimizer, { clipGrad: 5, guard: true, ema, compiled });
}

describe("a step of UPerNet", () => {
  let devices: Record<string, Device>;
  beforeAll(async () => {
    devices = { cpu: await device("cpu"), wasm: await device("wasm", { threads: 1 }), webgpu: await device("webgpu:software") };
  });
  afterAll(async () => {
    setDefaultDevice(devices.cpu);
    for (const each of Object.values(devices)) await each.close();
  });

  it("has the same losses on every device, and in the next step too", async () => {
    const found: Record<string, number[][]> = {};
    for (const [name, on] of Object.entries(devices)) {
      const step = await learner(on);
      found[name] = [];
      for (const seed of [11, 12]) {
        const { loss, measures, gradNorm } = await step([batchOf(seed, on)]);
        found[name].push([loss, measures.decode, measures.aux, gradNorm]);
      }
    }
    const [first] = found.cpu;
    expect(first[1] + first[2]).toBeCloseTo(first[0], 5);
    for (const name of ["wasm", "webgpu"])
      found[name].forEach((losses, at) => {
        losses.forEach((value, i) => {
          expect(Math.abs(value - found.cpu[at][i]), `${name}, step ${at}, term ${i}`).toBeLessThan(1e-3);
        });
      });
  });

  it("neither grows nor is planned anew in 200 steps, and learns", async () => {
    const { wasm } = devices;
    const step = await learner(wasm);
    const losses: number[] = [];
    const take = async (steps: number): Promise<void> => {
      for (let i = 0; i < steps; i++) losses.push((await step([batchOf(100 + (losses.length % 20), wasm)])).loss);
    };
    await take(10);
    const [bytes, plans] = [memory(wasm).peakBytes, wasm.planCache().misses];
    await take(200);
    expect([memory(wasm).peakBytes, wasm.planCache().misses]).toEqual([bytes, plans]);
    const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b) / list.length;
    expect(mean(losses.slice(-20))).toBeLessThan(0.5 * mean(losses.slice(0, 10)));
  });
});
