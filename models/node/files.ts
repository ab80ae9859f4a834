/** Files that are read piece by piece, and written so that a file of a name is always whole. */
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync, type Stats, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { OpError } from "../../engine/errors.js";
import type { ByteSource } from "../weights/source.js";

/** More than a read or write of the system may be asked for at once. */
const chunkBytes = 1 << 30;
const checksumBytes = 1 << 20;

const cannotRead = (path: string, cause: unknown): OpError =>
  new OpError("readWeights", `cannot read ${path}: ${(cause as Error).message}`, { cause });

function withFile<T>(path: string, use: (file: number, stats: Stats) => T): T {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw cannotRead(path, error);
  }
  try {
    return use(file, fstatSync(file));
  } catch (error) {
    throw error instanceof OpError ? error : cannotRead(path, error);
  } finally {
    closeSync(file);
  }
}

/**
 * The bytes of a file. It is open only while it is read, so there is nothing to close; a read throws OpError where the file has changed
 * since.
 */
export function fileSource(path: string): ByteSource {
  const first = withFile(path, (_, stats) => {
    if (!stats.isFile()) throw new OpError("readWeights", `cannot read ${path}: it is no file`);
    return stats;
  });
  const fill = (at: number, target: Uint8Array): void =>
    withFile(path, (file, { ino, size, mtimeMs }) => {
      if (ino !== first.ino || size !== first.size || mtimeMs !== first.mtimeMs)
        throw new OpError("readWeights", `${path} has changed while it was read`);
      for (let done = 0; done < target.length; ) {
        const count = readSync(file, target, done, Math.min(chunkBytes, target.length - done), at + done);
        if (count === 0) throw new OpError("readWeights", `${path} ends at byte ${at + done}; it has been cut off`);
        done += count;
      }
    });
  const view = (at: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    fill(at, target);
    return target;
  };
  let piece: Uint8Array | null = null;
  return {
    length: first.size,
    view,
    copy: fill,
    crc32: (at, length) => {
      piece ??= new Uint8Array(Math.min(checksumBytes, first.size));
      let sum = 0;
      for (let done = 0; done < length; done += piece.length) {
        const now = piece.subarray(0, Math.min(piece.length, length - done));
        fill(at + done, now);
        sum = crc32(now, sum);
      }
      return sum;
    },
  };
}

/** Writes under a temporary name beside `path`, has it on the disk, then renames: a crash leaves the old file or the new one. */
export function writeAtomically(path: string, content: Uint8Array | Iterable<Uint8Array>): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  const temporary = join(folder, `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = openSync(temporary, "w");
    try {
      for (const bytes of content instanceof Uint8Array ? [content] : content)
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, Math.min(bytes.length - at, chunkBytes));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(folder);
}

/** The rename itself must reach the disk, too; systems that cannot open folders do without. */
function syncFolder(folder: string): void {
  let handle: number;
  try {
    handle = openSync(folder, "r");
  } catch {
    return;
  }
  try {
    fsyncSync(handle);
  } catch (error) {
    if (!["EINVAL", "EPERM", "EISDIR", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    closeSync(handle);
  }
}
