/** One way to measure: `benchmark` runs the function often enough, and the median is what is reported. */
import Benchmark from "benchmark";

export interface Measured {
  readonly name: string;
  /** Median of the samples, in milliseconds. */
  readonly milliseconds: number;
  readonly samples: number;
  /** Relative margin of error of the mean, in percent. */
  readonly margin: number;
}

interface Sampling {
  /** Samples are taken for about so long. */
  readonly seconds: number;
  /** Samples at the least. */
  readonly least: number;
  /** Seconds that one sample takes at the least: short functions are run several times. Default: 0.05. */
  readonly sample?: number;
}

function run(fn: () => Promise<unknown>, { seconds, least, sample = 0 }: Sampling): Promise<Benchmark> {
  return new Promise((resolve, reject) => {
    const bench = new Benchmark(
      (deferred: { resolve: () => void }) => {
        fn().then(() => deferred.resolve(), reject);
      },
      { defer: true, maxTime: seconds, minSamples: least, minTime: sample, delay: 0 },
    );
    bench.on("complete", () => resolve(bench));
    bench.run({ async: true });
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds a run, one value a sample. Rejects with what the function rejects with. */
export async function sampleTimes(fn: () => Promise<unknown>, { seconds, least }: Sampling): Promise<number[]> {
  const { stats } = await run(fn, { seconds, least, sample: 0.02 });
  return (stats.sample as number[]).map((time) => time * 1000);
}

/** Measures an asynchronous function for about `seconds` after it has run `warmup` times. */
export async function measure(name: string, fn: () => Promise<unknown>, { seconds = 4, warmup = 5 } = {}): Promise<Measured> {
  for (let i = 0; i < warmup; i++) await fn();
  const { stats } = await run(fn, { seconds, least: 5 });
  const samples = stats.sample as number[];
  return { name, milliseconds: median(samples) * 1000, samples: samples.length, margin: stats.rme };
}
