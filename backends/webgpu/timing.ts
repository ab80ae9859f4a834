/** How long each launch of a run took: by the device's own clock where it has one, else by the arrival of each launch's end. */
import { usage } from "./adapter.js";
import type { Staging } from "./staging.js";

/** Encodes one launch into a pass. */
export type Encode = (pass: GPUComputePassEncoder) => void;

/** A query set holds no more by the specification. */
const maxQueries = 4096;

export interface Time {
  readonly milliseconds: number;
  /** Milliseconds after the first launch's beginning. */
  readonly start: number;
}

/** Times of each launch. Everything is submitted at once; the promise is for the times. */
export async function runTimed(device: GPUDevice, staging: Staging, launches: readonly Encode[]): Promise<Time[]> {
  const times = await (device.features.has("timestamp-query") ? byTimestamps(device, staging, launches) : byArrival(device, launches));
  return times.map(([begin, end]) => ({ milliseconds: Math.max(0, end - begin), start: begin - times[0][0] }));
}

/** When a launch began and ended, in milliseconds of some clock. */
type Span = readonly [begin: number, end: number];

async function byTimestamps(device: GPUDevice, staging: Staging, launches: readonly Encode[]): Promise<Span[]> {
  const parts: Promise<Span[]>[] = [];
  for (let from = 0; from < launches.length; from += maxQueries / 2) {
    parts.push(timestamps(device, staging, launches.slice(from, from + maxQueries / 2)));
  }
  return (await Promise.all(parts)).flat();
}

async function timestamps(device: GPUDevice, staging: Staging, launches: readonly Encode[]): Promise<Span[]> {
  const count = 2 * launches.length;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const results = device.createBuffer({ size: 8 * count, usage: usage.queryResolve | usage.copySource });
  const encoder = device.createCommandEncoder();
  launches.forEach((encode, i) => {
    // Timestamps belong to passes.
    const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
    const pass = encoder.beginComputePass({ timestampWrites });
    encode(pass);
    pass.end();
  });
  encoder.resolveQuerySet(querySet, 0, count, results, 0);
  device.queue.submit([encoder.finish()]);
  try {
    const nanoseconds = new BigUint64Array(await staging.read(results, 8 * count));
    const milliseconds = (at: bigint): number => Number(at) / 1e6;
    return launches.map((_, i) => [milliseconds(nanoseconds[2 * i]), milliseconds(nanoseconds[2 * i + 1])]);
  } finally {
    querySet.destroy();
    results.destroy();
  }
}

async function byArrival(device: GPUDevice, launches: readonly Encode[]): Promise<Span[]> {
  let before: Promise<number> = device.queue.onSubmittedWorkDone().then(() => performance.now());
  const times = launches.map((encode) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const end = device.queue.onSubmittedWorkDone().then(() => performance.now());
    const time = Promise.all([before, end]);
    before = end;
    return time;
  });
  return Promise.all(times);
}
