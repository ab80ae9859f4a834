/** The page of `leaks.test.ts`: a long training on a device, and what WebGL holds after each step. */
import { training } from "../../conformance/training.js";
import { device } from "../../index.js";
import { HorNet } from "../../models/hornet.js";
import { countWebgl, type WebglCounts } from "./webgl-counts.js";

export interface LeakRequest {
  readonly device: string;
  readonly steps: number;
}

export interface LeakStep extends WebglCounts {
  readonly loss: number;
  readonly liveBytes: number;
  readonly misses: number;
}

async function run({ device: name, steps }: LeakRequest): Promise<LeakStep[]> {
  const counts = countWebgl();
  const on = await device(name);
  const block = { order: 2, s: 1 / 3, dwconv: "7x7" } as const;
  const build = (): HorNet =>
    new HorNet({ inChans: 1, numClasses: 10, depths: [1, 0, 0, 0], baseDim: 8, gnconv: [block, block, block, block] });
  const found: LeakStep[] = [];
  await training(on, { steps, warmupSteps: 10, batchSize: 1, build }, ({ loss, liveBytes, misses }) =>
    found.push({ loss, liveBytes, misses, ...counts() }),
  );
  await on.close();
  return found;
}

Object.assign(globalThis, { run });
