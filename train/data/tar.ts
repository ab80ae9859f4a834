/** Files in a tar archive. */
import { OpError } from "../../engine/errors.js";

const block = 512;
const text = (bytes: Uint8Array): string =>
  new TextDecoder().decode(bytes.subarray(0, (bytes.indexOf(0) + bytes.length + 1) % (bytes.length + 1)));

/** Regular files, by their paths. Throws OpError where the archive is cut off. `name` is for messages. */
export function* readTar(archive: Uint8Array, name: string): Generator<{ readonly path: string; readonly bytes: Uint8Array }> {
  for (let at = 0; at + block <= archive.length; ) {
    const header = archive.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) return;
    const size = Number.parseInt(text(header.subarray(124, 136)).trim() || "0", 8);
    const type = String.fromCharCode(header[156]);
    if (!Number.isSafeInteger(size) || at + block + size > archive.length)
      throw new OpError("readTar", `${name} is cut off, or no tar archive`);
    const prefix = text(header.subarray(345, 500));
    const path = text(header.subarray(0, 100));
    const bytes = archive.subarray(at + block, at + block + size);
    if (type === "0" || type === "\0") yield { path: prefix === "" ? path : `${prefix}/${path}`, bytes };
    at += block + Math.ceil(size / block) * block;
  }
}
