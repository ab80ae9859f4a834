/** The bytes of a pickle, one after the other; of a file, a page at a time. */
import { OpError } from "../../engine/errors.js";
import type { ByteSource } from "./source.js";

const refuse = (why: string): OpError => new OpError("unpickle", why);

const pageBytes = 1 << 16;
const text = new TextDecoder();

export class PickleInput {
  at: number;
  readonly #source: ByteSource;
  #page: Uint8Array = new Uint8Array(0);
  #pageAt = 0;

  constructor(source: ByteSource, start: number) {
    this.#source = source;
    this.at = start;
  }

  /** The next `count` bytes. */
  take(count: number): Uint8Array {
    const from = this.#hold(count);
    this.at += count;
    return this.#page.subarray(from, from + count);
  }

  view(count: number): DataView {
    const bytes = this.take(count);
    return new DataView(bytes.buffer, bytes.byteOffset, count);
  }

  /** A length of four bytes, and of eight. */
  length4(most = 0x7fffffff): number {
    return believed(BigInt(this.view(4).getUint32(0, true)), most);
  }
  length8(): number {
    return believed(this.view(8).getBigUint64(0, true), 0x7fffffff);
  }

  /** The text up to the end of the line, which is passed over. */
  line(): string {
    const from = this.#hold(0, 1 + (1 << 16));
    const end = this.#page.indexOf(0x0a, from);
    if (end < 0) throw refuse("the pickle ends too early; the file is cut off or damaged");
    const line = text.decode(this.#page.subarray(from, end));
    this.at += end + 1 - from;
    return line;
  }

  /** Makes the page hold the next `count` bytes, and `wanted` where there are as many; returns where in the page they begin. */
  #hold(count: number, wanted = count): number {
    const left = this.#source.length - this.at;
    if (count > left) throw refuse("the pickle ends too early; the file is cut off or damaged");
    const needed = Math.min(wanted, left);
    const from = this.at - this.#pageAt;
    if (from >= 0 && from + needed <= this.#page.length) return from;
    this.#page = this.#source.view(this.at, Math.min(Math.max(needed, pageBytes), left));
    this.#pageAt = this.at;
    return 0;
  }
}

function believed(length: bigint, most: number): number {
  if (length > BigInt(most)) throw refuse(`the pickle claims a value of ${length} bytes`);
  return Number(length);
}
