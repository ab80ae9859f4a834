/** Checkpoints: safetensors files, written so that a file of this name is always whole. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { readWeights } from "../models/node.js";
import { storeState } from "../models/state.js";
import { type StoredTensor, writeSafetensors } from "../models/weights/safetensors.js";

/** What a model file says about its model, under the metadata key `crabro`. */
export interface ModelCard {
  readonly model: string;
  readonly numClasses: number;
  readonly inChans: number;
  readonly inputSize: number;
  /** The last epoch done, counted from 0. */
  readonly epoch: number;
  /** Results of the last evaluation, in percent. */
  readonly top1: number | null;
}

const cardKey = "crabro";

/** Writes under a temporary name beside `path`, has it on the disk, then renames: a crash leaves the old file or the new one. */
export function writeAtomically(path: string, bytes: Uint8Array): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  const temporary = join(folder, `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = openSync(temporary, "w");
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, Math.min(bytes.length - at, 1 << 30));
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

/** Writes tensors by name, with one entry of metadata as JSON. */
export async function saveTensors(path: string, entries: Iterable<readonly [string, Tensor]>, key: string, value: unknown): Promise<void> {
  writeAtomically(
    path,
    writeSafetensors(await storeState(entries), [
      ["format", "pt"],
      [key, JSON.stringify(value)],
    ]),
  );
}

export interface TensorsFile {
  readonly tensors: Map<string, StoredTensor>;
  /** The JSON under `key`, or null where the file has none. */
  readonly value: unknown;
}

/** Reads a file of weights, safetensors or PyTorch's. Every failure is an OpError that names the file. */
export function readTensors(path: string, key: string): TensorsFile {
  try {
    const { tensors, metadata } = readWeights(path);
    const text = metadata.get(key);
    return { tensors, value: text === undefined ? null : JSON.parse(text) };
  } catch (error) {
    const why = error instanceof OpError ? error.message.replace(`${error.op}: `, "") : `${path}: ${(error as Error).message}`;
    throw new OpError("checkpoint", why, { cause: error });
  }
}

export const saveModel = (path: string, state: Iterable<readonly [string, Tensor]>, card: ModelCard): Promise<void> =>
  saveTensors(path, state, cardKey, card);

/** A model's tensors and what the file says of the model: null for files from elsewhere. */
export function readModel(path: string): { readonly tensors: Map<string, StoredTensor>; readonly card: ModelCard | null } {
  const { tensors, value } = readTensors(path, cardKey);
  if (value === null) return { tensors, card: null };
  const card = value as Partial<ModelCard>;
  const whole = [card.numClasses, card.inChans, card.inputSize].every((size) => Number.isInteger(size) && (size as number) > 0);
  if (typeof card.model !== "string" || !whole) throw new OpError("checkpoint", `${path} has metadata of crabro that name no model`);
  return { tensors, card: card as ModelCard };
}
