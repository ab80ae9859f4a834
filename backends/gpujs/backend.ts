/**
 * The `gpujs` backend: kernels as gpu.js source, in one of its modes. A buffer is a slot for the latest result object; running a kernel
 * replaces it, so values stay where the mode keeps them until they are asked for. Some modes answer with promises, which gpu.js does not
 * take as arguments: so all work waits in one chain.
 */
import type { GPU, IGPUKernelSettings, IKernelRunShortcut } from "gpu.js";
import { type DType, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import type { AnyKernel, Kernel, Template } from "../../engine/kernel/ir.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime } from "../backend.js";
import { emitLoops, type Program } from "./emit.js";
import { maxExact } from "./language.js";
import type { Mode } from "./modes.js";

/** A result that gpu.js keeps on its device. */
interface Resident {
  toArray(): ArrayLike<number> | Promise<ArrayLike<number>>;
  delete(): void;
}
/** What a kernel gives and takes: host data in the modes that compute on the host. */
type Value = Float32Array | Resident;

interface GpujsBuffer extends BufferHandle {
  value: Value | null;
}

interface Part {
  readonly program: Program;
  readonly key: string;
}

interface GpujsExecutable extends Executable {
  readonly parts: readonly Part[];
}

export interface GpujsOptions {
  /** Refuse to hold more than this. */
  readonly maxBytes?: number;
  /** Compiled kernels kept, those used last; what is dropped is compiled again when it is next run. Default 4096. */
  readonly maxKernels?: number;
}

const isResident = (value: Value): value is Resident => !(value instanceof Float32Array);

const inexact = (value: number): string =>
  `the integer ${value} is beyond ±${maxExact}, where gpu.js, which computes in float32, is not exact`;

export class GpujsBackend implements Backend {
  readonly name: string;
  readonly limits: BackendLimits;
  private readonly live = new Set<GpujsBuffer>();
  private readonly kernels = new Map<string, IKernelRunShortcut>();
  private readonly printed = new WeakMap<Kernel, readonly Program[] | string>();
  private bytes = 0;
  private destroyed = false;
  private failure: BackendError | null = null;
  private tail: Promise<void> = Promise.resolve();

  constructor(
    private readonly mode: Mode,
    private readonly gpu: GPU,
    private readonly options: GpujsOptions = {},
    /** Of the description: where the mode computes. */
    private readonly place = "",
  ) {
    this.name = `gpujs:${mode.name}`;
    this.limits = {
      dtypes: ["float32", "int32", "bool"],
      elementBytes: { float32: 4, float64: 8, int32: 4, bool: 4 },
      maxExactInteger: maxExact,
      maxBuffersPerKernel: mode.maxArguments,
      maxOutputs: 1,
      maxBufferBytes: 4 * mode.maxLength,
    };
  }

  describe(): string {
    return `${this.name}: kernels compiled by gpu.js, ${this.mode.about}${this.place}`;
  }

  /** Buffers that were not freed. */
  get buffers(): number {
    return this.live.size;
  }

  /** Live buffers whose values gpu.js keeps on its device. */
  get residents(): number {
    return [...this.live].filter(({ value }) => value !== null && isResident(value)).length;
  }

  allocate(dtype: DType, length: number): BufferHandle {
    this.check();
    const { dtypes, maxBufferBytes, elementBytes } = this.limits;
    if (!dtypes.includes(dtype)) throw new BackendError(this.name, `gpu.js computes in float32 and has no ${dtype}`);
    const wanted = length * elementBytes[dtype];
    if (wanted > maxBufferBytes) {
      throw new BackendError(this.name, `a buffer of ${wanted} bytes is larger than the ${maxBufferBytes} allowed`);
    }
    const most = this.options.maxBytes ?? Infinity;
    if (this.bytes + wanted > most) throw new BackendError(this.name, `no room for ${wanted} bytes: ${this.bytes} of ${most} are in use`);
    const buffer: GpujsBuffer = { dtype, length, value: null };
    this.live.add(buffer);
    this.bytes += wanted;
    return buffer;
  }

  free(handle: BufferHandle): void {
    this.check();
    const buffer = this.own(handle);
    this.live.delete(buffer);
    this.bytes -= buffer.length * this.limits.elementBytes[buffer.dtype];
    this.queue(() => replace(buffer, null));
  }

  upload(handle: BufferHandle, data: TypedArray): void {
    this.check();
    const buffer = this.own(handle);
    const { dtype, length } = buffer;
    if (data.constructor !== hostArray(dtype, 0).constructor) {
      throw new BackendError(this.name, `upload of ${data.constructor.name} to a ${dtype} buffer`);
    }
    if (data.length > length) throw new BackendError(this.name, `upload of ${data.length} elements to a buffer of ${length}`);
    if (dtype === "int32") for (const value of data) if (Math.abs(value) > maxExact) throw new BackendError(this.name, inexact(value));
    const copy = Float32Array.from(data);
    if (length === 0) return;
    this.queue(async () => {
      let whole = copy;
      if (copy.length < length) {
        whole = new Float32Array(length);
        if (buffer.value !== null) whole.set(await contents(buffer.value));
        whole.set(copy);
      }
      replace(buffer, this.mode.isResident ? await this.copyIn(whole) : whole);
    });
  }

  async download(handle: BufferHandle, length: number): Promise<TypedArray> {
    this.check();
    const buffer = this.own(handle);
    if (length > buffer.length) throw new BackendError(this.name, `download of ${length} elements from a buffer of ${buffer.length}`);
    const result = hostArray(buffer.dtype, length);
    const done = this.tail.then(async () => {
      const { failure } = this;
      this.failure = null;
      if (failure !== null) throw failure;
      if (buffer.value === null || length === 0) return;
      const values = await contents(buffer.value);
      for (let i = 0; i < Math.min(length, values.length); i++) result[i] = this.stored(values[i], buffer.dtype);
    });
    this.tail = done.catch(() => {});
    await done;
    return result;
  }

  private stored(value: number, dtype: DType): number {
    if (dtype === "int32" && !(Math.abs(value) <= maxExact)) {
      throw new BackendError(this.name, `an int32 result is beyond ±${maxExact}, where gpu.js, which computes in float32, is not exact`);
    }
    return value;
  }

  acceptsTemplate(template: Template): string {
    return `a gpu.js kernel returns one value a thread, and ${template.name} transforms whole lines`;
  }

  accepts(kernel: Kernel): true | string {
    const programs = this.programs(kernel);
    return typeof programs === "string" ? programs : true;
  }

  compile(kernel: Kernel): Executable {
    this.check();
    const programs = this.programs(kernel);
    if (typeof programs === "string") throw new BackendError(this.name, `${kernel.name}: ${programs}`);
    const parts = programs.map((program): Part => ({ program, key: keyOf(program) }));
    const source = programs.map(({ functions, source }) => [...functions, source].join("\n")).join("\n");
    return { kernel, source, parts } as GpujsExecutable;
  }

  /** What a kernel becomes, or why it cannot be run; printed once, although the scheduler asks before it compiles. */
  private programs(kernel: Kernel): readonly Program[] | string {
    let known = this.printed.get(kernel);
    if (known === undefined) {
      known = this.print(kernel);
      this.printed.set(kernel, known);
    }
    return known;
  }

  private print(kernel: Kernel): readonly Program[] | string {
    if (kernel.kind === "template") return this.acceptsTemplate(kernel.template);
    const { maxBuffersPerKernel, maxBufferBytes } = this.limits;
    if (kernel.buffers.length > maxBuffersPerKernel) return `${kernel.buffers.length} buffers; ${maxBuffersPerKernel} are allowed`;
    if (kernel.buffers.some(({ length }) => 4 * length > maxBufferBytes)) return `a buffer of more than ${maxBufferBytes} bytes`;
    return emitLoops(kernel, this.mode.language);
  }

  /** gpu.js compiles it at the first call, with the arguments at hand. */
  private kernel({ program, key }: Part): IKernelRunShortcut {
    let known = this.kernels.get(key);
    if (known === undefined) {
      const { source, functions, constants, shape } = program;
      known = this.gpu.createKernel(source, {
        output: [...shape],
        pipeline: true,
        immutable: true,
        dynamicArguments: true,
        constants,
        functions: functions.map((text) => ({ source: text, settings: {} })),
        ...this.mode.settings,
      } as unknown as IGPUKernelSettings);
    } else this.kernels.delete(key);
    this.keep(key, known);
    return known;
  }

  /** Each has a memory of its own as WebAssembly, of which a process has only so many; gpu.js lists all that it made for ever. */
  private keep(key: string, used: IKernelRunShortcut): void {
    const { kernels, options } = this;
    const { maxKernels = 4096 } = options;
    kernels.set(key, used);
    if (kernels.size > maxKernels) kernels.delete(kernels.keys().next().value as string);
    const { kernels: listed } = this.gpu as unknown as { readonly kernels: unknown[] };
    listed.splice(0, listed.length - maxKernels);
  }

  private copyIn(data: Float32Array): Promise<Value> {
    const source = "function (b0) {\n  return b0[this.thread.x];\n}";
    const program: Program = { source, functions: [], constants: {}, parameters: [0], output: 0, keeps: false, shape: [data.length] };
    return this.call("upload", { program, key: keyOf(program) }, [data]);
  }

  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void {
    this.check();
    let bound: readonly { executable: Executable; buffers: readonly GpujsBuffer[] }[];
    try {
      bound = launches.map(({ executable, buffers }) => ({ executable, buffers: this.bind(executable.kernel, buffers) }));
    } catch (error) {
      this.queue(() => {
        throw error;
      });
      return;
    }
    this.queue(async () => {
      const measured: LaunchTime[] = [];
      for (const { executable, buffers } of bound) {
        const started = performance.now();
        try {
          await this.launch(executable as GpujsExecutable, buffers);
        } catch (cause) {
          const reason = cause instanceof Error ? cause.message : String(cause);
          throw new BackendError(this.name, `${executable.kernel.name} failed: ${reason}\n${executable.source}`, { cause });
        }
        measured.push({ name: executable.kernel.name, milliseconds: performance.now() - started });
      }
      times?.(measured);
    });
  }

  /** All parts read what was there before the first. */
  private async launch({ kernel, parts }: GpujsExecutable, buffers: readonly GpujsBuffer[]): Promise<void> {
    const before = buffers.map(({ value }) => value);
    const results = new Map<number, Value>();
    const argument = async (value: Value | null, length: number): Promise<Value> => value ?? this.zeros(length);
    for (const part of parts) {
      const { parameters, output, keeps } = part.program;
      const values = await Promise.all(parameters.map((i) => argument(before[i], kernel.buffers[i].length)));
      const earlier = results.get(output);
      if (keeps) values.push(await argument(earlier ?? before[output], kernel.buffers[output].length));
      results.set(output, await this.call(kernel.name, part, values));
      if (earlier !== undefined && isResident(earlier)) earlier.delete();
    }
    for (const [i, value] of results) replace(buffers[i], value);
  }

  private async zeros(length: number): Promise<Value> {
    // gpu.js takes no empty arguments.
    const data = new Float32Array(Math.max(length, 1));
    return this.mode.isResident ? this.copyIn(data) : data;
  }

  private async call(what: string, part: Part, values: readonly Value[]): Promise<Value> {
    const run = this.kernel(part);
    const result = (await run(...(values as readonly Float32Array[]))) as unknown as Value | readonly Float32Array[];
    const { fallbackReason } = run as unknown as { fallbackReason: string | null };
    if (fallbackReason) throw new BackendError(this.name, `gpu.js would run ${what} on its cpu mode: ${fallbackReason}`);
    // Rows are parts of one array.
    return Array.isArray(result) ? new Float32Array(result[0].buffer) : (result as Value);
  }

  private bind(kernel: AnyKernel, buffers: readonly BufferHandle[]): readonly GpujsBuffer[] {
    if (buffers.length !== kernel.buffers.length)
      throw new BackendError(this.name, `${buffers.length} buffers for ${kernel.buffers.length}`);
    return kernel.buffers.map(({ dtype, length }, i) => {
      const own = this.own(buffers[i]);
      if (own.dtype === dtype && own.length >= length) return own;
      throw new BackendError(this.name, `buffer ${i} is ${own.dtype}[${own.length}], must be ${dtype}[${length}]`);
    });
  }

  destroy(): void {
    const { live } = this;
    this.destroyed = true;
    this.queue(async () => {
      for (const buffer of live) replace(buffer, null);
      live.clear();
      this.kernels.clear();
      await this.gpu.destroy();
    });
  }

  /** Does it after all that was queued before. What fails rejects the next download. */
  private queue(action: () => void | Promise<void>): void {
    this.tail = this.tail.then(action).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.failure ??= cause instanceof BackendError ? cause : new BackendError(this.name, reason, { cause });
    });
  }

  private check(): void {
    if (this.destroyed) throw new BackendError(this.name, "used after destroy()");
  }

  private own(buffer: BufferHandle): GpujsBuffer {
    const own = buffer as GpujsBuffer;
    if (!this.live.has(own)) {
      throw new BackendError(this.name, `a ${buffer.dtype} buffer of ${buffer.length} elements was freed, or belongs to another backend`);
    }
    return own;
  }
}

const keyOf = ({ shape, source }: Program): string => `${shape.join(" ")} ${source}`;

async function contents(value: Value): Promise<ArrayLike<number>> {
  return isResident(value) ? await value.toArray() : value;
}

function replace(buffer: GpujsBuffer, value: Value | null): void {
  const old = buffer.value;
  buffer.value = value;
  if (old !== null && old !== value && isResident(old)) old.delete();
}
