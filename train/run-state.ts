/** Everything a killed run needs to go on as if nothing had happened, in one file. */
import { OpError } from "../engine/errors.js";
import { defaultGenerator } from "../engine/random.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import type { Module } from "../models/nn/module.js";
import { toTypedArray } from "../models/weights/safetensors.js";
import { readTensors, saveTensors } from "./checkpoint.js";
import type { ModelEma } from "./ema.js";
import type { Optimizer, OptimizerState } from "./optim/optimizer.js";

export interface Run {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly ema: ModelEma | null;
}

interface Position {
  /** Epochs done. */
  readonly epochs: number;
  readonly steps: number;
  readonly groups: OptimizerState["groups"];
  /** The default generator, which drop path and dropout draw from. */
  readonly generator: { readonly seed: number; readonly counter: number };
}

const key = "crabro_run";

function prefixed<T>(prefix: string, entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries].map(([name, value]) => [`${prefix}.${name}`, value]);
}

/** Writes model, optimizer, average and random state after `epochs` epochs. */
export async function saveRun(path: string, { model, optimizer, ema }: Run, epochs: number): Promise<void> {
  const { steps, groups, tensors } = optimizer.stateDict();
  const entries = [
    ...prefixed<Tensor>("model", model.stateDict()),
    ...prefixed<Tensor>("optimizer", tensors),
    ...(ema === null ? [] : prefixed<Tensor>("ema", ema.stateDict())),
  ];
  const { seed, counter } = defaultGenerator;
  const position: Position = { epochs, steps, groups, generator: { seed, counter } };
  await saveTensors(path, entries, key, position);
}

/** Takes up a saved run; returns how many epochs are done. Throws when the file belongs to another model or optimizer. */
export function loadRun(path: string, { model, optimizer, ema }: Run): number {
  const { tensors, value } = readTensors(path, key);
  if (value === null) throw new OpError("resume", `${path} is no saved run; name the file state.safetensors of a run's folder`);
  const position = value as Position;
  const part = (prefix: string): Map<string, Tensor> => {
    const found = new Map<string, Tensor>();
    for (const [name, stored] of tensors) {
      if (!name.startsWith(`${prefix}.`)) continue;
      const dtype = stored.dtype === "I64" ? "int32" : stored.dtype === "F64" ? "float64" : "float32";
      found.set(name.slice(prefix.length + 1), fromHost(toTypedArray(stored, dtype), stored.shape, dtype, optimizer.device));
    }
    return found;
  };
  model.loadStateDict(part("model"));
  optimizer.loadStateDict({ steps: position.steps, groups: position.groups, tensors: part("optimizer") });
  ema?.loadStateDict(part("ema"));
  Object.assign(defaultGenerator, position.generator);
  return position.epochs;
}
