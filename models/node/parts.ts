/** Unfinished downloads: files beside the cache's, each of one download, and what becomes of those whose download is no more. */
import { readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

/** An unfinished file that has not grown for so long is nobody's: a silent connection is given up far earlier. */
const abandonedMs = 120_000;

const here = hostname().replace(/[^\w-]/g, "_");
const active = new Set<string>();
let count = 0;

/** The name of a new unfinished file, which is in use until `release`. */
export function claim(target: string): string {
  const path = `${target}.${here}.${process.pid}-${count++}.part`;
  active.add(path);
  return path;
}

/** Gives up an unfinished file: removes it, if it is still there, or leaves it to the next download. */
export function release(path: string, keep: boolean): void {
  active.delete(path);
  const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
  if (!keep || size === 0) rmSync(path, { force: true });
}

/**
 * Deals with what downloads of `target` that came to no end have left: the longest becomes `path` if it is wanted, the others are removed.
 * Returns its length, 0 where there is none.
 */
export function takeOver(target: string, path: string, wanted: boolean): number {
  const left = abandoned(target).sort((a, b) => b.size - a.size);
  let taken = 0;
  for (const { file, size } of left) {
    try {
      if (wanted && taken === 0 && size > 0) {
        renameSync(file, path);
        taken = size;
      } else rmSync(file, { force: true });
    } catch {
      // Another process was quicker.
    }
  }
  return taken;
}

function abandoned(target: string): { readonly file: string; readonly size: number }[] {
  const [folder, prefix] = [dirname(target), `${basename(target)}.`];
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && name.endsWith(".part"))
    .map((name) => join(folder, name))
    .filter((file) => !active.has(file))
    .flatMap((file) => {
      const stats = statSync(file, { throwIfNoEntry: false });
      if (stats === undefined) return [];
      const [, host, pid] = /\.([\w-]+)\.(\d+)-\d+\.part$/.exec(file) ?? [];
      const isOurs = host === here && Number(pid) === process.pid; // of an earlier process with our number
      const gone = isOurs || (host === here && !isAlive(Number(pid)));
      return gone || Date.now() - stats.mtimeMs > abandonedMs ? [{ file, size: stats.size }] : [];
    });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
