/** Bytes to read from: in memory, or of a file that is read piece by piece, so that a checkpoint takes little more memory than its tensors. */
import { crc32 } from "./crc32.js";

export interface ByteSource {
  readonly length: number;
  /** `length` bytes from `at` on: of memory a view, of a file read anew at each call. The caller stays within the source. */
  view(at: number, length: number): Uint8Array;
  /** Fills `target` with the bytes from `at` on. */
  copy(at: number, target: Uint8Array): void;
  /** The CRC-32 of `length` bytes from `at` on. */
  crc32(at: number, length: number): number;
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.length,
    view: (at, length) => bytes.subarray(at, at + length),
    copy: (at, target) => target.set(bytes.subarray(at, at + target.length)),
    crc32: (at, length) => crc32(bytes.subarray(at, at + length)),
  };
}

/** What readers take: bytes, or a source of them. */
export const sourceOf = (input: Uint8Array | ByteSource): ByteSource => (input instanceof Uint8Array ? memorySource(input) : input);

/** A part of a source, as a source. */
export function sourcePart(source: ByteSource, start: number, length: number): ByteSource {
  return {
    length,
    view: (at, count) => source.view(start + at, count),
    copy: (at, target) => source.copy(start + at, target),
    crc32: (at, count) => source.crc32(start + at, count),
  };
}

/** All pieces one after the other. */
export function concatenate(chunks: Iterable<Uint8Array>): Uint8Array {
  const all = [...chunks];
  const out = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of all) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
