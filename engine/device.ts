/** Devices: a backend with its memory, its plans and its queue. The engine names no backend; whoever wants one registers it. */
import type { Backend } from "../backends/backend.js";
import { debugLog } from "./debug.js";
import type { DType, TypedArray } from "./dtype.js";
import { BackendError, OpError } from "./errors.js";
import { building, type Node } from "./graph.js";
import { PlanCache, type PlanCacheStats } from "./runtime/cache.js";
import { Executor } from "./runtime/execute.js";
import { flushEffects, readNodes, realizeNodes } from "./runtime/realize.js";
import { isTracing } from "./runtime/scalar.js";
import { BufferPool, type MemoryStats, unwatch } from "./runtime/storage.js";
import { requireVerifier, type Verifier } from "./schedule/verifier.js";
import type { Tensor } from "./tensor.js";

export interface DeviceOptions {
  /** `false` gives every operation a kernel of its own. */
  readonly fuse?: boolean;
  /** Check every kernel before it is compiled (always on at DEBUG ≥ 1). */
  readonly verify?: boolean;
  /** Further options go to the backend. */
  readonly [option: string]: unknown;
}

const FLUSH_AFTER = 10_000;

/** An open device: a backend with its buffers, plans and pending assignments. Opened by `device(name)`. */
export class Device {
  readonly pool: BufferPool;
  readonly plans: PlanCache;
  readonly executor: Executor;
  /** Handles whose newest version waits to be carried out. */
  readonly effects = new Set<Tensor>();
  readonly fuse: boolean;
  readonly verify: Verifier | null;
  /** Nodes to be read with the next plan. */
  private asked: { node: Node; resolve: (data: TypedArray) => void; reject: (error: unknown) => void }[] = [];
  private closed = false;
  private flushed = false;

  constructor(
    readonly name: string,
    readonly backend: Backend,
    options: DeviceOptions = {},
    /** What would have been better, and why it is not this. */
    private readonly passedOver = "",
  ) {
    this.pool = new BufferPool(backend);
    this.plans = new PlanCache();
    this.executor = new Executor(backend, this.pool);
    this.fuse = options.fuse ?? true;
    this.verify = options.verify ? requireVerifier() : null;
    debugLog(1, () => `crabro: device ${name}: ${backend.describe()}`);
  }

  get dtypes(): readonly DType[] {
    return this.backend.limits.dtypes;
  }
  supports(dtype: DType): boolean {
    return this.backend.limits.dtypes.includes(dtype);
  }
  describe(): string {
    return this.backend.describe() + this.passedOver;
  }
  /** Live, pooled and peak bytes of this device. */
  memory(): MemoryStats {
    return this.pool.stats();
  }
  planCache(): PlanCacheStats {
    return this.plans.stats();
  }

  /** Values of a node. Reads asked for in one microtask form one plan. */
  read(node: Node): Promise<TypedArray> {
    this.checkOpen();
    return new Promise((resolve, reject) => {
      if (this.asked.length === 0) queueMicrotask(() => this.answer());
      this.asked.push({ node, resolve, reject });
    });
  }

  private answer(): void {
    const asked = this.asked;
    this.asked = [];
    readNodes(
      this,
      asked.map((a) => a.node),
    ).then(
      (results) =>
        asked.forEach((a, i) => {
          const result = results[i];
          if (result.ok) a.resolve(result.data);
          else a.reject(result.error);
        }),
      (error) => {
        for (const a of asked) a.reject(error);
      },
    );
  }

  /** Computes the nodes, and all pending effects, and keeps them on the device. */
  async realize(nodes: readonly Node[]): Promise<void> {
    this.checkOpen();
    await realizeNodes(this, nodes);
  }

  /** Past some ten thousand pending nodes, a second assignment to a tensor that nobody has read since the first carries everything out. */
  beforeEffect(handle: Tensor): void {
    if (building.pendingNodes < FLUSH_AFTER || isTracing() || !this.effects.has(handle)) return;
    if (!this.flushed) {
      debugLog(
        1,
        () => `crabro: ${building.pendingNodes} nodes wait on ${this.name} and nothing was read; pending assignments are carried out now`,
      );
      this.flushed = true;
    }
    flushEffects(this)?.catch((error: unknown) => debugLog(1, () => `crabro: ${String(error)}`));
  }

  addEffect(handle: Tensor): void {
    this.effects.add(handle);
  }

  disposeNode(node: Node, why: string): void {
    const value = node.value;
    if (value?.kind === "device") {
      unwatch(value.storage);
      value.storage.release();
    }
    node.value = { kind: "gone", why };
    node.inputs = [];
  }

  /** Waits for everything queued, then frees all memory of the device. Tensors on it can be read no more. */
  async close(): Promise<void> {
    if (this.closed) return;
    await this.executor.idle();
    this.closed = true;
    if (current === this) current = null;
    this.pool.trim();
    this.backend.destroy();
  }

  private checkOpen(): void {
    if (this.closed) throw new BackendError(this.name, "the device is closed; open another with device(name)");
  }
}

type Opener = (options: DeviceOptions) => Backend | Promise<Backend>;
const openers = new Map<string, { open: Opener; sync: ((options: DeviceOptions) => Backend) | null }>();
let current: Device | null = null;

/** Makes a backend known by name. With `sync`, it can be the default device before any other is set. */
export function registerBackend(name: string, open: Opener, sync: ((options: DeviceOptions) => Backend) | null = null): void {
  openers.set(name, { open, sync });
}

/** Names that `device()` takes. */
export const backendNames = (): string[] => ["auto", ...openers.keys()];

/**
 * Opens a device: `"cpu"`, or `"auto"` for the best there is. Throws BackendError for an unknown name, and where the backend cannot
 * start; nothing falls back to another backend in silence.
 */
export async function device(name: string, options: DeviceOptions = {}): Promise<Device> {
  if (name === "auto") return bestDevice(options);
  const opener = openers.get(name);
  if (opener === undefined) throw new BackendError(name, `there is no device of this name; known are ${backendNames().join(", ")}`);
  return new Device(name, await opener.open(options), options);
}

/** The best first. */
const preferred = ["webgpu", "wasm", "cpu"];

const opened = (name: string, backend: Backend, options: DeviceOptions, reasons: readonly string[]): Device =>
  new Device(name, backend, options, reasons.map((reason) => ` (not on ${reason})`).join(""));

/** Why a backend does not open; anything but that is a defect. */
function reasonOf(error: unknown): string {
  if (error instanceof BackendError) return error.message;
  throw error;
}

const nothing = (reasons: readonly string[]): BackendError =>
  new BackendError("auto", `no backend opens: ${reasons.join("; ") || "none is registered"}`);

/** The first of those preferred that is registered and opens; never a GPU that is software in truth. */
async function bestDevice(options: DeviceOptions): Promise<Device> {
  const reasons: string[] = [];
  for (const name of preferred) {
    try {
      const backend = await openers.get(name)?.open({ ...options, software: false });
      if (backend !== undefined) return opened(name, backend, options, reasons);
    } catch (error) {
      reasons.push(reasonOf(error));
    }
  }
  throw nothing(reasons);
}

/** The first of those preferred that opens without waiting. */
function firstDevice(): Device {
  const reasons: string[] = [];
  for (const name of preferred) {
    try {
      const backend = openers.get(name)?.sync?.({});
      if (backend !== undefined) return opened(name, backend, {}, reasons);
    } catch (error) {
      reasons.push(reasonOf(error));
    }
  }
  throw nothing(reasons);
}

/**
 * The device that tensors are made on where none is given. Until `setDefaultDevice` says otherwise that is `wasm`, and `cpu` where the
 * runtime has no WebAssembly SIMD, which its `describe()` tells. It is opened when it is first asked for. Throws BackendError where none opens.
 */
export function defaultDevice(): Device {
  current ??= firstDevice();
  return current;
}

/** Tensors made from now on without a device are made there. Throws OpError for anything but an open device. */
export function setDefaultDevice(to: Device): void {
  if (!(to instanceof Device)) throw new OpError("setDefaultDevice", "expected a device; open one with await device(name)");
  current = to;
}
