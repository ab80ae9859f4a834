/** The `cpu` backend: every kernel becomes plain JavaScript. With the interpreter of the IR it defines what is right. */

import { type DType, dtypeBytes, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import type { AnyKernel, Kernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime } from "../backend.js";
import { lineLengths, makeTransform, type Transform } from "../loops/lines.js";
import { emitLoops } from "./emit.js";
import { emitTemplate } from "./line.js";
import { helpers } from "./scalar.js";

export interface CpuOptions {
  /** The interpreter of the IR, to run it instead of printed code: slow, and the plainest meaning of a kernel. */
  readonly interpret?: (kernel: Kernel, buffers: readonly TypedArray[]) => void;
  /** Refuse to hold more than this. */
  readonly maxBytes?: number;
  /** Work (points times rounds of their reductions) from which on loops are tiled; tests tile everything. */
  readonly tileFrom?: number;
}

type Code = (buffers: readonly TypedArray[]) => void;

interface CpuBuffer extends BufferHandle {
  readonly data: TypedArray;
}

interface CpuExecutable extends Executable {
  readonly run: Code;
}

const name = "cpu";

/** Code by its text, for every backend of the process: it has no state but the line that it works on. */
const compiled = new Map<string, Code>();
const maxCached = 4096;

/** Opens plain JavaScript printed from the kernel IR, or with `interpret` what is given there. */
export function createCpuBackend(options: CpuOptions = {}): Backend {
  return new CpuBackend(options);
}

class CpuBackend implements Backend {
  readonly name = name;
  readonly limits: BackendLimits = {
    dtypes: ["float32", "float64", "int32", "bool"],
    elementBytes: dtypeBytes,
    maxExactInteger: 2 ** 31 - 1,
    maxBuffersPerKernel: 1024,
    maxOutputs: 64,
    maxBufferBytes: 2 ** 32,
  };
  private readonly live = new Set<CpuBuffer>();
  private bytes = 0;
  private destroyed = false;
  private failure: BackendError | null = null;

  constructor(private readonly options: CpuOptions) {}

  describe(): string {
    return this.options.interpret ? "cpu: the kernel IR, interpreted" : "cpu: kernels printed as JavaScript, on one thread";
  }

  allocate(dtype: DType, length: number): BufferHandle {
    this.check();
    const wanted = length * dtypeBytes[dtype];
    const most = this.options.maxBytes ?? Infinity;
    if (wanted > this.limits.maxBufferBytes) {
      throw new BackendError(name, `a buffer of ${wanted} bytes is larger than the ${this.limits.maxBufferBytes} allowed`);
    }
    if (this.bytes + wanted > most) {
      throw new BackendError(name, `no room for ${wanted} bytes: ${this.bytes} of ${most} are in use`);
    }
    let data: TypedArray;
    try {
      data = hostArray(dtype, length);
    } catch (cause) {
      throw new BackendError(name, `no room for ${wanted} bytes`, { cause });
    }
    const buffer: CpuBuffer = { dtype, length, data };
    this.live.add(buffer);
    this.bytes += wanted;
    return buffer;
  }

  free(buffer: BufferHandle): void {
    this.check();
    const own = this.own(buffer);
    this.live.delete(own);
    this.bytes -= own.data.byteLength;
  }

  upload(buffer: BufferHandle, data: TypedArray): void {
    this.check();
    const { dtype, length, data: target } = this.own(buffer);
    if (data.constructor !== target.constructor) throw new BackendError(name, `upload of ${data.constructor.name} to a ${dtype} buffer`);
    if (data.length > length) throw new BackendError(name, `upload of ${data.length} elements to a buffer of ${length}`);
    target.set(data);
  }

  async download(buffer: BufferHandle, length: number): Promise<TypedArray> {
    this.check();
    const { data } = this.own(buffer);
    if (length > data.length) throw new BackendError(name, `download of ${length} elements from a buffer of ${data.length}`);
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    return data.slice(0, length);
  }

  acceptsTemplate(): true {
    return true;
  }

  accepts(kernel: Kernel): true | string {
    const { maxBuffersPerKernel, maxOutputs } = this.limits;
    if (kernel.buffers.length > maxBuffersPerKernel) return `${kernel.buffers.length} buffers; ${maxBuffersPerKernel} are allowed`;
    if (kernel.stores.length > maxOutputs) return `${kernel.stores.length} stores; ${maxOutputs} are allowed`;
    if (kernel.kind === "template") {
      const elements = pointCount(kernel.lineIn);
      const expected = lineLengths(kernel.template)[0];
      if (elements !== expected) return `lineIn has ${elements} elements; ${kernel.template.name} wants ${expected}`;
    }
    return true;
  }

  compile(kernel: Kernel): Executable {
    this.check();
    const accepted = this.accepts(kernel);
    if (accepted !== true) throw new BackendError(name, `${kernel.name}: ${accepted}`);
    const source = kernel.kind === "template" ? emitTemplate(kernel) : emitLoops(kernel, this.options.tileFrom);
    const { interpret } = this.options;
    if (interpret) return executable(kernel, source, (buffers) => interpret(kernel, buffers));
    // Two templates may print the same loops around different transforms.
    const key = kernel.kind === "template" ? `${JSON.stringify(kernel.template)} ${kernel.input.dtype}\n${source}` : source;
    let run = compiled.get(key);
    if (run === undefined) {
      run = load(kernel, source);
      if (compiled.size >= maxCached) compiled.delete(compiled.keys().next().value as string);
      compiled.set(key, run);
    }
    return executable(kernel, source, run);
  }

  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void {
    this.check();
    const measured: LaunchTime[] = [];
    for (const { executable, buffers } of launches) {
      const { kernel, run } = executable as CpuExecutable;
      const started = performance.now();
      try {
        run(this.bind(kernel, buffers));
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        this.failure ??= new BackendError(name, `${kernel.name} failed: ${reason}`, { cause });
        break;
      }
      measured.push({ name: kernel.name, milliseconds: performance.now() - started });
    }
    times?.(measured);
  }

  private bind(kernel: AnyKernel, buffers: readonly BufferHandle[]): TypedArray[] {
    if (buffers.length !== kernel.buffers.length) throw new BackendError(name, `${buffers.length} buffers for ${kernel.buffers.length}`);
    return kernel.buffers.map(({ dtype, length }, i) => {
      const { data, ...given } = this.own(buffers[i]);
      if (given.dtype === dtype && given.length >= length) return data;
      throw new BackendError(name, `buffer ${i} is ${given.dtype}[${given.length}], must be ${dtype}[${length}]`);
    });
  }

  destroy(): void {
    this.live.clear();
    this.bytes = 0;
    this.destroyed = true;
  }

  private check(): void {
    if (this.destroyed) throw new BackendError(name, "used after destroy()");
  }

  private own(buffer: BufferHandle): CpuBuffer {
    const own = buffer as CpuBuffer;
    if (!this.live.has(own))
      throw new BackendError(name, `a ${buffer.dtype} buffer of ${buffer.length} elements was freed, or belongs to another backend`);
    return own;
  }
}

const executable = (kernel: Kernel, source: string, run: Code): CpuExecutable => ({ kernel, source, run });

/** Compiles printed text, which names no kernel, so that equal ones share their code. */
function load(kernel: Kernel, source: string): Code {
  const names = Object.keys(helpers);
  const extra: [string, unknown][] = kernel.kind === "template" ? lineArguments(kernel) : [];
  try {
    const make = new Function(...names, ...extra.map(([key]) => key), `"use strict";\n${source}`);
    const code = make(...Object.values(helpers), ...extra.map(([, value]) => value)) as (...buffers: TypedArray[]) => void;
    return (buffers) => code(...buffers);
  } catch (cause) {
    throw new BackendError(name, `${kernel.name} does not compile: ${cause instanceof Error ? cause.message : cause}\n${source}`, {
      cause,
    });
  }
}

function lineArguments(kernel: Kernel & { kind: "template" }): [string, unknown][] {
  const [input, output] = lineLengths(kernel.template);
  const transform: Transform = makeTransform(kernel.template, kernel.input.dtype);
  return [
    ["input", new Float64Array(input)],
    ["output", new Float64Array(output)],
    ["transform", transform],
  ];
}
