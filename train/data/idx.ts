/**
 * IDX, the file format of MNIST: two zero bytes, a type, the number of dims, each dim as a big-endian 32-bit integer, then the data.
 * @see http://yann.lecun.com/exdb/mnist
 */
import { OpError } from "../../engine/errors.js";

/** An array of bytes, as IDX files hold it. */
export interface IdxFile {
  readonly shape: readonly number[];
  /** Unsigned bytes, row-major. */
  readonly data: Uint8Array;
}

const unsignedByte = 0x08;

/** Reads an IDX file of unsigned bytes, plain or (in Node) compressed with gzip. `name` is for messages. */
export function readIdx(file: Uint8Array, name: string): IdxFile {
  const refuse = (why: string, cause?: unknown): OpError => new OpError("readIdx", `${name}: ${why}`, { cause });
  let bytes = file;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    const zlib = typeof process === "object" ? process.getBuiltinModule?.("node:zlib") : undefined;
    if (zlib === undefined) throw refuse("the file is compressed; a page unpacks it first, with a DecompressionStream");
    try {
      bytes = zlib.gunzipSync(bytes);
    } catch (error) {
      throw refuse("the gzip data is damaged or cut off", error);
    }
  }
  if (bytes.length < 4) throw refuse(`${bytes.length} bytes are too few for an IDX file`);
  const [zero0, zero1, type, rank] = bytes;
  if (zero0 !== 0 || zero1 !== 0 || type !== unsignedByte || rank === 0) {
    const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw refuse(`the file begins with ${magic}; expected 00 00 08 and the number of dims (IDX of unsigned bytes)`);
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw refuse("the file ends within its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const length = shape.reduce((n, size) => n * size, 1);
  if (bytes.length - start !== length) {
    const state = bytes.length - start < length ? "is cut off" : "is too long";
    throw refuse(`the file ${state}: its header promises ${length} bytes of data (${shape.join(" × ")}), ${bytes.length - start} follow`);
  }
  return { shape, data: bytes.subarray(start) };
}
