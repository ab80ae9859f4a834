/** Checkpoints: safetensors files, written so that a file of this name is always whole. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { readWeights, writeAtomically as replaceFile } from "../models/node.js";
import type { SlidingOptions } from "../models/segmentor.js";
import { storeState } from "../models/state.js";
import { type StoredTensor, safetensorsChunks } from "../models/weights/safetensors.js";
import type { SceneTransform } from "./augment/scene-transform.js";
import type { Transform } from "./augment/transform.js";
import { weightsOfRun } from "./run/state.js";

/** What a model file says about its model, under the metadata key `crabro`. */
export interface ModelCard {
  readonly model: string;
  readonly numClasses: number;
  readonly inChans: number;
  readonly inputSize: number;
  /** The last epoch done, counted from 0. */
  readonly epoch: number;
  /** The measure of the last evaluation, in per cent: accuracy, or what the task has in its place. */
  readonly top1: number | null;
  /** What the network is shown in evaluation; absent in files of other makers. */
  readonly transform?: Transform;
  readonly classNames?: readonly string[];
  /** Default: classify. */
  readonly task?: "classify" | "segment" | "detect";
  /** Of segmentation and detection: what the network is built from, what it is shown, and whether by windows. */
  readonly design?: Readonly<Record<string, unknown>>;
  readonly sceneTransform?: SceneTransform;
  readonly sliding?: SlidingOptions;
}

const cardKey = "crabro";
const temporaryName = /^\..*\.\d+\.tmp$/;

/** Removes what writers that were killed have left half done in a folder. To be called by its only user. */
export function removeTemporaries(folder: string): void {
  for (const name of readdirSync(folder)) if (temporaryName.test(name)) rmSync(join(folder, name), { force: true });
}

/**
 * Writes under a temporary name beside `path`, has it on the disk, then renames: a crash leaves the old file or the new one. Throws OpError
 * where that is not possible, as on a full disk; what was there before is still there then.
 */
export function writeAtomically(path: string, content: Uint8Array | Iterable<Uint8Array>): void {
  try {
    replaceFile(path, content);
  } catch (error) {
    throw new OpError("checkpoint", `cannot write ${path}: ${(error as Error).message}; what was there before is as it was`, {
      cause: error,
    });
  }
}

/** Writes tensors by name, with entries of metadata as JSON. */
export async function saveTensors(
  path: string,
  entries: Iterable<readonly [string, Tensor]>,
  values: Readonly<Record<string, unknown>>,
): Promise<void> {
  const metadata = Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)] as const);
  writeAtomically(path, safetensorsChunks(await storeState(entries), [["format", "pt"], ...metadata]));
}

/** The contents of a file of tensors. */
export interface TensorsFile {
  readonly tensors: Map<string, StoredTensor>;
  /** Those entries of metadata that are JSON. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Reads a file of weights, safetensors or PyTorch's. Every failure is an OpError that names the file. */
export function readTensors(path: string): TensorsFile {
  try {
    const { tensors, metadata } = readWeights(path);
    return { tensors, values: Object.fromEntries([...metadata].flatMap(([key, text]) => parsed(key, text))) };
  } catch (error) {
    const why = error instanceof OpError ? error.message.replace(`${error.op}: `, "") : `${path}: ${(error as Error).message}`;
    throw new OpError("checkpoint", why, { cause: error });
  }
}

function parsed(key: string, text: string): [string, unknown][] {
  try {
    return [[key, JSON.parse(text)]];
  } catch {
    return [];
  }
}

/** Writes weights with what there is to know of their model. Throws OpError where the file cannot be written. */
export const saveModel = (path: string, state: Iterable<readonly [string, Tensor]>, card: ModelCard): Promise<void> =>
  saveTensors(path, state, { [cardKey]: card });

/** The contents of a file of weights. */
export interface ModelFile {
  readonly tensors: Map<string, StoredTensor>;
  /** null for files from elsewhere. */
  readonly card: ModelCard | null;
}

/** A model's tensors and what the file says of the model. Of a saved run (`last.safetensors`) it gives the average where there is one. */
export function readModel(path: string): ModelFile {
  const { tensors: all, values } = readTensors(path);
  const tensors = values.crabro_run === undefined ? all : weightsOfRun(all, true);
  if (values[cardKey] === undefined) return { tensors, card: null };
  const card = values[cardKey] as Partial<ModelCard>;
  const whole = [card.numClasses, card.inChans, card.inputSize].every((size) => Number.isInteger(size) && (size as number) > 0);
  if (typeof card.model !== "string" || !whole) throw new OpError("checkpoint", `${path} has metadata of crabro that name no model`);
  return { tensors, card: card as ModelCard };
}
