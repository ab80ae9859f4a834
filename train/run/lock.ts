/** One process a run folder. */
import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, by the system's clock of ticks; null where the system does not tell. Numbers of processes come again. */
  readonly began: string | null;
}

function beganAt(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold spaces; the 22nd field is the 20th after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

function isAlive({ pid, host, began }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = beganAt(pid);
  return began === null || now === null || now === began;
}

/** A lock whose writer was killed before it had written all of it says nothing. */
function read(path: string): { readonly text: string; readonly holder: Holder | null } | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return { text, holder: JSON.parse(text) as Holder };
  } catch {
    return { text, holder: null };
  }
}

/**
 * Takes the folder for this process; returns the function that gives it back. A lock that a dead process of this machine has left is
 * taken over. Throws OpError when another process holds it.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, ".lock");
  const own = JSON.stringify({ pid: process.pid, host: hostname(), began: beganAt(process.pid) } satisfies Holder);
  const refuse = (holder: Holder): never => {
    throw new OpError(
      "run",
      `${folder} is in use by process ${holder.pid} on ${holder.host}; wait for it, or take another --output (if it no longer runs, delete ${path})`,
    );
  };
  // Written apart and then linked, so that a lock of this name is always whole.
  const draft = join(folder, `.lock.${process.pid}`);
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      write(draft, own);
      linkSync(draft, path);
      return () => {
        if (read(path)?.text === own) rmSync(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(draft, { force: true });
    }
    const found = read(path);
    if (found === null) continue;
    if (found.holder !== null && isAlive(found.holder)) refuse(found.holder);
    // Taken away under a name of our own; if somebody was quicker, it is theirs and put back.
    renameSync(path, draft);
    const taken = read(draft);
    if (taken !== null && taken.text !== found.text && taken.holder !== null) {
      linkSync(draft, path);
      rmSync(draft, { force: true });
      refuse(taken.holder);
    }
    rmSync(draft, { force: true });
  }
  throw new OpError("run", `${folder} is being taken by several processes at once; try again`);
}

function write(path: string, text: string): void {
  const file = openSync(path, "w");
  try {
    writeSync(file, text);
  } finally {
    closeSync(file);
  }
}
