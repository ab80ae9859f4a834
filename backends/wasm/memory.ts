/** Linear memory as a heap: blocks of size classes from free lists, else from the end, which grows. Addresses are unsigned. */
import { BackendError } from "../../engine/errors.js";
import { margin } from "./expressions.js";

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
    const address = this.idle.get(size)?.pop() ?? this.larger(size) ?? this.extend(size, bytes);
    this.live += size;
    return address;
  }

  free(address: number, bytes: number): void {
    const size = sizeClass(bytes);
    this.live -= size;
    const list = this.idle.get(size);
    if (list) list.push(address);
    else this.idle.set(size, [address]);
  }

  /** Once the memory cannot grow, what is left of a larger idle block. */
  private larger(size: number): number | null {
    if (this.end + size + margin <= this.limit) return null;
    for (const [other, list] of [...this.idle].sort(([a], [b]) => a - b)) {
      const address = other > size ? list.pop() : undefined;
      if (address === undefined) continue;
      // The rest goes to the lists in pieces of whole classes.
      for (let at = address + size, rest = other - size; rest >= line; ) {
        let piece = line;
        while (sizeClass(piece + line) <= rest) piece = sizeClass(piece + line);
        this.idle.set(piece, [...(this.idle.get(piece) ?? []), at]);
        at += piece;
        rest -= piece;
      }
      return address;
    }
    return null;
  }

  private extend(size: number, wanted: number): number {
    const address = this.end;
    const needed = Math.ceil((address + size + margin) / page);
    const present = this.memory.buffer.byteLength / page;
    if (needed > present) {
      // By an eighth more than needed, as each growth makes the views of the host anew.
      const planned = Math.min(this.limit / page, needed + Math.ceil(present / 8));
      const fits = needed <= this.limit / page;
      if (!fits || (!this.grow(planned - present) && !this.grow(needed - present))) {
        if (fits) this.limit = present * page;
        const found = this.larger(size);
        if (found !== null) return found;
        throw this.exhausted(wanted);
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
