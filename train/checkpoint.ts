/** Checkpoints: safetensors files, written so that a file of this name is always whole. */
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { readWeights, writeAtomically } from "../models/node.js";
import { storeState } from "../models/state.js";
import { type StoredTensor, safetensorsChunks } from "../models/weights/safetensors.js";

export { writeAtomically } from "../models/node.js";

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

/** Writes tensors by name, with one entry of metadata as JSON. */
export async function saveTensors(path: string, entries: Iterable<readonly [string, Tensor]>, key: string, value: unknown): Promise<void> {
  writeAtomically(
    path,
    safetensorsChunks(await storeState(entries), [
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
