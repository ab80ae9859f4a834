/** The `wasm` backend: every kernel becomes a WebAssembly module over one memory, run by threads where there are any. */
import { type DType, dtypeBytes, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import { kernelKey } from "../../engine/kernel/canon.js";
import type { AnyKernel, ChainKernel, LoopKernel, TemplateKernel } from "../../engine/kernel/ir.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime, PlannedCall, PlannedKernel } from "../backend.js";
import { combineChains } from "../loops/chain.js";
import { makeTransform } from "../loops/lines.js";
import { type Code, floats, get, Locals, ModuleWriter, v128 } from "./binary.js";
import { compileChain } from "./chain.js";
import { compileLoops, type LoopModule, type Target } from "./emit.js";
import { compileLines } from "./line-module.js";
import { lineKernels } from "./lines.js";
import { ConstantTable } from "./math.js";
import { addressable, Heap } from "./memory.js";
import { Pool } from "./pool.js";
import { arraysOf, type Call, type Loops, makeProgram, type ScratchSpace, workOf } from "./program.js";
import { Queue } from "./queue.js";
import { moduleText } from "./text.js";
import { builtin, type Spawn, spawnThread, threadsFor } from "./threads.js";

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

type Run = (...addresses: number[]) => void;

interface WasmBuffer extends BufferHandle {
  readonly address: number;
  readonly bytes: number;
}

interface WasmExecutable extends Executable {
  /** Null where JavaScript does a part of it. */
  readonly loops: Loops | null;
  /** In the caller. */
  readonly run: Run;
}

interface Bound {
  readonly executable: WasmExecutable;
  readonly addresses: readonly number[];
}

interface Compiled {
  readonly loops: Loops;
  readonly run: Run;
}

const name = "wasm";
/** Modules kept for kernels of the same text. */
const maxCached = 4096;

/** What a kernel was compiled to, for every backend of the process: a module imports its memory. */
interface Made extends Pick<Loops, "phases" | "scratch" | "own"> {
  readonly module: WebAssembly.Module;
}
const made = new Map<string, Made>();
const defaultCallerCycles = 1e6;

/** Whether this runtime takes an instruction of three vectors. */
function takes(instruction: (a: Code, b: Code, c: Code) => Code): boolean {
  const module = new ModuleWriter();
  module.export("f", module.addFunction([v128, v128, v128], [v128], new Locals(3), instruction(get(0), get(1), get(2))));
  return WebAssembly.validate(module.finish());
}

const hasVectors = (): boolean => typeof WebAssembly === "object" && takes((a, b) => floats.add(a, b));

/** In Node 20 it must be asked for. */
function hasRelaxed(): boolean {
  if (takes(floats.relaxedMadd)) return true;
  try {
    builtin("node:v8")?.setFlagsFromString("--experimental-wasm-relaxed-simd");
  } catch {
    return false;
  }
  return takes(floats.relaxedMadd);
}

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
  private readonly constants: ConstantTable;
  private readonly pool: Pool | null;
  private readonly whyAlone: string;
  private readonly queue = new Queue();
  private readonly callerCycles: number;
  private readonly live = new Set<WasmBuffer>();
  private readonly compiled = new Map<string, Compiled>();
  private kernels = 0;
  private destroyed = false;
  private failure: BackendError | null = null;

  constructor(
    options: WasmOptions,
    private readonly relaxed: boolean,
    spawn: Spawn,
  ) {
    const { count, why } = threadsFor(options.threads);
    this.heap = new Heap(Math.min(options.maxBytes ?? addressable, addressable), count > 1);
    this.constants = new ConstantTable(this.heap.memory);
    this.pool = count > 1 ? new Pool(count, this.heap.memory, spawn) : null;
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
      this.view(own.dtype, own.address, copy.length).set(copy);
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
          result.set(this.view(own.dtype, own.address, length));
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
    const made = kernel.kind === "template" ? this.template(kernel) : this.loops(kernel);
    return { kernel, source: () => this.text(kernel), ...made } as WasmExecutable;
  }

  /** The modules of a kernel as text: emitted once more, as nobody else needs their bytes. */
  private async text(kernel: AnyKernel): Promise<string> {
    if (kernel.kind !== "template") return moduleText(this.emitted(kernel).bytes);
    const lines = compileLines(kernel, this.target);
    if (lines !== null) return moduleText(lines.bytes);
    const { gather, scatter } = lineKernels(kernel);
    return [
      await this.text(gather),
      `;; in JavaScript: ${JSON.stringify(kernel.template)}
`,
      await this.text(scatter),
    ].join("");
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
    this.compiled.clear();
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
      program = makeProgram(calls, pool.count, measured !== null, this.space);
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

  /** What one call gives back, the next may take: nothing runs out of order. */
  private readonly space: ScratchSpace = {
    take: (elements) => this.heap.allocate(4 * elements),
    giveBack: (address, elements) => this.heap.free(address, 4 * elements),
  };

  private get target(): Target {
    return { relaxed: this.relaxed, shared: this.pool !== null, constants: this.constants };
  }

  private emitted(kernel: LoopKernel | ChainKernel): LoopModule {
    return kernel.kind === "chain" ? compileChain(kernel, this.target) : compileLoops(kernel, this.target);
  }

  private loops(kernel: LoopKernel | ChainKernel): Compiled {
    return this.cached(kernel, () => this.emitted(kernel)) as Compiled;
  }

  /** Null where nothing is made. */
  private cached(kernel: AnyKernel, make: () => LoopModule | null): Compiled | null {
    // The name says nothing of what is computed.
    const source = kernelKey({ ...kernel, name: "kernel" });
    let known = this.compiled.get(source);
    if (known === undefined) {
      const loops = this.load(kernel, source, make);
      if (loops === null) return null;
      known = { loops, run: this.inCaller(loops) };
      if (this.compiled.size >= maxCached) this.evict();
      this.compiled.set(source, known);
    }
    return known;
  }

  private evict(): void {
    const [[source, { loops }]] = this.compiled;
    this.compiled.delete(source);
    this.pool?.drop(loops.id);
  }

  private load(kernel: AnyKernel, source: string, make: () => LoopModule | null): Loops | null {
    const key = `${this.relaxed} ${this.pool !== null} ${source}`;
    let known = made.get(key);
    if (known === undefined) {
      try {
        const emitted = make();
        if (emitted === null) return null;
        const { bytes, ...rest } = emitted;
        known = { module: new WebAssembly.Module(bytes), ...rest };
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new BackendError(name, `${kernel.name} does not compile: ${reason}\n${source}`, { cause });
      }
      if (made.size >= maxCached) made.delete(made.keys().next().value as string);
      made.set(key, known);
    }
    this.constants.update();
    return { id: this.kernels++, buffers: kernel.buffers, ...known };
  }

  private inCaller(loops: Loops): Run {
    const { module, phases } = loops;
    const arrays = arraysOf(loops, 1);
    let exports: WebAssembly.Exports | null = null;
    return (...addresses) => {
      const math = Object.assign(Object.create(Math) as Record<string, () => number>, { rem: (a: number, b: number) => a % b });
      exports ??= new WebAssembly.Instance(module, { env: { memory: this.heap.memory }, math }).exports;
      const blocks: number[] = [];
      try {
        for (const elements of arrays) blocks.push(this.space.take(elements));
        for (const [i, { steps }] of phases.entries()) (exports[`phase${i}`] as Run)(...addresses, ...blocks, 0, steps);
      } finally {
        blocks.forEach((address, i) => {
          this.space.giveBack(address, arrays[i]);
        });
      }
    };
  }

  private template(kernel: TemplateKernel): Compiled | { loops: null; run: Run } {
    const compiled = this.cached(kernel, () => compileLines(kernel, this.target));
    if (compiled !== null) return compiled;
    const { gather, scatter, lines, lengthIn, lengthOut } = lineKernels(kernel);
    const { dtype } = kernel.input;
    const [before, after] = [this.loops(gather), this.loops(scatter)];
    if (lines === 0) return { loops: null, run: () => {} };
    const transform = makeTransform(kernel.template, dtype);
    const [input, output] = [new Float64Array(lengthIn), new Float64Array(lengthOut)];
    const bytes = dtypeBytes[dtype];
    const run: Run = (...addresses) => {
      const from = this.heap.allocate(lines * lengthIn * bytes);
      const to = this.heap.allocate(lines * lengthOut * bytes);
      before.run(...addresses, from);
      const [inputs, outputs] = [this.view(dtype, from, lines * lengthIn), this.view(dtype, to, lines * lengthOut)];
      for (let line = 0; line < lines; line++) {
        input.set(inputs.subarray(line * lengthIn, (line + 1) * lengthIn));
        transform(output, input);
        outputs.set(output, line * lengthOut);
      }
      after.run(...addresses, to);
      this.heap.free(from, lines * lengthIn * bytes);
      this.heap.free(to, lines * lengthOut * bytes);
    };
    return { loops: null, run };
  }

  /** Valid until the memory grows. */
  private view(dtype: DType, address: number, length: number): TypedArray {
    const { buffer } = this.heap.memory;
    switch (dtype) {
      case "float32":
        return new Float32Array(buffer, address, length);
      case "float64":
        return new Float64Array(buffer, address, length);
      case "int32":
        return new Int32Array(buffer, address, length);
      case "bool":
        return new Uint8Array(buffer, address, length);
    }
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
