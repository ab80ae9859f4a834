/**
 * A list of launches as a *program* that threads go through by themselves: groups of tasks that do not depend on one another, with a
 * barrier after each. Which launch goes into which group follows from what it reads and writes; how a launch is cut into tasks
 * changes nothing in its results.
 */
import type { BufferSpec } from "../../engine/kernel/ir.js";
import type { Phase } from "./emit.js";
import { layout } from "./worker.js";

/** A compiled kernel. */
export interface Loops {
  /** Unique within its backend. */
  readonly id: number;
  readonly module: WebAssembly.Module;
  readonly buffers: readonly BufferSpec[];
  readonly phases: readonly Phase[];
  /** Elements of its arrays of float32. */
  readonly scratch: readonly number[];
  /** Elements of one more, of each thread's own. */
  readonly own?: number;
}

export interface Call {
  readonly loops: Loops;
  readonly addresses: readonly number[];
}

/** Where arrays of float32 are while a call runs; addresses given back may be given out again to later calls. */
export interface ScratchSpace {
  take(elements: number): number;
  giveBack(address: number, elements: number): void;
}

export interface Program {
  readonly words: readonly number[];
  /** Words up to here are counters. */
  readonly groups: number;
  /** Per group the call it belongs to, where times were asked for. */
  readonly callOf: readonly number[];
}

/** Cycles of a task: enough that taking it costs little. */
const taskCycles = 20_000;
/** Cycles of a group below which one thread does it alone. */
const aloneCycles = 30_000;
/** Tasks of one call for each thread, so that no thread waits long for another. */
const tasksPerThread = 16;

interface Item {
  readonly call: number;
  readonly phase: number;
}

/** Cycles of all calls, roughly. */
export const workOf = (calls: readonly Call[]): number =>
  calls.reduce((sum, { loops }) => sum + loops.phases.reduce((own, phase) => own + phase.work, 0), 0);

/** Elements of all arrays of a call for so many threads. */
export const arraysOf = ({ scratch, own = 0 }: Pick<Loops, "scratch" | "own">, threads: number): readonly number[] =>
  own === 0 ? scratch : [...scratch, own * threads];

export function makeProgram(calls: readonly Call[], threads: number, timed: boolean, space: ScratchSpace): Program {
  const levels = timed ? oneByOne(calls) : levelsOf(calls);
  const scratch = placeScratch(calls, levels, threads, space);
  const groups: { tasks: number; items: Item[] }[] = [];
  for (const level of levels) {
    const group = { tasks: tasksOf(calls, level, threads), items: [...level] };
    const last = groups[groups.length - 1];
    // What one thread does after what one thread did needs no barrier.
    if (!timed && group.tasks === 1 && last?.tasks === 1) last.items.push(...level);
    else groups.push(group);
  }
  const words: number[] = new Array(layout.taken + groups.length * threads).fill(0);
  words[layout.groups] = groups.length;
  for (const { tasks, items } of groups) {
    const header = words.length;
    words.push(tasks, items.length, 0);
    for (const { call, phase } of items) {
      const { loops, addresses } = calls[call];
      const { steps, work } = loops.phases[phase];
      const own = tasks === 1 ? 1 : cut(work, steps, threads);
      const perThread = 4 * (loops.own ?? 0);
      words.push(call, loops.id, phase, steps, own, perThread, addresses.length + scratch[call].length, ...addresses, ...scratch[call]);
    }
    words[header + 2] = words.length - header - 3;
  }
  return { words, groups: groups.length, callOf: timed ? levels.map(([item]) => item.call) : [] };
}

const cut = (work: number, steps: number, threads: number): number =>
  Math.max(1, Math.min(steps, threads * tasksPerThread, Math.floor(work / taskCycles)));

function tasksOf(calls: readonly Call[], level: readonly Item[], threads: number): number {
  let [tasks, work] = [0, 0];
  for (const { call, phase } of level) {
    const own = calls[call].loops.phases[phase];
    tasks += cut(own.work, own.steps, threads);
    work += own.work;
  }
  return work < aloneCycles ? 1 : tasks;
}

const oneByOne = (calls: readonly Call[]): readonly (readonly Item[])[] =>
  calls.flatMap(({ loops }, call) => loops.phases.map((_, phase) => [{ call, phase }]));

/** Each phase as early as what it needs, and what needs its buffers' old contents, allows. */
function levelsOf(calls: readonly Call[]): readonly (readonly Item[])[] {
  const levels: Item[][] = [];
  /** By address: the first level after the last write, and after the last read. */
  const written = new Map<number, number>();
  const read = new Map<number, number>();
  calls.forEach(({ loops, addresses }, call) => {
    let level = 0;
    addresses.forEach((address, i) => {
      level = Math.max(level, written.get(address) ?? 0);
      if (loops.buffers[i].access !== "read") level = Math.max(level, read.get(address) ?? 0);
    });
    const end = level + loops.phases.length;
    loops.phases.forEach((_, phase) => {
      const at = level + phase;
      levels[at] ??= [];
      levels[at].push({ call, phase });
    });
    addresses.forEach((address, i) => {
      if (loops.buffers[i].access === "read") read.set(address, Math.max(read.get(address) ?? 0, end));
      else written.set(address, end);
    });
  });
  return levels;
}

/** Addresses of each call's scratch arrays, its own from its first phase to its last. */
function placeScratch(
  calls: readonly Call[],
  levels: readonly (readonly Item[])[],
  threads: number,
  space: ScratchSpace,
): readonly (readonly number[])[] {
  const arrays = calls.map(({ loops }) => arraysOf(loops, threads));
  const places: number[][] = calls.map(() => []);
  const held = new Set<number>();
  const release = (call: number): void => {
    held.delete(call);
    places[call].forEach((address, i) => {
      space.giveBack(address, arrays[call][i]);
    });
  };
  try {
    for (const level of levels) {
      for (const { call, phase } of level) {
        if (phase !== 0 || arrays[call].length === 0) continue;
        held.add(call);
        for (const elements of arrays[call]) places[call].push(space.take(elements));
      }
      for (const { call, phase } of level) if (held.has(call) && phase === calls[call].loops.phases.length - 1) release(call);
    }
  } catch (error) {
    for (const call of held) release(call);
    throw error;
  }
  return places;
}
