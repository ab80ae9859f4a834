/** The folder of a run: which files it holds, and how they come to be. */
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { removeTemporaries, writeAtomically } from "../checkpoint.js";
import { type Columns, type EpochRecord, jsonLines, summaryCsv } from "../report/history.js";
import { lockFolder } from "./lock.js";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const checkpointName = (epoch: number): string => `checkpoint-${epoch}.safetensors`;

/** Whether a folder holds a run that can go on. */
export const holdsRun = (folder: string): boolean => existsSync(join(folder, "last.safetensors"));

/**
 * `args.json` the flags, `last.safetensors` everything the run needs to go on, `model_best.safetensors` the best weights so far,
 * `checkpoint-<epoch>.safetensors` earlier states, `summary.csv` and `log.txt` a line an epoch, `events.out.tfevents.…` for
 * TensorBoard, `report.html`. Each is written whole or not at all.
 */
export class RunFolder {
  readonly path: string;
  readonly #unlock: () => void;

  /** Makes the folder where it is not there, and takes it for this process. Throws OpError where that is not possible. */
  constructor(path: string) {
    this.path = path;
    try {
      mkdirSync(path, { recursive: true });
      this.#unlock = lockFolder(path);
    } catch (error) {
      if (error instanceof OpError) throw error;
      throw new OpError("run", `cannot write to ${path}: ${(error as Error).message}; take another --output`, { cause: error });
    }
    removeTemporaries(path);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  get last(): string {
    return this.file("last.safetensors");
  }

  get best(): string {
    return this.file("model_best.safetensors");
  }

  writeArgs(args: unknown): void {
    writeAtomically(this.file("args.json"), encode(`${JSON.stringify(args, null, 2)}\n`));
  }

  /** Writes what the epochs have measured. */
  writeHistory(epochs: readonly EpochRecord[], columns: Columns): void {
    writeAtomically(this.file("summary.csv"), encode(summaryCsv(epochs, columns)));
    writeAtomically(this.file("log.txt"), encode(jsonLines(epochs, columns)));
  }

  writeReport(html: string): void {
    writeAtomically(this.file("report.html"), encode(html));
  }

  /** Keeps what `last` is now under the name of its epoch, and of all such only the `most` whose measure is best. */
  keepCheckpoint(epochs: readonly EpochRecord[], most: number, measure: (epoch: EpochRecord) => number): void {
    const latest = epochs.at(-1);
    if (latest === undefined || most < 1) return;
    const kept = [...epochs].sort((a, b) => measure(b) - measure(a) || b.epoch - a.epoch).slice(0, most);
    const names = new Set(kept.map(({ epoch }) => checkpointName(epoch)));
    if (names.has(checkpointName(latest.epoch))) linkOrCopy(this.last, this.file(checkpointName(latest.epoch)));
    for (const name of readdirSync(this.path))
      if (/^checkpoint-\d+\.safetensors$/.test(name) && !names.has(name)) rmSync(this.file(name), { force: true });
  }

  close(): void {
    this.#unlock();
  }
}

/** A second name for a file that will be replaced, not changed; a copy where the file system has no such names. */
function linkOrCopy(from: string, to: string): void {
  const temporary = join(dirname(to), `.${basename(to)}.${process.pid}.tmp`);
  rmSync(temporary, { force: true });
  try {
    linkSync(from, temporary);
  } catch {
    copyFileSync(from, temporary);
  }
  renameSync(temporary, to);
}
