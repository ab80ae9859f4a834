/** The `webgpu` backend: every kernel becomes a WGSL compute shader, in Node (package `webgpu`) and in browsers alike. */

import { type DType, hostArray, type TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import type { Kernel, Template } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import type { Backend, BackendLimits, BufferHandle, Executable, Launch, LaunchTime } from "../backend.js";
import { type AdapterOptions, type Opened, openDevice, reasonOf, usage } from "./adapter.js";
import { emitLoops } from "./emit.js";
import { emitLines, sharedBytes } from "./lines.js";
import { restDuring } from "./node.js";
import { type Pipeline, Pipelines } from "./pipelines.js";
import { type Cost, Queue, type QueueOptions, type Work } from "./queue.js";
import { inScopes } from "./scopes.js";
import { type Constants, maxPoints } from "./shader.js";
import { Staging } from "./staging.js";
import { subgroupSize } from "./subgroups.js";
import { hardwareMachine, type Machine, softwareMachine } from "./tile.js";
import { runTimed } from "./timing.js";
import type { MakeTuner, Tuned, Tuner } from "./tuner.js";

export interface WebgpuOptions extends AdapterOptions {
  /** Refuse to hold more than this. */
  readonly maxBytes?: number;
  /** How much is queued before the host waits, and how long one submit may take. */
  readonly queue?: QueueOptions;
  /** Which kind of adapter kernels are written for. By default the kind that this one is. */
  readonly kernels?: "software" | "hardware";
  /** Which of a kernel's schedules is taken, from the one that should be fastest (0, the default) on. All give the same bits. */
  readonly schedule?: number;
  /**
   * `tuner()`: measure schedules of kernels that have much to do, and take the fastest. By default none are: a kernel's first compilation on an
   * adapter then takes as long as compiling and running some eight of them. Without effect beside `schedule`.
   */
  readonly tune?: MakeTuner;
}

interface WebgpuBuffer extends BufferHandle {
  readonly id: number;
  readonly buffer: GPUBuffer;
}

interface WebgpuExecutable extends Executable {
  /** Null where the kernel has nothing to do. */
  readonly pipeline: Pipeline | null;
  readonly groups: readonly [number, number];
  readonly cost: Cost;
  /** Bound after the launch's buffers. */
  readonly constants: GPUBuffer | null;
}

const name = "webgpu";

/** Bind groups kept for each pipeline: a step may update hundreds of parameters of one shape by one kernel. */
const maxBindGroups = 1024;

/** Opens a device on an adapter of its own. */
export async function createWebgpuBackend(options: WebgpuOptions = {}): Promise<Backend> {
  const opened = await openDevice(options);
  return new WebgpuBackend(opened, options, await subgroupSize(opened.device));
}

class WebgpuBackend implements Backend {
  readonly name = name;
  readonly limits: BackendLimits;
  private readonly device: GPUDevice;
  private readonly machine: Machine;
  private readonly pipelines: Pipelines;
  private readonly staging: Staging;
  private readonly queue: Queue;
  private readonly awaits: (done: Promise<unknown>) => void;
  private readonly tuner: Tuner | null;
  private readonly live = new Set<WebgpuBuffer>();
  /** What shaders read besides a kernel's buffers, by key. */
  private readonly constants = new Map<string, GPUBuffer>();
  private readonly bindGroups = new WeakMap<Pipeline, Map<string, GPUBindGroup>>();
  /** Verdicts on what was submitted, not all of them in yet. */
  private checks: Promise<void>[] = [];
  private failure: BackendError | null = null;
  private lost: string | null = null;
  private destroyed = false;
  private bytes = 0;
  private buffersMade = 0;

  constructor(
    private readonly opened: Opened,
    private readonly options: WebgpuOptions,
    members: number,
  ) {
    const { device } = opened;
    this.device = device;
    const { limits } = device;
    this.limits = {
      dtypes: ["float32", "int32", "bool"],
      elementBytes: { float32: 4, float64: 8, int32: 4, bool: 4 },
      maxExactInteger: 2 ** 31 - 1,
      maxBuffersPerKernel: limits.maxStorageBuffersPerShaderStage,
      maxOutputs: limits.maxStorageBuffersPerShaderStage,
      maxBufferBytes: Math.floor(Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize) / 4) * 4,
    };
    const kind = options.kernels ?? (opened.isSoftware ? "software" : "hardware");
    this.machine = kind === "software" ? { ...softwareMachine, members } : hardwareMachine;
    this.pipelines = new Pipelines(device);
    this.staging = new Staging(device);
    this.awaits = opened.isSoftware ? restDuring : () => {};
    this.queue = new Queue(device, options.queue, this.awaits);
    const { machine, pipelines, staging } = this;
    const room = (): number => (options.maxBytes ?? Infinity) - this.bytes;
    const tune = options.schedule === undefined ? options.tune : undefined;
    this.tuner = tune?.({ adapter: opened.description, machine, device, pipelines, staging, room }) ?? null;
    device.addEventListener("uncapturederror", ({ error }) => {
      this.failure ??= new BackendError(name, error.message);
    });
    void device.lost.then(({ reason, message }) => {
      if (!this.destroyed) {
        const why = [reason, message].filter(Boolean).join(": ");
        this.lost = `the device was lost (${why}), and the tensors on it with it; open another with device("${name}") and load what was saved`;
      }
    });
  }

  describe(): string {
    return `webgpu: kernels printed as WGSL, on ${this.opened.description}${this.tuner === null ? "" : `, ${this.tuner.describe()}`}`;
  }

  allocate(dtype: DType, length: number): BufferHandle {
    this.check();
    const { maxBufferBytes, elementBytes, dtypes } = this.limits;
    if (!dtypes.includes(dtype)) throw new BackendError(name, `WGSL has no ${dtype}`);
    // An empty buffer could not be bound.
    const size = Math.max(1, length) * elementBytes[dtype];
    if (size > maxBufferBytes) throw new BackendError(name, `a buffer of ${size} bytes is larger than the ${maxBufferBytes} allowed`);
    const most = this.options.maxBytes ?? Infinity;
    if (this.bytes + size > most) throw new BackendError(name, `no room for ${size} bytes: ${this.bytes} of ${most} are in use`);
    const { made: buffer, error } = inScopes(this.device, () =>
      this.device.createBuffer({ size, usage: usage.storage | usage.copySource | usage.copyTarget }),
    );
    this.expectNoError(error, `no room for ${size} bytes beside the ${this.bytes} in use`, "; take smaller batches, or checkpoint()");
    const own: WebgpuBuffer = { dtype, length, id: this.buffersMade++, buffer };
    this.live.add(own);
    this.bytes += size;
    return own;
  }

  free(buffer: BufferHandle): void {
    // The collector's safety net comes by when it likes.
    if (this.destroyed) return;
    const own = this.own(buffer);
    this.live.delete(own);
    this.bytes -= own.buffer.size;
    // What was submitted still finds it.
    own.buffer.destroy();
  }

  upload(buffer: BufferHandle, data: TypedArray): void {
    this.check();
    const { dtype, length, buffer: target } = this.own(buffer);
    if (data.constructor !== hostArray(dtype, 0).constructor)
      throw new BackendError(name, `upload of ${data.constructor.name} to a ${dtype} buffer`);
    if (data.length > length) throw new BackendError(name, `upload of ${data.length} elements to a buffer of ${length}`);
    if (data.length === 0) return;
    this.device.queue.writeBuffer(target, 0, dtype === "bool" ? Uint32Array.from(data) : unshared(data));
  }

  async download(buffer: BufferHandle, length: number): Promise<TypedArray> {
    this.check();
    const { dtype, length: most, buffer: source } = this.own(buffer);
    if (length > most) throw new BackendError(name, `download of ${length} elements from a buffer of ${most}`);
    const checks = this.checks;
    this.checks = [];
    let bytes = new ArrayBuffer(0);
    let broken: unknown = null;
    try {
      if (length > 0) bytes = await this.staging.read(source, 4 * length);
    } catch (error) {
      broken = error;
    }
    await Promise.all(checks);
    // The loss is told of at about the time at which reads break.
    if (broken !== null && !this.destroyed) await Promise.race([this.device.lost, new Promise((later) => setTimeout(later, 100))]);
    const { failure } = this;
    this.failure = null;
    if (this.lost !== null) throw new BackendError(name, this.lost);
    if (this.destroyed) throw new BackendError(name, "destroyed before the result was read");
    if (failure !== null) throw failure;
    if (broken !== null) throw new BackendError(name, `the result cannot be read: ${reasonOf(broken)}`, { cause: broken });
    switch (dtype) {
      case "bool":
        return Uint8Array.from(new Uint32Array(bytes));
      case "int32":
        return new Int32Array(bytes);
      default:
        return new Float32Array(bytes);
    }
  }

  acceptsTemplate(template: Template, dtype: DType): true | string {
    if (!this.limits.dtypes.includes(dtype)) return `WGSL has no ${dtype}`;
    const most = this.device.limits.maxComputeWorkgroupStorageSize;
    const bytes = sharedBytes(template);
    return bytes <= most ? true : `a line takes ${bytes} bytes of a workgroup's memory; ${most} are allowed`;
  }

  accepts(kernel: Kernel): true | string {
    const { maxBuffersPerKernel, maxBufferBytes, elementBytes, dtypes } = this.limits;
    if (kernel.kind === "template") {
      const accepted = this.acceptsTemplate(kernel.template, kernel.input.dtype);
      if (accepted !== true) return accepted;
    }
    const more = kernel.kind === "template" && sharedBytes(kernel.template) > 0 ? 1 : 0;
    if (kernel.buffers.length + more > maxBuffersPerKernel) return `${kernel.buffers.length} buffers; ${maxBuffersPerKernel} are allowed`;
    for (const { dtype, length } of kernel.buffers) {
      if (!dtypes.includes(dtype)) return `WGSL has no ${dtype}`;
      const bytes = length * elementBytes[dtype];
      if (bytes > maxBufferBytes) return `a buffer of ${bytes} bytes; ${maxBufferBytes} are allowed`;
    }
    const points = pointCount(kernel.axes);
    return points <= maxPoints ? true : `${points} points; ${maxPoints} are allowed`;
  }

  async compile(kernel: Kernel): Promise<WebgpuExecutable> {
    this.check();
    const accepted = this.accepts(kernel);
    if (accepted !== true) throw new BackendError(name, `${kernel.name}: ${accepted}`);
    const { program, note } = await this.emit(kernel).catch((error: unknown) => this.explain(error));
    const cost = { milliseconds: null };
    if (program === null)
      return { kernel, source: "// an axis is empty: nothing to do\n", pipeline: null, groups: [0, 0], cost, constants: null };
    const { source, groups, constants } = program;
    const compiled = this.pipelines.get(kernel, source, constants !== null);
    this.awaits(compiled);
    const pipeline = await compiled.catch((error: unknown) => this.explain(error));
    return { kernel, source: (note ?? "") + source, pipeline, groups, cost, constants: constants && this.constantBuffer(constants) };
  }

  private async emit(kernel: Kernel): Promise<Tuned> {
    if (kernel.kind === "template") return { program: emitLines(kernel, this.machine), note: null };
    return this.tuner?.emit(kernel) ?? { program: emitLoops(kernel, this.machine, this.options.schedule), note: null };
  }

  /** Throws the error, or the loss of the device that it came of. */
  private async explain(error: unknown): Promise<never> {
    await Promise.race([this.device.lost, new Promise((later) => setTimeout(later, 0))]);
    this.check();
    throw error;
  }

  private constantBuffer({ key, values }: Constants): GPUBuffer {
    let buffer = this.constants.get(key);
    if (buffer === undefined) {
      buffer = this.device.createBuffer({ size: values.byteLength, usage: usage.storage | usage.copyTarget });
      this.device.queue.writeBuffer(buffer, 0, values);
      this.constants.set(key, buffer);
    }
    return buffer;
  }

  run(launches: readonly Launch[], times?: (times: readonly LaunchTime[]) => void): void {
    this.check();
    const prepared: (Work & { name: string })[] = [];
    for (const { executable, buffers } of launches) {
      const { kernel, pipeline, groups, cost, constants } = executable as WebgpuExecutable;
      try {
        const own = buffers.map((buffer) => this.own(buffer));
        const bindGroup = pipeline && this.bindGroup(pipeline, own, constants);
        const encode = (pass: GPUComputePassEncoder): void => {
          if (pipeline === null) return;
          pass.setPipeline(pipeline.pipeline);
          pass.setBindGroup(0, bindGroup);
          pass.dispatchWorkgroups(groups[0], groups[1]);
        };
        prepared.push({ name: kernel.name, encode, cost });
      } catch (cause) {
        this.failure ??= new BackendError(name, `${kernel.name} failed: ${reasonOf(cause)}`, { cause });
        break;
      }
    }
    const { error } = inScopes(this.device, () => (times === undefined ? this.queue.submit(prepared) : this.timed(prepared, times)));
    this.expectNoError(error, `a run of ${launches.map(({ executable }) => executable.kernel.name).join(", ")} failed`);
  }

  room(): Promise<void> | null {
    return this.destroyed || this.lost !== null ? null : this.queue.room();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    for (const { buffer } of this.live) buffer.destroy();
    this.live.clear();
    for (const buffer of this.constants.values()) buffer.destroy();
    this.constants.clear();
    this.staging.destroy();
    this.pipelines.clear();
    this.bytes = 0;
    this.device.destroy();
  }

  private check(): void {
    if (this.destroyed) throw new BackendError(name, "used after destroy()");
    if (this.lost !== null) throw new BackendError(name, this.lost);
  }

  /** Runs launches one by one. Of a lost device there are no times; the next download says so. */
  private timed(work: readonly (Work & { name: string })[], times: (times: readonly LaunchTime[]) => void): void {
    const encodes = work.map(({ encode }) => encode);
    void runTimed(this.device, this.staging, encodes).then(
      (measured) => times(measured.map((time, i) => ({ ...time, name: work[i].name }))),
      () => times([]),
    );
  }

  /** What an error scope catches reaches the next download. */
  private expectNoError(caught: Promise<GPUError | null>, what: string, remedy = ""): void {
    const check = caught.then((error) => {
      if (error !== null) this.failure ??= new BackendError(name, `${what}: ${error.message}${remedy}`);
    });
    this.checks.push(check);
    // What has been answered need not be waited for.
    if (this.checks.length >= 1024) this.checks = [Promise.all(this.checks).then(() => {})];
  }

  private own(buffer: BufferHandle): WebgpuBuffer {
    const own = buffer as WebgpuBuffer;
    if (!this.live.has(own))
      throw new BackendError(name, `a ${buffer.dtype} buffer of ${buffer.length} elements was freed, or belongs to another backend`);
    return own;
  }

  private bindGroup(pipeline: Pipeline, buffers: readonly WebgpuBuffer[], constants: GPUBuffer | null): GPUBindGroup {
    let groups = this.bindGroups.get(pipeline);
    if (groups === undefined) {
      groups = new Map();
      this.bindGroups.set(pipeline, groups);
    }
    const key = buffers.map(({ id }) => id).join(" ");
    let group = groups.get(key);
    if (group === undefined) {
      group = this.device.createBindGroup({
        layout: pipeline.layout,
        entries: [...buffers.map(({ buffer }) => buffer), ...(constants ? [constants] : [])].map((buffer, binding) => ({
          binding,
          resource: { buffer },
        })),
      });
      if (groups.size >= maxBindGroups) groups.delete(groups.keys().next().value as string);
      groups.set(key, group);
    }
    return group;
  }
}

/** The queue takes no shared memory. */
const unshared = (data: TypedArray): Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer> =>
  (data.buffer instanceof ArrayBuffer ? data : data.slice()) as Float32Array<ArrayBuffer>;
