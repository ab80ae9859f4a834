/**
 * The side of a contestant: a process of its own that answers one JSON message a line. It says what it is, then loads tasks and
 * measures them when asked, so that the runner can take contestants in turn.
 */
import { createInterface } from "node:readline";
import type { TypedArray } from "../index.js";
import { probeOf, type Sums, sumsOf } from "./inputs.js";
import { sampleTimes } from "./measure.js";
import type { Task } from "./workloads.js";

/** A task made ready. */
export interface Loaded {
  /** Does the work once, and waits until it is done. */
  run(): Promise<unknown>;
  /** What the work gives, as a rule by running once: outputs of a forward pass, gradients to the inputs, parameters after a step. */
  outputs(): Promise<readonly TypedArray[]>;
  /** A training step in place of `outputs`: runs it and gives the loss. */
  readonly loss?: () => Promise<number>;
  /** What one run launches, where that can be told. */
  readonly work?: () => Promise<Work>;
  dispose(): void;
}

/** Launches of kernels, and what they compute and move by their own account. */
export interface Work {
  readonly launches: number;
  readonly flops: number;
  readonly bytes: number;
}

export interface Contestant {
  /** One line: version, threads, adapter. */
  describe(): string;
  load(task: Task): Promise<Loaded> | Loaded;
}

export type Request =
  | { readonly op: "load"; readonly task: Task }
  | { readonly op: "measure"; readonly seconds: number; readonly least: number }
  | { readonly op: "unload" };

/** What a result is compared by: sums of each output, or the first losses. */
export interface Result {
  readonly sums: readonly Sums[];
  readonly losses: readonly number[];
  /** Some elements of each output. */
  readonly probes?: readonly (readonly number[])[];
}

export interface LoadReply extends Result {
  /** From the request to the first result, compilation included, and one more run after it. */
  readonly firstMs: number;
  readonly warmMs: number;
  readonly work: Work | null;
}

/** Marks replies among whatever else a library prints. */
export const marker = "@bench ";
/** Past this many milliseconds, fewer losses will do. */
const slow = 3000;

export async function loadAndCheck(contestant: Contestant, task: Task): Promise<{ readonly loaded: Loaded; readonly reply: LoadReply }> {
  const start = performance.now();
  const loaded = await contestant.load(task);
  const losses: number[] = [];
  let sums: Sums[] = [];
  let probes: number[][] = [];
  if (loaded.loss === undefined) {
    const outputs = await loaded.outputs();
    sums = outputs.map(sumsOf);
    probes = outputs.map(probeOf);
  } else losses.push(await loaded.loss());
  const firstMs = performance.now() - start;
  let warmMs = 0;
  while (losses.length < (firstMs > slow ? 2 : 4)) {
    const began = performance.now();
    if (loaded.loss === undefined) {
      await loaded.run();
      warmMs = performance.now() - began;
      break;
    }
    losses.push(await loaded.loss());
    warmMs = performance.now() - began;
  }
  const work = (await loaded.work?.()) ?? null;
  return { loaded, reply: { sums, losses, probes, firstMs, warmMs, work } };
}

/** Serves until the input ends. */
export async function serve(open: () => Promise<Contestant>): Promise<void> {
  const reply = (message: object): void => {
    process.stdout.write(`${marker}${JSON.stringify(message)}\n`);
  };
  const failure = (error: unknown): void => reply({ error: error instanceof Error ? error.message : String(error) });
  let contestant: Contestant;
  try {
    contestant = await open();
    reply({ describe: contestant.describe() });
  } catch (error) {
    failure(error);
    process.exit(1);
  }
  let loaded: Loaded | null = null;
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const request = JSON.parse(line) as Request;
      if (request.op === "load") {
        const found = await loadAndCheck(contestant, request.task);
        loaded = found.loaded;
        reply(found.reply);
      } else if (request.op === "measure") {
        const current = loaded as Loaded;
        reply({ samples: await sampleTimes(() => current.run(), { seconds: request.seconds, least: request.least }) });
      } else {
        loaded?.dispose();
        loaded = null;
        reply({});
      }
    } catch (error) {
      failure(error);
    }
  }
  process.exit(0);
}
