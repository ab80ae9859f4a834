/**
 * The directory of a zip archive, and its files as parts of the archive: PyTorch stores them as they are, so nothing is copied. Malformed
 * input is refused before any of its numbers is believed, and a file whose checksum is wrong before any of it is used.
 */
import { inflateSync } from "fflate";
import { OpError } from "../../engine/errors.js";
import { type ByteSource, memorySource, sourcePart } from "./source.js";

const refuse = (why: string): OpError => new OpError("readZip", why);

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  readonly crc32: number;
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

/** More than any archive has for its directory: PyTorch's take some hundred bytes a file. */
const mostDirectoryBytes = 64 << 20;

export interface ZipOptions {
  /** Whether files must have the checksum that the directory says. Default true; files written without checksums need false. */
  readonly checksums?: boolean;
}

/** Files of a zip archive by name. */
export class ZipArchive {
  readonly #source: ByteSource;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #checksums: boolean;
  #inflatedLeft: number;

  /** Throws OpError for anything that is no whole zip archive. */
  constructor(source: ByteSource, { checksums = true }: ZipOptions = {}) {
    this.#source = source;
    this.#checksums = checksums;
    this.#entries = this.#directory();
    this.#inflatedLeft = inflatedFactor * source.length + inflatedFloor;
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** The contents of a file, its checksum checked. */
  read(name: string): Uint8Array {
    const { content, verify } = this.open(name);
    verify();
    return content.view(0, content.length);
  }

  /** A file whose contents are read when they are asked for; `verify` throws OpError where the checksum is wrong. */
  open(name: string): { readonly content: ByteSource; readonly verify: () => void } {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw refuse(`the archive has no file ${JSON.stringify(name)}`);
    const header = this.#view(entry.at, 30, "a file's header");
    if (header.getUint32(0, true) !== localSignature) throw refuse(`the header of ${JSON.stringify(name)} is damaged`);
    const start = entry.at + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    this.#need(start, entry.compressed, `the file ${JSON.stringify(name)}`);
    const content = this.#content(entry, sourcePart(this.#source, start, entry.compressed));
    let verified = !this.#checksums;
    const verify = (): void => {
      if (verified) return;
      if (content.crc32(0, content.length) !== entry.crc32) {
        throw refuse(`the checksum of the file ${JSON.stringify(name)} is wrong: the file is damaged, or was written without checksums`);
      }
      verified = true;
    };
    return { content, verify };
  }

  #content(entry: Entry, data: ByteSource): ByteSource {
    const { name, method, size, compressed } = entry;
    if (method === 8) return memorySource(this.#inflate(entry, data.view(0, compressed)));
    if (method !== 0) throw refuse(`the file ${JSON.stringify(name)} is compressed by method ${method}; known are 0 and 8`);
    if (size !== compressed) throw refuse(`the file ${JSON.stringify(name)} is stored, yet has two sizes`);
    return data;
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
    if (at < 0 || length < 0 || at + length > this.#source.length) {
      throw refuse(`${what} ends at byte ${at + length}, but there are only ${this.#source.length}; the file is cut off or damaged`);
    }
  }

  #view(at: number, length: number, what: string): DataView {
    this.#need(at, length, what);
    const bytes = this.#source.view(at, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #directory(): Map<string, Entry> {
    const { count, size, at } = this.#end();
    if (size > mostDirectoryBytes) throw refuse(`the zip directory claims ${size} bytes; that much is not believed`);
    const view = this.#view(at, size, "the zip directory");
    const need = (from: number, length: number): void => {
      if (from + length > size)
        throw refuse(`the zip directory ends within its ${entries.size + 1}th file; the file is cut off or damaged`);
    };
    const entries = new Map<string, Entry>();
    let cursor = 0;
    for (let i = 0; i < count; i++) {
      need(cursor, 46);
      if (view.getUint32(cursor, true) !== entrySignature) throw refuse("the zip directory is damaged");
      const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(cursor + offset, true));
      need(cursor, 46 + nameLength + extraLength + commentLength);
      const entry = entryAt(view, cursor, nameLength, extraLength);
      if (entries.has(entry.name)) throw refuse(`the zip directory names ${JSON.stringify(entry.name)} twice`);
      entries.set(entry.name, entry);
      cursor += 46 + nameLength + extraLength + commentLength;
    }
    return entries;
  }

  /** The record at the end that says where the directory is. */
  #end(): { count: number; size: number; at: number } {
    // The record of 22 bytes and a comment, and before it what archives beyond 32 bits have.
    const tail = Math.min(this.#source.length, 20 + 22 + 0xffff);
    const view = this.#view(this.#source.length - tail, tail, "the zip archive");
    for (let at = tail - 22; at >= 0; at--) {
      if (view.getUint32(at, true) !== endSignature) continue;
      if (at >= 20 && view.getUint32(at - 20, true) === locator64Signature) return this.#end64(long(view, at - 12));
      return { count: view.getUint16(at + 10, true), size: view.getUint32(at + 12, true), at: view.getUint32(at + 16, true) };
    }
    throw refuse("there is no zip directory at its end; the file is cut off or damaged");
  }

  #end64(at: number): { count: number; size: number; at: number } {
    const view = this.#view(at, 56, "the zip directory");
    if (view.getUint32(0, true) !== end64Signature) throw refuse("the zip directory is damaged");
    return { count: long(view, 32), size: long(view, 40), at: long(view, 48) };
  }
}

function entryAt(view: DataView, at: number, nameLength: number, extraLength: number): Entry {
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw refuse(`the file ${JSON.stringify(name)} is encrypted`);
  const fields = {
    size: view.getUint32(at + 24, true),
    compressed: view.getUint32(at + 20, true),
    at: view.getUint32(at + 42, true),
  };
  // What does not fit 32 bits stands in an extra field, in this order.
  const end = at + 46 + nameLength + extraLength;
  for (let cursor = at + 46 + nameLength; cursor + 4 <= end; cursor += 4 + view.getUint16(cursor + 2, true)) {
    if (view.getUint16(cursor, true) !== 1) continue;
    let value = cursor + 4;
    for (const key of ["size", "compressed", "at"] as const) {
      if (fields[key] !== 0xffffffff) continue;
      if (value + 8 > view.byteLength) throw refuse("the zip directory is damaged");
      fields[key] = long(view, value);
      value += 8;
    }
  }
  return { name, method: view.getUint16(at + 10, true), crc32: view.getUint32(at + 16, true), ...fields };
}

function long(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse(`the zip directory claims an offset of ${value}`);
  return Number(value);
}

/** Whether bytes begin as a zip archive does. */
export const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
