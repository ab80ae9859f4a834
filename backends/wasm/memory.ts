/** Linear memory as a heap: blocks of size classes from free lists, else from the end, which grows. Addresses are unsigned. */
import type { DType, TypedArray } from "../../engine/dtype.js";
import { BackendError } from "../../engine/errors.js";
import { margin } from "./places.js";
import type { ScratchSpace } from "./program.js";

const page = 65536;
const name = "wasm";
/** Addresses are multiples of a cache line. */
const line = 64;
/** WebAssembly's 32-bit addresses end here. */
export const addressable = 2 ** 32;

/** Sizes that blocks have: four to each power of two, so that at most a fifth of a block is idle. */
export function sizeClass(bytes: number): number {
  if (bytes <= 4 * line) return Math.max(line, Math.ceil(bytes / line) * line);
  const step = 2 ** (Math.floor(Math.log2(bytes - 1)) - 2);
  return Math.ceil(bytes / step) * step;
}

export class Heap {
  readonly memory: WebAssembly.Memory;
  /** What one call gives back, the next may take: nothing runs out of order. */
  readonly scratch: ScratchSpace = {
    take: (elements) => this.allocate(4 * elements),
    giveBack: (address, elements) => this.free(address, 4 * elements),
  };
  private readonly idle = new Map<number, number[]>();
  private end = margin;
  private live = 0;
  /** Addresses end here. */
  private limit = addressable;

  constructor(
    /** Refuse to hold more than this. */
    private readonly most: number,
    /** Whether threads share the memory. */
    shared = false,
  ) {
    this.memory = this.reserve(shared);
  }

  /** Where the platform cannot set 4 GiB of addresses aside, half of that, and so on. */
  private reserve(shared: boolean): WebAssembly.Memory {
    for (;;) {
      try {
        return new WebAssembly.Memory({ initial: 4, maximum: this.limit / page, shared });
      } catch (cause) {
        if (this.limit <= 2 ** 26) throw new BackendError(name, `no memory of ${this.limit} bytes can be set aside`, { cause });
        this.limit /= 2;
      }
    }
  }

  /** The address of a block of at least this many bytes. */
  allocate(bytes: number): number {
    const size = sizeClass(bytes);
    if (this.live + size > this.most) throw this.exhausted(bytes);
    const address = this.idle.get(size)?.pop() ?? this.extend(size) ?? this.larger(size) ?? this.joined(size);
    if (address === null) throw this.exhausted(bytes);
    this.live += size;
    return address;
  }

  free(address: number, bytes: number): void {
    const size = sizeClass(bytes);
    this.live -= size;
    this.keep(address, size);
  }

  /** Valid until the memory grows. */
  view(dtype: DType, address: number, length: number): TypedArray {
    const { buffer } = this.memory;
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

  private keep(address: number, size: number): void {
    const list = this.idle.get(size);
    if (list) list.push(address);
    else this.idle.set(size, [address]);
  }

  /** Bytes in no block go to the lists in pieces of whole classes. */
  private cut(address: number, bytes: number): void {
    for (let at = address, rest = bytes; rest >= line; ) {
      let piece = line;
      while (sizeClass(piece + line) <= rest) piece = sizeClass(piece + line);
      this.keep(at, piece);
      at += piece;
      rest -= piece;
    }
  }

  /** A part of a larger idle block. */
  private larger(size: number): number | null {
    for (const [other, list] of [...this.idle].sort(([a], [b]) => a - b)) {
      const address = other > size ? list.pop() : undefined;
      if (address === undefined) continue;
      this.cut(address + size, other - size);
      return address;
    }
    return null;
  }

  /** A part of idle blocks that lie side by side. */
  private joined(size: number): number | null {
    const blocks = [...this.idle].flatMap(([bytes, list]) => list.map((address) => ({ address, end: address + bytes })));
    const regions: { address: number; end: number }[] = [];
    for (const block of blocks.sort((a, b) => a.address - b.address)) {
      const last = regions[regions.length - 1];
      if (last?.end === block.address) last.end = block.end;
      else regions.push(block);
    }
    this.idle.clear();
    // What lies before the end can be had with what follows it.
    if (regions[regions.length - 1]?.end === this.end) this.end = regions.pop()?.address ?? this.end;
    const found = regions.find(({ address, end }) => end - address >= size);
    for (const region of regions)
      this.cut(region.address + (region === found ? size : 0), region.end - region.address - (region === found ? size : 0));
    return found?.address ?? this.extend(size);
  }

  /** From the end of the memory, which grows; null where it cannot. */
  private extend(size: number): number | null {
    const address = this.end;
    const needed = Math.ceil((address + size + margin) / page);
    const present = this.memory.buffer.byteLength / page;
    if (needed > this.limit / page) return null;
    if (needed > present) {
      // By an eighth more than needed, as each growth makes the views of the host anew.
      const planned = Math.min(this.limit / page, needed + Math.ceil(present / 8));
      if (!this.grow(planned - present) && !this.grow(needed - present)) {
        this.limit = present * page;
        return null;
      }
    }
    this.end = address + size;
    return address;
  }

  private grow(pages: number): boolean {
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }

  private exhausted(bytes: number): BackendError {
    const allowed = Math.min(this.most, this.limit);
    return new BackendError(name, `no room for ${bytes} bytes: ${this.live} are live, ${allowed} are allowed`);
  }
}
