/** Raw results: one JSON object a line, a line for each run, and one for each measurement of time. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { titleOf, type Variant } from "./variants.js";

/** What a run has come to. */
export interface RunResult extends Variant {
  readonly kind: "run";
  readonly seed: number;
  /** The flags of `crabro train`, but for folders, seed and threads: runs are compared where these are the same. */
  readonly flags: readonly string[];
  /** After each epoch: measures of the 500 pictures of val in per cent, by the names of the run's log. */
  readonly epochs: readonly Readonly<Record<string, number>>[];
  /** From beginning to end, all parts together where it was resumed. Says little where the machine had other work. */
  readonly seconds: number;
  readonly threads: number;
  /** Processes that wanted to run, over the last minute, when the run ended. */
  readonly load: number;
  readonly machine: string;
  readonly date: string;
}

/** What a step costs. All variants are measured in turn, in one process. */
export interface TimeResult extends Variant {
  readonly kind: "time";
  readonly flags: readonly string[];
  /** Milliseconds of single steps, loading included. */
  readonly milliseconds: readonly number[];
  readonly threads: number;
  /** When measuring began. */
  readonly load: number;
  readonly machine: string;
  readonly date: string;
}

export type Result = RunResult | TimeResult;

export function readResults(path: string): Result[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      return [JSON.parse(line) as Result];
    } catch (error) {
      throw new Error(`${path}, line ${i + 1}: ${(error as Error).message}`);
    }
  });
}

export const addResult = (path: string, result: Result): void => appendFileSync(path, `${JSON.stringify(result)}\n`);

const same = (a: readonly string[], b: readonly string[]): boolean => a.join(" ") === b.join(" ");

/** The runs of a variant with these flags, by seed; of several with one seed the last. */
export function runsOf(results: readonly Result[], variant: Variant, flags: readonly string[]): RunResult[] {
  const own = results.filter((result): result is RunResult => result.kind === "run" && titleOf(result) === titleOf(variant));
  const bySeed = new Map(own.filter((result) => same(result.flags, flags)).map((result) => [result.seed, result]));
  return [...bySeed.values()].sort((a, b) => a.seed - b.seed);
}

/** The last measurement of a variant's time with these flags. */
export const timeOf = (results: readonly Result[], variant: Variant, flags: readonly string[]): TimeResult | null =>
  results
    .filter((result): result is TimeResult => result.kind === "time" && titleOf(result) === titleOf(variant) && same(result.flags, flags))
    .at(-1) ?? null;

export interface Spread {
  readonly mean: number;
  /** Deviation of a sample; null for one value. */
  readonly deviation: number | null;
}

export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2) return { mean, deviation: null };
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
