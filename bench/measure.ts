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

/** Measures an asynchronous function for about `seconds` after it has run `warmup` times. */
export async function measure(name: string, fn: () => Promise<unknown>, { seconds = 4, warmup = 5 } = {}): Promise<Measured> {
  for (let i = 0; i < warmup; i++) await fn();
  const bench = new Benchmark(
    name,
    (deferred: { resolve: () => void }) => {
      fn().then(
        () => deferred.resolve(),
        (error: unknown) => {
          console.error(error);
          process.exit(1);
        },
      );
    },
    { defer: true, maxTime: seconds, minSamples: 5 },
  );
  await new Promise<void>((resolve) => {
    bench.on("complete", () => resolve());
    bench.run({ async: true });
  });
  const sorted = [...bench.stats.sample].sort((a, b) => a - b);
  return { name, milliseconds: sorted[sorted.length >> 1] * 1000, samples: sorted.length, margin: bench.stats.rme };
}
