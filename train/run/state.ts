/** Everything a killed run needs to go on as if nothing had happened, in one file. */
import { OpError } from "../../engine/errors.js";
import { defaultGenerator } from "../../engine/random.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import type { Module } from "../../models/nn/module.js";
import { type StoredTensor, toTypedArray } from "../../models/weights/safetensors.js";
import { type ModelCard, readTensors, saveTensors } from "../checkpoint.js";
import type { ModelEma } from "../ema.js";
import type { EpochMeasures } from "../loop.js";
import type { Optimizer, OptimizerState } from "../optim/optimizer.js";
import type { History } from "../report/history.js";

/** What of a run is saved besides its position. */
export interface RunParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly ema: ModelEma | null;
}

/** Where a run is: at the end of an epoch, or within one. */
export interface RunPosition {
  /** The epoch that is under way, or comes next. */
  readonly epoch: number;
  /** Batches of it that are done. */
  readonly batch: number;
  /** What it has measured so far; null at its start. */
  readonly measures: ReturnType<EpochMeasures["state"]> | null;
  readonly history: History;
}

interface Saved extends RunPosition {
  readonly steps: number;
  readonly groups: OptimizerState["groups"];
  /** The default generator, which drop path and dropout draw from. */
  readonly generator: { readonly seed: number; readonly counter: number };
}

const key = "crabro_run";

function prefixed<T>(prefix: string, entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries].map(([name, value]) => [`${prefix}.${name}`, value]);
}

/** Writes model, optimizer, average, random state and position. Other programs find the weights under `model.` and `ema.`. */
export async function saveRun(path: string, { model, optimizer, ema }: RunParts, position: RunPosition, card: ModelCard): Promise<void> {
  const { steps, groups, tensors } = optimizer.stateDict();
  const entries = [
    ...prefixed<Tensor>("model", model.stateDict()),
    ...prefixed<Tensor>("optimizer", tensors),
    ...(ema === null ? [] : prefixed<Tensor>("ema", ema.stateDict())),
  ];
  const { seed, counter } = defaultGenerator;
  const saved: Saved = { ...position, steps, groups, generator: { seed, counter } };
  await saveTensors(path, entries, { [key]: saved, crabro: card });
}

function part(tensors: ReadonlyMap<string, StoredTensor>, prefix: string): [string, StoredTensor][] {
  const named = [...tensors].filter(([name]) => name.startsWith(`${prefix}.`));
  return named.map(([name, stored]) => [name.slice(prefix.length + 1), stored]);
}

/** Takes up a saved run; returns where it is. Throws when the file belongs to another model or optimizer. */
export function loadRun(path: string, { model, optimizer, ema }: RunParts): RunPosition {
  const { tensors, values } = readTensors(path);
  const saved = values[key] as Saved | undefined;
  if (saved === undefined) throw new OpError("resume", `${path} is no saved run; name the folder of a run, or its last.safetensors`);
  const load = (prefix: string): Map<string, Tensor> =>
    new Map(
      part(tensors, prefix).map(([name, stored]) => {
        const dtype = stored.dtype === "I64" ? "int32" : stored.dtype === "F64" ? "float64" : "float32";
        return [name, fromHost(toTypedArray(stored, dtype), stored.shape, dtype, optimizer.device)];
      }),
    );
  if (ema !== null && part(tensors, "ema").length === 0)
    throw new OpError("resume", `${path} holds no average of the weights; go on without --model-ema`);
  model.loadStateDict(load("model"));
  optimizer.loadStateDict({ steps: saved.steps, groups: saved.groups, tensors: load("optimizer") });
  ema?.loadStateDict(load("ema"));
  Object.assign(defaultGenerator, saved.generator);
  const { epoch, batch, measures, history } = saved;
  return { epoch, batch, measures, history };
}

/** The weights of a saved run, by their own names: of the model, or of the average where there is one and it is wanted. */
export function weightsOfRun(tensors: ReadonlyMap<string, StoredTensor>, average: boolean): Map<string, StoredTensor> {
  const averaged = average ? part(tensors, "ema") : [];
  return new Map(averaged.length > 0 ? averaged : part(tensors, "model"));
}
