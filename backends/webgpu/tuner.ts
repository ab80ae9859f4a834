/**
 * The tuner: which of a kernel's schedules is the fastest, found out by running them. All of them give the same bits (`tile.ts`), so that a
 * measurement decides on time alone.
 */

import type { LoopKernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { usage } from "./adapter.js";
import { contenders, emitLoops } from "./emit.js";
import type { Pipelines } from "./pipelines.js";
import { inScopes } from "./scopes.js";
import type { Program } from "./shader.js";
import type { Staging } from "./staging.js";
import type { Machine } from "./tile.js";
import { type Encode, runTimed } from "./timing.js";
import { openStore, type Tuning, type TuningStore, Tunings } from "./tunings.js";

/** Milliseconds of a launch of each program; null where it does not run. Null in all where nothing could be measured. */
export type Measure = (kernel: LoopKernel, programs: readonly Program[]) => Promise<readonly (number | null)[] | null>;

/** The most schedules of a kernel that are measured. */
const mostContenders = 8;

/** Points times terms below which a launch costs more than the kernel does. */
const leastWork = 1 << 20;

export interface Tuned {
  readonly program: Program | null;
  /** What was decided and why: a line above the shader. Null where there was nothing to decide. */
  readonly note: string | null;
}

export class Tuner {
  private readonly found = new Map<string, Promise<Tuning | null>>();
  /** Kernels are measured one after the other. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly adapter: string,
    private readonly machine: Machine,
    private readonly tunings: Tunings,
    private readonly measure: Measure,
  ) {}

  describe(): string {
    return `tuned (${this.tunings.describe()})`;
  }

  /** The kernel by its fastest schedule: the remembered one, or else the one found now. */
  async emit(kernel: LoopKernel): Promise<Tuned> {
    const usual = emitLoops(kernel, this.machine);
    if (usual === null || workOf(kernel) < leastWork) return { program: usual, note: null };
    const key = digest(usual.source);
    const known = this.tunings.get(this.adapter, key);
    if (known !== null) {
      const program = known.schedule === 0 ? usual : emitLoops(kernel, this.machine, known.schedule);
      if (program !== null && digest(program.source) === known.shader) return { program, note: noteOf(known.schedule) };
    }
    let tuning = this.found.get(key);
    if (tuning === undefined) {
      const begin = this.turn.then(() => this.find(kernel, key));
      this.turn = begin.catch(() => null);
      // A failure is not kept, nor what the store has by now.
      tuning = begin.finally(() => this.found.delete(key));
      this.found.set(key, tuning);
    }
    const best = await tuning;
    return best === null
      ? { program: usual, note: null }
      : { program: emitLoops(kernel, this.machine, best.schedule), note: noteOf(best.schedule) };
  }

  private async find(kernel: LoopKernel, key: string): Promise<Tuning | null> {
    const schedules = contenders(kernel, this.machine, mostContenders);
    if (schedules.length < 2) return null;
    const programs = schedules.map((schedule) => emitLoops(kernel, this.machine, schedule) as Program);
    const times = await this.measure(kernel, programs);
    const best = fastest(times ?? []);
    if (best === null) return null;
    const tuning = { schedule: schedules[best], shader: digest(programs[best].source) };
    this.tunings.set(this.adapter, key, tuning);
    return tuning;
  }
}

const noteOf = (schedule: number): string => `// tuned: schedule ${schedule}${schedule === 0 ? ", as estimated" : ""}\n`;

/** The first of equals, as schedules come in the order of their estimates. */
function fastest(times: readonly (number | null)[]): number | null {
  let best: number | null = null;
  times.forEach((time, i) => {
    if (time !== null && (best === null || time < (times[best] as number))) best = i;
  });
  return best;
}

function workOf({ axes, stages, stores }: LoopKernel): number {
  const terms = [...stages, ...stores].reduce((sum, { axes: inner }) => sum + pointCount(inner), 0);
  return pointCount(axes) * terms;
}

/** Two FNV-1a hashes of 32 bits. Texts that share it would share a schedule, and lose time only. */
export function digest(text: string): string {
  return [0x811c9dc5, 0x9747b28c]
    .map((seed) => {
      let hash = seed;
      for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
      return (hash >>> 0).toString(16).padStart(8, "0");
    })
    .join("");
}

/** No kernel with larger buffers in all is tried. */
const maxScratchBytes = 2 ** 30;
const rounds = 3;
/** Launches of one submit: as many as take so long together. */
const millisecondsOfRound = 2;
const maxRepeats = 32;

/** What a backend has of a device, and how many bytes may still be taken there. */
export interface TunedDevice {
  readonly adapter: string;
  readonly machine: Machine;
  readonly device: GPUDevice;
  readonly pipelines: Pipelines;
  readonly staging: Staging;
  readonly room: () => number;
}

export type MakeTuner = (on: TunedDevice) => Tuner;

/** What the tuner does by itself where it is not told otherwise. */
export interface TuneOptions {
  readonly store: TuningStore;
  readonly measure: Measure;
}

/**
 * The option `tune` of the backend. What it finds is remembered in a file (in pages, in localStorage). Apart from the backend, so that pages
 * which do not tune are spared it.
 */
export async function tuner(options: Partial<TuneOptions> = {}): Promise<MakeTuner> {
  const tunings = new Tunings(options.store ?? (await openStore()));
  return ({ adapter, machine, device, pipelines, staging, room }) =>
    new Tuner(adapter, machine, tunings, options.measure ?? measureOn(device, pipelines, staging, room));
}

/** Runs programs on scratch buffers of the kernel's sizes, which are freed again. `room`: bytes that may be taken. */
export function measureOn(device: GPUDevice, pipelines: Pipelines, staging: Staging, room: () => number): Measure {
  return async (kernel, programs) => {
    const sizes = kernel.buffers.map(({ length }) => 4 * Math.max(1, length));
    if (sizes.reduce((sum, size) => sum + size, 0) > Math.min(maxScratchBytes, room())) return null;
    const compiled = await Promise.all(programs.map(({ source }) => pipelines.get(kernel, source).catch(() => null)));
    const scratch: GPUBuffer[] = [];
    try {
      const { error } = inScopes(device, () => {
        for (const size of sizes) scratch.push(device.createBuffer({ size, usage: usage.storage }));
      });
      if ((await error) !== null) return null;
      const launches = compiled.map((pipeline, i): Encode | null => {
        if (pipeline === null) return null;
        const entries = scratch.map((buffer, binding) => ({ binding, resource: { buffer } }));
        const bindGroup = device.createBindGroup({ layout: pipeline.layout, entries });
        return (pass) => {
          pass.setPipeline(pipeline.pipeline);
          pass.setBindGroup(0, bindGroup);
          pass.dispatchWorkgroups(...programs[i].groups);
        };
      });
      return await timesOf(launches, (encode) => timeOf(device, staging, encode));
    } finally {
      // The one that is taken is asked for again, and costs little then: the driver has it.
      for (const { source } of programs) pipelines.forget(source);
      for (const buffer of scratch) buffer.destroy();
    }
  };
}

/** Null of a launch that is refused. */
async function timeOf(device: GPUDevice, staging: Staging, encode: Encode): Promise<number | null> {
  const { made, error } = inScopes(device, () => runTimed(device, staging, [encode]));
  const [time] = await made;
  return (await error) === null ? time.milliseconds : null;
}

/** The least of a few rounds of each, after one that is for warming up. Whatever is twice as slow as the best takes no part in further ones. */
async function timesOf(
  launches: readonly (Encode | null)[],
  time: (encode: Encode) => Promise<number | null>,
): Promise<readonly (number | null)[]> {
  const times: (number | null)[] = [];
  for (const launch of launches) times.push(launch && ((await time(launch)) === null ? null : await time(launch)));
  for (let round = 1; round < rounds; round++) {
    const best = Math.min(...times.filter((each) => each !== null));
    const repeats = Math.min(maxRepeats, Math.max(1, Math.floor(millisecondsOfRound / best)));
    for (const [i, launch] of launches.entries()) {
      const before = times[i];
      if (launch === null || before === null || before > 2 * best) continue;
      const total = await time((pass) => {
        for (let i = 0; i < repeats; i++) launch(pass);
      });
      times[i] = total === null ? null : Math.min(before, total / repeats);
    }
  }
  return times;
}
