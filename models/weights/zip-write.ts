/** Writes zip archives as PyTorch does: files stored as they are, each beginning at a multiple of 64 bytes. */
import { OpError } from "../../engine/errors.js";
import { crc32 } from "./crc32.js";

export interface ZipFile {
  readonly name: string;
  /** Asked for once, when its turn comes. */
  readonly content: () => Uint8Array;
}

const alignment = 64;
const most = 0xfffffffe;
/** PyTorch's name for the extra field that pads. */
const paddingField = 0x4246;

/** Fields of 2 and 4 bytes, little endian. */
function record(...fields: readonly (readonly [bytes: 2 | 4, value: number])[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return out;
}

/** 1 January 1980, midnight: the same tensors make the same file. */
const epoch: readonly (readonly [2, number])[] = [
  [2, 0],
  [2, 0x21],
];

/** An archive in pieces. Throws OpError where it would need the 64-bit form, beyond 4 GiB. */
export function* zipChunks(files: Iterable<ZipFile>): Generator<Uint8Array> {
  const text = new TextEncoder();
  const directory: Uint8Array[] = [];
  let at = 0;
  let count = 0;
  for (const { name, content } of files) {
    const label = text.encode(name);
    const data = content();
    const start = Math.ceil((at + 30 + label.length + 4) / alignment) * alignment;
    if (start + data.length > most) throw new OpError("writeZip", `${name} ends beyond 4 GiB; write a safetensors file instead`);
    const padding = start - (at + 30 + label.length + 4);
    const sizes = [
      [4, crc32(data)],
      [4, data.length],
      [4, data.length],
      [2, label.length],
    ] as const;
    const method = [[2, 0], [2, 0], ...epoch] as const; // no flags, stored
    yield record([4, 0x04034b50], [2, 10], ...method, ...sizes, [2, 4 + padding]);
    yield label;
    yield record([2, paddingField], [2, padding]);
    yield new Uint8Array(padding).fill(0x5a);
    yield data;
    directory.push(record([4, 0x02014b50], [2, 10], [2, 10], ...method, ...sizes, [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), label);
    at = start + data.length;
    count++;
  }
  yield* directory;
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  yield record([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, at], [2, 0]);
}
