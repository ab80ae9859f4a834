/** The `wasm` backend: every kernel becomes a WebAssembly module over one memory, run by threads where there are any. */
import { type DType, dtypeBytes, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import type { AnyKernel } from "../../engine/kernel/ir.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime, PlannedCall, PlannedKernel } from "../backend.js";
import { combineChains } from "../loops/chain.js";
import { hasRelaxed, hasVectors } from "./features.js";
import { Kernels, type Runnable } from "./kernels.js";
import { addressable, Heap } from "./memory.js";
import { Pool } from "./pool.js";
import { type Call, makeProgram, workOf } from "./program.js";
import { Queue } from "./queue.js";
import { type Spawn, spawnThread, threadsFor } from "./threads.js";

export interface WasmOptions {
  /** Refuse to hold more than this. */
  readonly maxBytes?: number;
  /** `false`: no fused multiply-add, even where the runtime has it. */
  readonly relaxed?: boolean;
  /** Threads to compute on; as many as the machine runs side by side, but no more than 8, where nothing is said. */
  readonly threads?: number;
  /** Cycles of work, roughly, below which a list of launches is run by the caller: calling the threads takes about 0.1 ms. */
  readonly callerCycles?: number;
}

interface WasmBuffer extends BufferHandle {
  readonly address: number;
  readonly bytes: number;
}

type WasmExecutable = Executable & Runnable;

interface Bound {
  readonly executable: WasmExecutable;
  readonly addresses: readonly number[];
}

const name = "wasm";
const defaultCallerCycles = 1e6;

/**
 * Opens WebAssembly. Threads start with the first work that is worth them. Throws BackendError where the runtime has no WebAssembly SIMD, and
 * where threads or memory that were asked for cannot be had.
 */
export function createWasmBackend(options: WasmOptions = {}, spawn: Spawn = spawnThread): WasmBackend {
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw new BackendError(name, `threads is ${threads}; expected a whole number from 1 to 64`);
  }
  if (!hasVectors()) throw new BackendError(name, "this runtime has no WebAssembly SIMD");
  return new WasmBackend(options, options.relaxed !== false && hasRelaxed(), spawn);
}

/** WebAssembly SIMD on worker threads over one shared memory. */
export class WasmBackend implements Backend {
  readonly name = name;
  readonly limits: BackendLimits = {
    dtypes: ["float32", "float64", "int32", "bool"],
    elementBytes: dtypeBytes,
    maxExactInteger: 2 ** 31 - 1,
    maxBuffersPerKernel: 900, // a function takes 1000 parameters
    maxOutputs: 64,
    maxBufferBytes: 2 ** 31,
  };
  private readonly heap: Heap;
  private readonly kernels: Kernels;
  private readonly pool: Pool | null;
  private readonly whyAlone: string;
  private readonly queue = new Queue();
  private readonly callerCycles: number;
  private readonly live = new Set<WasmBuffer>();
  private destroyed = false;
  private failure: BackendError | null = null;

  constructor(
    options: WasmOptions,
    private readonly relaxed: boolean,
    spawn: Spawn,
  ) {
    const { count, why } = threadsFor(options.threads);
    this.heap = new Heap(Math.min(options.maxBytes ?? addressable, addressable), count > 1);
    this.pool = count > 1 ? new Pool(count, this.heap.memory, spawn) : null;
    this.kernels = new Kernels(this.heap, relaxed, this.pool);
    this.whyAlone = why;
    this.callerCycles = options.callerCycles ?? defaultCallerCycles;
  }

  describe(): string {
    const broken = this.pool?.broken ?? null;
    const alone = `on one thread (${broken === null ? this.whyAlone : `no other starts: ${broken}`})`;
    const threads = this.pool === null || broken !== null ? alone : `on ${this.pool.count} threads`;
    return `wasm: kernels compiled to WebAssembly with ${this.relaxed ? "relaxed SIMD" : "SIMD"}, ${threads}`;
  }

  /** Starts the threads ahead of the first work for them; resolves when they are up, or are known not to come. */
  async ready(): Promise<void> {
    this.check();
    await this.pool?.settled();
  }

  allocate(dtype: DType, length: number): BufferHandle {
    this.check();
    const bytes = length * dtypeBytes[dtype];
    if (bytes > this.limits.maxBufferBytes) {
      throw new BackendError(name, `a buffer of ${bytes} bytes is larger than the ${this.limits.maxBufferBytes} allowed`);
    }
    const buffer: WasmBuffer = { dtype, length, bytes, address: this.heap.allocate(bytes) };
    this.live.add(buffer);
    return buffer;
  }

  free(buffer: BufferHandle): void {
    this.check();
    const own = this.own(buffer);
    this.live.delete(own);
    this.heap.free(own.address, own.bytes);
  }

  upload(buffer: BufferHandle, data: TypedArray): void {
    this.check();
    const own = this.own(buffer);
    if (data.constructor !== hostArray(own.dtype, 0).constructor)
      throw new BackendError(name, `upload of ${data.constructor.name} to a ${own.dtype} buffer`);
    if (data.length > own.length) throw new BackendError(name, `upload of ${data.length} elements to a buffer of ${own.length}`);
    const copy = this.queue.busy ? data.slice() : data;
    const perform = (): null => {
      this.heap.view(own.dtype, own.address, copy.length).set(copy);
      return null;
    };
    this.queue.add({ perform, lost: perform });
  }

  async download(buffer: BufferHandle, length: number): Promise<TypedArray> {
    this.check();
    const own = this.own(buffer);
    if (length > own.length) throw new BackendError(name, `download of ${length} elements from a buffer of ${own.length}`);
    return new Promise((resolve, reject) => {
      const perform = (): null => {
        const { failure } = this;
        this.failure = null;
        if (failure !== null) {
          reject(failure);
        } else {
          const result = hostArray(own.dtype, length);
          result.set(this.heap.view(own.dtype, own.address, length));
          resolve(result);
        }
        return null;
      };
      const lost = (error: Error): void => {
        this.failure = null;
        reject(error);
      };
      this.queue.add({ perform, lost });
    });
  }

  acceptsTemplate(): true {
    return true;
  }

  combine<S extends PlannedKernel | PlannedCall>(steps: readonly S[], temporary: ReadonlySet<number>): (S | PlannedKernel)[] {
    return combineChains(steps, temporary);
  }

  accepts(kernel: AnyKernel): true | string {
    const { maxBuffersPerKernel, maxOutputs } = this.limits;
    if (kernel.buffers.length > maxBuffersPerKernel) return `${kernel.buffers.length} buffers; ${maxBuffersPerKernel} are allowed`;
    const stores = kernel.kind === "chain" ? 0 : kernel.stores.length;
    if (stores > maxOutputs) return `${stores} stores; ${maxOutputs} are allowed`;
    return true;
  }

  compile(kernel: AnyKernel): Executable {
    this.check();
    const accepted = this.accepts(kernel);
    if (accepted !== true) throw new BackendError(name, `${kernel.name}: ${accepted}`);
    return { kernel, source: () => this.kernels.text(kernel), ...this.kernels.compile(kernel) } as WasmExecutable;
  }

  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void {
    this.check();
    const bound: Bound[] = [];
    let invalid: unknown = null;
    for (const { executable, buffers } of launches) {
      try {
        bound.push({ executable: executable as WasmExecutable, addresses: buffers.map((buffer) => this.own(buffer).address) });
      } catch (error) {
        invalid = error;
        break;
      }
    }
    const measured: LaunchTime[] | null = times === undefined ? null : [];
    for (const part of inParts(bound)) this.queue.add({ perform: () => this.perform(part, measured), lost: () => {} });
    const end = (): null => {
      if (invalid !== null) this.fail(launches[bound.length].executable.kernel.name, invalid);
      if (measured !== null) times?.(measured);
      return null;
    };
    if (invalid !== null || measured !== null) this.queue.add({ perform: end, lost: end });
  }

  destroy(): void {
    this.destroyed = true;
    this.queue.lose(new BackendError(name, "destroy() was called before it was read"));
    this.pool?.destroy();
    this.live.clear();
    this.kernels.clear();
  }

  private fail(kernel: string, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.failure ??= new BackendError(name, `${kernel} failed: ${reason}`, { cause });
  }

  /** By the threads if they are up and it is worth calling them, else here. */
  private perform(bound: readonly Bound[], measured: LaunchTime[] | null): Promise<void> | null {
    const calls = bound.flatMap(({ executable, addresses }): Call[] =>
      executable.loops === null ? [] : [{ loops: executable.loops, addresses }],
    );
    if (this.pool !== null && calls.length === bound.length && workOf(calls) > this.callerCycles) {
      if (this.pool.ready) return this.performByThreads(this.pool, bound, calls, measured);
      this.pool.start();
    }
    for (const { executable, addresses } of bound) {
      const started = performance.now();
      try {
        executable.run(...addresses);
      } catch (cause) {
        this.fail(executable.kernel.name, cause);
        break;
      }
      measured?.push({ name: executable.kernel.name, milliseconds: performance.now() - started });
    }
    return null;
  }

  private performByThreads(
    pool: Pool,
    bound: readonly Bound[],
    calls: readonly Call[],
    measured: LaunchTime[] | null,
  ): Promise<void> | null {
    let program: ReturnType<typeof makeProgram>;
    try {
      program = makeProgram(calls, pool.count, measured !== null, this.heap.scratch);
    } catch (cause) {
      this.fail("a list of kernels", cause);
      return null;
    }
    const kernels = calls.map((call) => call.loops);
    return pool.run(program, kernels, measured !== null).then(({ failure, times }) => {
      if (failure !== null && failure.call === null) {
        const error = new BackendError(name, `${failure.reason}; what was under way is lost, and new threads start with the next work`);
        this.failure ??= error;
        this.queue.lose(error);
      } else if (failure?.call != null) {
        this.fail(bound[failure.call].executable.kernel.name, failure.reason);
      }
      if (measured === null) return;
      const sums = new Array<number>(bound.length).fill(0);
      times.forEach((time, group) => {
        sums[program.callOf[group]] += time;
      });
      sums.forEach((milliseconds, i) => {
        measured.push({ name: bound[i].executable.kernel.name, milliseconds });
      });
    });
  }

  private check(): void {
    if (this.destroyed) throw new BackendError(name, "used after destroy()");
  }

  private own(buffer: BufferHandle): WasmBuffer {
    const own = buffer as WasmBuffer;
    if (!this.live.has(own))
      throw new BackendError(name, `a ${buffer.dtype} buffer of ${buffer.length} elements was freed, or belongs to another backend`);
    return own;
  }
}

/** Lists that run as a whole: what JavaScript has a part in is one by itself. */
function inParts(bound: readonly Bound[]): readonly (readonly Bound[])[] {
  const parts: Bound[][] = [];
  let open = false;
  for (const each of bound) {
    const alone = each.executable.loops === null;
    if (open && !alone) parts[parts.length - 1].push(each);
    else parts.push([each]);
    open = !alone;
  }
  return parts;
}
