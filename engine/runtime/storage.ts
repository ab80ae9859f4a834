/** Device memory: pooled buffers by size class, and the storages that hold them. */
import type { Backend, BufferHandle } from "../../backends/backend.js";
import { debugLog } from "../debug.js";
import type { DType } from "../dtype.js";

/** What a device has allocated. */
export interface MemoryStats {
  /** Buffers and bytes that hold values of tensors, or that a running plan uses. */
  readonly liveBuffers: number;
  readonly liveBytes: number;
  /** Free buffers kept for reuse. */
  readonly pooledBuffers: number;
  readonly pooledBytes: number;
  /** The most that live and pooled bytes together have been since the device opened or `resetPeak`. */
  readonly peakBytes: number;
}

/** Lengths are rounded up so that buffers of about the same size serve one another: four classes to a power of two. */
export function sizeClass(length: number): number {
  if (length <= 16) return 16;
  const step = 2 ** (Math.floor(Math.log2(length - 1)) - 2);
  return Math.ceil(length / step) * step;
}

export class BufferPool {
  private readonly free = new Map<string, BufferHandle[]>();
  private liveBuffers = 0;
  private liveBytes = 0;
  private pooledBuffers = 0;
  private pooledBytes = 0;
  private peakBytes = 0;

  constructor(
    private readonly backend: Backend,
    private readonly maxPooledBytes = 2 ** 30,
  ) {}

  acquire(dtype: DType, length: number): BufferHandle {
    const size = sizeClass(length);
    const bytes = size * this.backend.limits.elementBytes[dtype];
    const reused = this.free.get(`${dtype}${size}`)?.pop();
    if (reused !== undefined) {
      this.pooledBuffers--;
      this.pooledBytes -= bytes;
    }
    const buffer = reused ?? this.allocate(dtype, size);
    this.liveBuffers++;
    this.liveBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes + this.pooledBytes);
    return buffer;
  }

  release(buffer: BufferHandle): void {
    const bytes = buffer.length * this.backend.limits.elementBytes[buffer.dtype];
    this.liveBuffers--;
    this.liveBytes -= bytes;
    if (this.pooledBytes + bytes > this.maxPooledBytes) {
      this.backend.free(buffer);
      return;
    }
    const key = `${buffer.dtype}${buffer.length}`;
    const list = this.free.get(key);
    if (list) list.push(buffer);
    else this.free.set(key, [buffer]);
    this.pooledBuffers++;
    this.pooledBytes += bytes;
  }

  /** Gives all free buffers back to the backend. */
  trim(): void {
    for (const list of this.free.values()) for (const buffer of list) this.backend.free(buffer);
    this.free.clear();
    this.pooledBuffers = 0;
    this.pooledBytes = 0;
  }

  stats(): MemoryStats {
    const { liveBuffers, liveBytes, pooledBuffers, pooledBytes, peakBytes } = this;
    return { liveBuffers, liveBytes, pooledBuffers, pooledBytes, peakBytes };
  }

  resetPeak(): void {
    this.peakBytes = this.liveBytes + this.pooledBytes;
  }

  private allocate(dtype: DType, size: number): BufferHandle {
    try {
      return this.backend.allocate(dtype, size);
    } catch (error) {
      if (this.pooledBuffers === 0) throw error;
      debugLog(1, () => `crabro: out of device memory; freeing ${this.pooledBytes} pooled bytes and trying again`);
      this.trim();
      return this.backend.allocate(dtype, size);
    }
  }
}

/** One value's buffer. Released once, by whoever comes first: the plan that replaced it, `dispose()`, or the collector's safety net. */
export class Storage {
  private held = true;
  private pins = 0;

  constructor(
    readonly pool: BufferPool,
    readonly buffer: BufferHandle,
    readonly length: number,
  ) {}

  release(): void {
    if (!this.held) return;
    this.held = false;
    if (this.pins === 0) this.pool.release(this.buffer);
  }

  /** Keeps the buffer while a queued plan reads it, even when it is released meanwhile. */
  pin(): void {
    this.pins++;
  }
  unpin(): void {
    this.pins--;
    if (this.pins === 0 && !this.held) this.pool.release(this.buffer);
  }
}

const registry = new FinalizationRegistry<Storage>((storage) => storage.release());

/** The safety net: releases the storage when `owner` has been collected. */
export const releaseWith = (owner: object, storage: Storage): void => registry.register(owner, storage, storage);

/** Takes the safety net away, for a storage that has been released or handed on. */
export const unwatch = (storage: Storage): void => {
  registry.unregister(storage);
};
