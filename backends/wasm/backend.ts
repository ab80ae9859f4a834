/** The `wasm` backend: every kernel becomes a WebAssembly module over one memory. */
import { type DType, dtypeBytes, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import type { Kernel, LoopKernel, TemplateKernel } from "../../engine/kernel/ir.js";
import { printKernel } from "../../engine/kernel/print.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime } from "../backend.js";
import { makeTransform } from "../loops/lines.js";
import { floats, get, Locals, ModuleWriter, v128 } from "./binary.js";
import { compileLoops } from "./emit.js";
import { lineKernels } from "./lines.js";
import { ConstantTable, imports } from "./math.js";
import { addressable, Heap } from "./memory.js";

export interface WasmOptions {
  /** Refuse to hold more than this. */
  readonly maxBytes?: number;
  /** `false`: no fused multiply-add, even where the runtime has it. */
  readonly relaxed?: boolean;
}

type Run = (...addresses: number[]) => void;

interface WasmBuffer extends BufferHandle {
  readonly address: number;
  readonly bytes: number;
}

interface WasmExecutable extends Executable {
  readonly run: Run;
}

const name = "wasm";
/** Modules kept for kernels of the same text. */
const maxCached = 4096;

/** Whether this runtime takes relaxed multiply-add; in Node 20 it must be asked for. */
async function hasRelaxed(): Promise<boolean> {
  const module = new ModuleWriter();
  const sum = floats.relaxedMadd(get(0), get(1), get(2));
  module.export("madd", module.addFunction([v128, v128, v128], [v128], new Locals(3), sum));
  const bytes = module.finish();
  if (WebAssembly.validate(bytes)) return true;
  try {
    // Not a literal, so that no bundler follows it into a page.
    const builtin = "node:v8";
    const v8 = (await import(/* @vite-ignore */ builtin)) as typeof import("node:v8");
    v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  } catch {
    return false;
  }
  return WebAssembly.validate(bytes);
}

export async function createWasmBackend(options: WasmOptions = {}): Promise<Backend> {
  const relaxed = options.relaxed !== false && (await hasRelaxed());
  return new WasmBackend(options, relaxed);
}

class WasmBackend implements Backend {
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
  private readonly live = new Set<WasmBuffer>();
  private readonly compiled = new Map<string, { run: Run; source: string }>();
  private destroyed = false;
  private failure: BackendError | null = null;

  constructor(
    options: WasmOptions,
    private readonly relaxed: boolean,
  ) {
    this.heap = new Heap(Math.min(options.maxBytes ?? addressable, addressable));
    this.constants = new ConstantTable(this.heap.memory);
  }

  describe(): string {
    return `wasm: kernels compiled to WebAssembly with ${this.relaxed ? "relaxed SIMD" : "SIMD"}, on one thread`;
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
    const target = this.view(own.dtype, own.address, own.length);
    if (data.constructor !== target.constructor)
      throw new BackendError(name, `upload of ${data.constructor.name} to a ${own.dtype} buffer`);
    if (data.length > own.length) throw new BackendError(name, `upload of ${data.length} elements to a buffer of ${own.length}`);
    target.set(data);
  }

  async download(buffer: BufferHandle, length: number): Promise<TypedArray> {
    this.check();
    const own = this.own(buffer);
    if (length > own.length) throw new BackendError(name, `download of ${length} elements from a buffer of ${own.length}`);
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    const result = hostArray(own.dtype, length);
    result.set(this.view(own.dtype, own.address, length));
    return result;
  }

  acceptsTemplate(): true {
    return true;
  }

  accepts(kernel: Kernel): true | string {
    const { maxBuffersPerKernel, maxOutputs } = this.limits;
    if (kernel.buffers.length > maxBuffersPerKernel) return `${kernel.buffers.length} buffers; ${maxBuffersPerKernel} are allowed`;
    if (kernel.stores.length > maxOutputs) return `${kernel.stores.length} stores; ${maxOutputs} are allowed`;
    return true;
  }

  compile(kernel: Kernel): Executable {
    this.check();
    const accepted = this.accepts(kernel);
    if (accepted !== true) throw new BackendError(name, `${kernel.name}: ${accepted}`);
    const { run, source } = kernel.kind === "loops" ? this.loops(kernel) : this.template(kernel);
    return { kernel, source, run } as WasmExecutable;
  }

  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void {
    this.check();
    const measured: LaunchTime[] = [];
    for (const { executable, buffers } of launches) {
      const { kernel, run } = executable as WasmExecutable;
      const started = times === undefined ? 0 : performance.now();
      try {
        run(...buffers.map((buffer) => this.own(buffer).address));
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        this.failure ??= new BackendError(name, `${kernel.name} failed: ${reason}`, { cause });
        break;
      }
      if (times !== undefined) measured.push({ name: kernel.name, milliseconds: performance.now() - started });
    }
    times?.(measured);
  }

  destroy(): void {
    this.live.clear();
    this.compiled.clear();
    this.destroyed = true;
  }

  private loops(kernel: LoopKernel): { run: Run; source: string } {
    // The name says nothing of what is computed.
    const source = printKernel({ ...kernel, name: "kernel" });
    let known = this.compiled.get(source);
    if (known === undefined) {
      known = { run: this.load(kernel, source), source };
      if (this.compiled.size >= maxCached) this.compiled.delete(this.compiled.keys().next().value as string);
      this.compiled.set(source, known);
    }
    return known;
  }

  private load(kernel: LoopKernel, source: string): Run {
    try {
      const { bytes, phases, scratch } = compileLoops(kernel, { relaxed: this.relaxed, shared: false, constants: this.constants });
      const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: this.heap.memory }, math: imports });
      const run: Run = (...addresses) => {
        phases.forEach(({ steps }, i) => {
          (instance.exports[`phase${i}`] as Run)(...addresses, 0, steps);
        });
      };
      return scratch.length === 0 ? run : this.withScratch(run, scratch);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new BackendError(name, `${kernel.name} does not compile: ${reason}\n${source}`, { cause });
    }
  }

  private withScratch(run: Run, lengths: readonly number[]): Run {
    return (...addresses) => {
      const blocks: number[] = [];
      try {
        for (const length of lengths) blocks.push(this.heap.allocate(4 * length));
        run(...addresses, ...blocks);
      } finally {
        blocks.forEach((address, i) => {
          this.heap.free(address, 4 * lengths[i]);
        });
      }
    };
  }

  private template(kernel: TemplateKernel): { run: Run; source: string } {
    const { gather, scatter, lines, lengthIn, lengthOut } = lineKernels(kernel);
    const { dtype } = kernel.input;
    const [before, after] = [this.loops(gather), this.loops(scatter)];
    const source = `${before.source}\n${JSON.stringify(kernel.template)}\n${after.source}`;
    if (lines === 0) return { run: () => {}, source };
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
    return { run, source };
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
