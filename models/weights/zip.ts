/**
 * The directory of a zip archive, and its files as views of the archive: PyTorch stores them as they are, so nothing is copied. Malformed
 * input is refused before any of its numbers is believed.
 */
import { inflateSync } from "fflate";
import { OpError } from "../../engine/errors.js";

const refuse = (why: string): OpError => new OpError("readZip", why);

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  /** Of its local header. */
  readonly at: number;
}

/** How much more than the archive's own size its compressed files may take. */
const inflatedFactor = 8;
const inflatedFloor = 64 << 20;

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locator64Signature = 0x07064b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;

/** Files of a zip archive by name. */
export class ZipArchive {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #entries: ReadonlyMap<string, Entry>;
  #inflatedLeft: number;

  /** Throws OpError for anything that is no whole zip archive. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#entries = this.#directory();
    this.#inflatedLeft = inflatedFactor * bytes.length + inflatedFloor;
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** The contents of a file. Stored files are views of the archive. */
  read(name: string): Uint8Array {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw refuse(`the archive has no file ${JSON.stringify(name)}`);
    this.#need(entry.at, 30, "a file's header");
    if (this.#view.getUint32(entry.at, true) !== localSignature) throw refuse(`the header of ${JSON.stringify(name)} is damaged`);
    const start = entry.at + 30 + this.#view.getUint16(entry.at + 26, true) + this.#view.getUint16(entry.at + 28, true);
    this.#need(start, entry.compressed, `the file ${JSON.stringify(name)}`);
    const data = this.#bytes.subarray(start, start + entry.compressed);
    if (entry.method === 0) {
      if (entry.size !== entry.compressed) throw refuse(`the file ${JSON.stringify(name)} is stored, yet has two sizes`);
      return data;
    }
    if (entry.method !== 8) throw refuse(`the file ${JSON.stringify(name)} is compressed by method ${entry.method}; known are 0 and 8`);
    return this.#inflate(entry, data);
  }

  #inflate({ name, size }: Entry, data: Uint8Array): Uint8Array {
    this.#inflatedLeft -= size;
    if (this.#inflatedLeft < 0) throw refuse(`the file ${JSON.stringify(name)} claims to hold ${size} bytes; that much is not believed`);
    let out: Uint8Array;
    try {
      out = inflateSync(data, { out: new Uint8Array(size) });
    } catch (error) {
      throw new OpError("readZip", `the file ${JSON.stringify(name)} cannot be decompressed: ${(error as Error).message}`, {
        cause: error,
      });
    }
    if (out.length !== size) throw refuse(`the file ${JSON.stringify(name)} holds ${out.length} bytes; the directory says ${size}`);
    return out;
  }

  #need(at: number, length: number, what: string): void {
    if (at < 0 || length < 0 || at + length > this.#bytes.length) {
      throw refuse(`${what} ends at byte ${at + length}, but there are only ${this.#bytes.length}; the file is cut off or damaged`);
    }
  }

  #directory(): Map<string, Entry> {
    const { count, size, at } = this.#end();
    this.#need(at, size, "the zip directory");
    const entries = new Map<string, Entry>();
    let cursor = at;
    for (let i = 0; i < count; i++) {
      this.#need(cursor, 46, "the zip directory");
      if (this.#view.getUint32(cursor, true) !== entrySignature) throw refuse("the zip directory is damaged");
      const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => this.#view.getUint16(cursor + offset, true));
      this.#need(cursor, 46 + nameLength + extraLength + commentLength, "the zip directory");
      const entry = this.#entry(cursor, nameLength, extraLength);
      if (entries.has(entry.name)) throw refuse(`the zip directory names ${JSON.stringify(entry.name)} twice`);
      entries.set(entry.name, entry);
      cursor += 46 + nameLength + extraLength + commentLength;
    }
    return entries;
  }

  #entry(at: number, nameLength: number, extraLength: number): Entry {
    const name = new TextDecoder().decode(this.#bytes.subarray(at + 46, at + 46 + nameLength));
    if ((this.#view.getUint16(at + 8, true) & 1) !== 0) throw refuse(`the file ${JSON.stringify(name)} is encrypted`);
    const fields = {
      size: this.#view.getUint32(at + 24, true),
      compressed: this.#view.getUint32(at + 20, true),
      at: this.#view.getUint32(at + 42, true),
    };
    // What does not fit 32 bits stands in an extra field, in this order.
    const end = at + 46 + nameLength + extraLength;
    for (let cursor = at + 46 + nameLength; cursor + 4 <= end; cursor += 4 + this.#view.getUint16(cursor + 2, true)) {
      if (this.#view.getUint16(cursor, true) !== 1) continue;
      let value = cursor + 4;
      for (const key of ["size", "compressed", "at"] as const) {
        if (fields[key] !== 0xffffffff) continue;
        this.#need(value, 8, "the zip directory");
        fields[key] = this.#long(value);
        value += 8;
      }
    }
    return { name, method: this.#view.getUint16(at + 10, true), ...fields };
  }

  /** The record at the end that says where the directory is. */
  #end(): { count: number; size: number; at: number } {
    const last = this.#bytes.length - 22;
    for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
      if (this.#view.getUint32(at, true) !== endSignature) continue;
      if (at >= 20 && this.#view.getUint32(at - 20, true) === locator64Signature) return this.#end64(at - 20);
      const [count, size, start] = [
        this.#view.getUint16(at + 10, true),
        this.#view.getUint32(at + 12, true),
        this.#view.getUint32(at + 16, true),
      ];
      return { count, size, at: start };
    }
    throw refuse("there is no zip directory at its end; the file is cut off or damaged");
  }

  #end64(locator: number): { count: number; size: number; at: number } {
    const at = this.#long(locator + 8);
    this.#need(at, 56, "the zip directory");
    if (this.#view.getUint32(at, true) !== end64Signature) throw refuse("the zip directory is damaged");
    return { count: this.#long(at + 32), size: this.#long(at + 40), at: this.#long(at + 48) };
  }

  #long(at: number): number {
    const value = this.#view.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse(`the zip directory claims an offset of ${value}`);
    return Number(value);
  }
}

/** Whether bytes begin as a zip archive does. */
export const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
