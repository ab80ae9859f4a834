/** What a worker thread does. It is sent as text, so that it runs from sources, from a build and out of a bundle alike. */

/** Where things are in a program's words; see `program.ts`. */
export const layout = {
  /** Threads that came to a barrier, all barriers together. */
  arrived: 0,
  /** Barriers that are open. */
  released: 1,
  /** Threads asleep at one. */
  sleepers: 2,
  /** Number of the launch that failed, plus one. */
  failed: 3,
  /** Threads that are through. */
  left: 4,
  /** Where the times of groups begin, in words; 0 where nobody wants them. */
  times: 5,
  /** Number of groups. */
  groups: 6,
  /** Per group and thread: tasks taken from the thread's share. The groups follow. */
  taken: 8,
} as const;

export interface WorkerStart {
  readonly memory: WebAssembly.Memory;
  readonly index: number;
  readonly count: number;
  readonly layout: typeof layout;
  /** One number: how many are up. Read where no message gets through, as the caller never rests. */
  readonly up: SharedArrayBuffer;
}

export interface WorkerJob {
  readonly program: SharedArrayBuffer;
  /** Those that a worker has not seen. */
  readonly modules: readonly { readonly id: number; readonly module: WebAssembly.Module }[];
  /** Those that it will not need again. */
  readonly forget: readonly number[];
}

/** "up": it listens; "done": all threads are through; else why it failed. */
export type WorkerReport = "up" | "done" | { readonly reason: string };

/** Refers to nothing outside of itself. */
function workerMain(
  listen: (handler: (message: WorkerStart | WorkerJob) => void) => void,
  report: (message: WorkerReport) => void,
  clock: () => number,
): void {
  type Phase = (...args: number[]) => void;
  /** Looks at a barrier before it goes to sleep: some 20 µs. */
  const looks = 1000;
  const kernels = new Map<number, { module: WebAssembly.Module; exports: WebAssembly.Exports | null }>();
  let start: WorkerStart;
  let words: Int32Array;

  function phaseOf(id: number, phase: number): Phase {
    const kernel = kernels.get(id);
    if (kernel === undefined) throw new Error(`kernel ${id} is not known`);
    if (kernel.exports === null) {
      const math = Object.assign(Object.create(Math) as Record<string, () => number>, { rem: (a: number, b: number) => a % b });
      kernel.exports = new WebAssembly.Instance(kernel.module, { env: { memory: start.memory }, math }).exports;
    }
    return kernel.exports[`phase${phase}`] as Phase;
  }

  /** An item is: launch, kernel, phase, steps, tasks, bytes of each thread's own in the last array, number of addresses, addresses. */
  function perform(item: number, task: number): void {
    const [steps, tasks, own, count] = [words[item + 3], words[item + 4], words[item + 5], words[item + 6]];
    const phase = phaseOf(words[item + 1], words[item + 2]);
    const first = Math.floor((task * steps) / tasks);
    const end = Math.floor(((task + 1) * steps) / tasks);
    const at = item + 7;
    if (own > 0) {
      const args = Array.from(words.subarray(at, at + count));
      args[count - 1] += own * start.index;
      phase(...args, first, end);
    } else if (count === 2) phase(words[at], words[at + 1], first, end);
    else if (count === 3) phase(words[at], words[at + 1], words[at + 2], first, end);
    else if (count === 4) phase(words[at], words[at + 1], words[at + 2], words[at + 3], first, end);
    else {
      const args: number[] = [];
      for (let i = 0; i < count; i++) args.push(words[at + i]);
      args.push(first, end);
      phase(...args);
    }
  }

  function fail(item: number, error: unknown): void {
    if (Atomics.compareExchange(words, start.layout.failed, 0, words[item] + 1) !== 0) return;
    report({ reason: error instanceof Error ? error.message : String(error) });
    // All barriers open.
    Atomics.store(words, start.layout.released, 2 ** 30);
    Atomics.notify(words, start.layout.released);
  }

  /** Waits until all threads have come to barrier number `round`, counted from 1. */
  function barrier(round: number): void {
    const { arrived, released, sleepers } = start.layout;
    if (Atomics.add(words, arrived, 1) + 1 === start.count * round) {
      Atomics.store(words, released, round);
      if (Atomics.load(words, sleepers) > 0) Atomics.notify(words, released);
      return;
    }
    for (let look = 0; Atomics.load(words, released) < round; look++) {
      if (look < looks) continue;
      Atomics.add(words, sleepers, 1);
      Atomics.wait(words, released, round - 1);
      Atomics.sub(words, sleepers, 1);
    }
  }

  /** A group is: tasks, items, words of all items, items. Its tasks are done in any order; a lone one does all items in order. */
  function runGroup(number: number, at: number): void {
    const { index, count } = start;
    const [tasks, items] = [words[at], words[at + 1]];
    const next = (item: number): number => item + 7 + words[item + 6];
    // One's own share first, then what the others left.
    for (let other = 0; other < count; other++) {
      const owner = (index + other) % count;
      const counter = start.layout.taken + number * count + owner;
      const end = Math.floor(((owner + 1) * tasks) / count);
      const begin = Math.floor((owner * tasks) / count);
      for (;;) {
        let task = begin + Atomics.add(words, counter, 1);
        if (task >= end || Atomics.load(words, start.layout.failed) !== 0) break;
        let item = at + 3;
        try {
          if (tasks === 1) {
            for (let i = 0; i < items; i++, item = next(item)) perform(item, 0);
          } else {
            for (; task >= words[item + 4]; item = next(item)) task -= words[item + 4];
            perform(item, task);
          }
        } catch (error) {
          fail(item, error);
        }
      }
    }
  }

  function runProgram(program: SharedArrayBuffer): void {
    const { layout, count } = start;
    words = new Int32Array(program);
    const groups = words[layout.groups];
    const times = words[layout.times] > 0 && start.index === 0 ? new Float64Array(program, 4 * words[layout.times]) : null;
    let at = layout.taken + groups * count;
    if (times !== null) times[0] = clock();
    for (let group = 0; group < groups; group++) {
      runGroup(group, at);
      if (Atomics.load(words, layout.failed) !== 0) break;
      barrier(group + 1);
      if (Atomics.load(words, layout.failed) !== 0) break;
      if (times !== null) times[group + 1] = clock();
      at += 3 + words[at + 2];
    }
    if (Atomics.add(words, layout.left, 1) + 1 === count) report("done");
  }

  listen((message) => {
    if ("memory" in message) {
      start = message;
      Atomics.add(new Int32Array(message.up), 0, 1);
      report("up");
      return;
    }
    for (const id of message.forget) kernels.delete(id);
    for (const { id, module } of message.modules) kernels.set(id, { module, exports: null });
    runProgram(message.program);
  });
}

/** A classic script, for Node's workers and for browsers'. Tools that keep functions' names wrap them in `__name`. */
export const workerSource = `"use strict";
const __name = (fn) => fn;
const port = typeof require === "function" ? require("node:worker_threads").parentPort : null;
(${workerMain.toString()})(
  port === null ? (handler) => { onmessage = (event) => handler(event.data); } : (handler) => port.on("message", handler),
  (message) => (port ?? globalThis).postMessage(message),
  () => performance.now(),
);
`;
