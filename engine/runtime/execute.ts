/** Runs plans in order on one backend. Where everything is compiled and no host call waits, a plan is posted at once. */

import { type Backend, type BufferHandle, type Executable, type Launch, type LaunchTime, sourceText } from "../../backends/backend.js";
import { debugLevel, debugLog, shownKernel } from "../debug.js";
import { hostArray, type TypedArray } from "../dtype.js";
import { BackendError, InternalError } from "../errors.js";
import { kernelKey } from "../kernel/canon.js";
import type { HostFunction } from "../ops/host.js";
import type { HostStep, KernelStep, Plan } from "../schedule/plan.js";
import { numel } from "../shape.js";
import type { CompiledPlan } from "./cache.js";
import type { BufferPool } from "./storage.js";

/** What one run of a plan works on. */
export interface Binding {
  /** One a leaf of the walk: a device buffer, or host data to be copied in. */
  readonly leaves: readonly (BufferHandle | TypedArray)[];
  /** One an output; null where the output takes its donor's buffer. */
  readonly outputs: readonly (BufferHandle | null)[];
  readonly hostFunctions: readonly HostFunction[];
}

export interface KernelTime {
  readonly name: string;
  readonly milliseconds: number;
  /** Milliseconds after the start of its run's first kernel. */
  readonly start: number;
  /** When its run was queued, by the host's clock. */
  readonly posted: number;
  readonly flops: number;
  readonly bytes: number;
  readonly ops: readonly string[];
  readonly modules: readonly string[];
}

/** DEBUG ≥ 2: a line a kernel. */
function showKernel({ name, milliseconds, flops, bytes, ops }: KernelTime): void {
  const rate = (amount: number): string => (amount / 1e6 / Math.max(milliseconds, 1e-6)).toFixed(2);
  debugLog(
    2,
    () =>
      `${milliseconds.toFixed(3).padStart(9)} ms ${rate(flops).padStart(8)} GFLOP/s ${rate(bytes).padStart(8)} GB/s  ${name}  ⟵ ${ops.join(" + ")}`,
  );
}

/** What a compiler refuses says from which operations it came. */
function attempt<T>(action: () => T | Promise<T>, ops: string): T | Promise<T> {
  const explained = (error: unknown): never => {
    if (!(error instanceof BackendError)) throw error;
    throw new BackendError(error.backend, `${ops}: ${error.message.replace(`${error.backend}: `, "")}`, { cause: error });
  };
  try {
    const made = action();
    return made instanceof Promise ? made.catch(explained) : made;
  } catch (error) {
    return explained(error);
  }
}

/** DEBUG ≥ 4: what the device's compiler gets. */
async function showSource(executable: Executable): Promise<void> {
  const text = await sourceText(executable).catch(String);
  debugLog(4, () => `// ${executable.kernel.name}\n${text}`);
}

const isData = (b: BufferHandle | TypedArray): b is TypedArray => ArrayBuffer.isView(b);

export class Executor {
  private tail: Promise<void> | null = null;
  private readonly timings = new Set<Promise<void>>();
  private readonly executables = new Map<string, Executable>();
  /** While set, every kernel is timed and reported. */
  onKernel: ((time: KernelTime) => void) | null = null;

  constructor(
    private readonly backend: Backend,
    private readonly pool: BufferPool,
  ) {}

  /** Compiles a plan's kernels, side by side where the backend compiles asynchronously. */
  compile(plan: Plan): CompiledPlan {
    const made = plan.steps.flatMap((step) => (step.kind === "kernel" ? [this.executable(step)] : []));
    if (made.every((e): e is Executable => !(e instanceof Promise))) return { plan, executables: made, ready: null };
    const ready = Promise.all(made).then((executables) => {
      compiled.executables = executables;
    });
    ready.catch(() => {});
    const compiled: CompiledPlan = { plan, executables: null, ready };
    return compiled;
  }

  private executable({ kernel, info }: KernelStep): Executable | Promise<Executable> {
    const key = kernelKey(kernel);
    const known = this.executables.get(key);
    if (known !== undefined) return known;
    debugLog(5, () => shownKernel(kernel) ?? key);
    const made = attempt(
      () => this.backend.compile(kernel),
      `${info.ops.join(" + ")}${info.modules.length > 0 ? ` in ${info.modules.join(", ")}` : ""}`,
    );
    const keep = (executable: Executable): Executable => {
      if (this.executables.size >= 4096) this.executables.delete(this.executables.keys().next().value as string);
      this.executables.set(key, executable);
      if (debugLevel() >= 4) void showSource(executable);
      return executable;
    };
    return made instanceof Promise ? made.then(keep) : keep(made);
  }

  /**
   * Runs after everything queued before. Returns null when all was posted at once, else a promise of the end. Where the device lags too far
   * behind, the plan waits for it, unless the caller cannot.
   */
  run(compiled: CompiledPlan, binding: Binding, waits = true): Promise<void> | null {
    // A loop that flushes without ever awaiting cannot be held back: what it would wait for comes by when it awaits.
    const room = waits ? (this.backend.room?.() ?? null) : null;
    const direct =
      this.tail === null && room === null && compiled.executables !== null && compiled.plan.steps.every((step) => step.kind === "kernel");
    if (direct) {
      this.post(compiled, binding);
      return null;
    }
    const before = this.tail ?? Promise.resolve();
    const done = before
      .catch(() => {})
      .then(async () => {
        await compiled.ready;
        await room;
        await this.steps(compiled, binding);
      });
    const tail = done
      .catch(() => {})
      .then(() => {
        if (this.tail === tail) this.tail = null;
      });
    this.tail = tail;
    return done;
  }

  /** Resolves when the times of all that ran are known. */
  async timed(): Promise<void> {
    await this.idle();
    await Promise.all(this.timings);
  }

  /** Resolves when nothing is queued on the host's side. */
  async idle(): Promise<void> {
    while (this.tail !== null) await this.tail;
  }

  private post(compiled: CompiledPlan, binding: Binding): void {
    const buffers = this.bind(compiled.plan, binding);
    try {
      this.launch(compiled, buffers.slots, 0, compiled.plan.steps.length);
    } finally {
      for (const buffer of buffers.owned) this.pool.release(buffer);
    }
  }

  private async steps(compiled: CompiledPlan, binding: Binding): Promise<void> {
    const { steps } = compiled.plan;
    const buffers = this.bind(compiled.plan, binding);
    try {
      let from = 0;
      for (let at = 0; at <= steps.length; at++) {
        const step = steps[at];
        if (step?.kind === "kernel") continue;
        this.launch(compiled, buffers.slots, from, at);
        from = at + 1;
        if (step !== undefined) await this.call(step, buffers.slots, binding.hostFunctions[step.call]);
      }
    } finally {
      for (const buffer of buffers.owned) this.pool.release(buffer);
    }
  }

  private bind(plan: Plan, binding: Binding): { slots: BufferHandle[]; owned: BufferHandle[] } {
    const owned: BufferHandle[] = [];
    const own = (dtype: BufferHandle["dtype"], length: number): BufferHandle => {
      const buffer = this.pool.acquire(dtype, length);
      owned.push(buffer);
      return buffer;
    };
    try {
      const shared = plan.buffers.map((b) => own(b.dtype, b.length));
      const leafBuffer = (leaf: number, dtype: BufferHandle["dtype"]): BufferHandle => {
        const bound = binding.leaves[leaf];
        if (!isData(bound)) return bound;
        const buffer = own(dtype, bound.length);
        this.backend.upload(buffer, bound);
        return buffer;
      };
      const slots = plan.slots.map((slot) => {
        switch (slot.kind) {
          case "leaf":
            return leafBuffer(slot.leaf, slot.dtype);
          case "constant": {
            const buffer = own(slot.dtype, slot.length);
            this.backend.upload(buffer, slot.data);
            return buffer;
          }
          case "temporary":
            return shared[slot.buffer];
          case "output": {
            const buffer = binding.outputs[slot.output] ?? (slot.donor === null ? null : binding.leaves[slot.donor]);
            if (buffer === null || isData(buffer)) throw new InternalError("an output has no buffer");
            return buffer;
          }
        }
      });
      return { slots, owned };
    } catch (error) {
      for (const buffer of owned) this.pool.release(buffer);
      throw error;
    }
  }

  private launch(compiled: CompiledPlan, slots: readonly BufferHandle[], from: number, to: number): void {
    const { steps } = compiled.plan;
    const executables = compiled.executables as readonly Executable[];
    const launches: Launch[] = [];
    let kernel = 0;
    for (let at = 0; at < to; at++) {
      const step = steps[at];
      if (step.kind !== "kernel") continue;
      if (at >= from) launches.push({ executable: executables[kernel], buffers: step.slots.map((slot) => slots[slot]) });
      kernel++;
    }
    if (launches.length === 0) return;
    const report = this.onKernel ?? (debugLevel() >= 2 ? showKernel : null);
    if (report === null) {
      this.backend.run(launches);
      return;
    }
    const infos = steps.slice(from, to).flatMap((step) => (step.kind === "kernel" ? [{ name: step.kernel.name, ...step.info }] : []));
    const posted = performance.now();
    const told = new Promise<void>((resolve) => {
      this.backend.run(launches, (times: readonly LaunchTime[]) => {
        let end = 0;
        times.forEach(({ milliseconds, start = end }, i) => {
          end = start + milliseconds;
          report({ ...infos[i], milliseconds, start, posted });
        });
        resolve();
      });
    });
    this.timings.add(told);
    void told.then(() => this.timings.delete(told));
  }

  private async call(step: HostStep, slots: readonly BufferHandle[], fn: HostFunction): Promise<void> {
    // What has no elements has no buffer.
    const inputs = await Promise.all(
      step.inputs.map(({ slot, shape, dtype }) =>
        numel(shape) === 0 ? hostArray(dtype, 0) : this.backend.download(slots[slot], numel(shape)),
      ),
    );
    const results = await fn(inputs);
    for (const output of step.outputs) {
      const data = results[output.output];
      if (data === undefined || data.length !== numel(output.shape)) {
        throw new InternalError(
          `host function ${step.name} gave ${data?.length ?? "no"} elements for output ${output.output}, which has shape [${output.shape.join(", ")}]`,
        );
      }
      this.backend.upload(slots[output.slot], data);
    }
  }
}
