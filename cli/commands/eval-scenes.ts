/** Measures a checkpoint of segmentation or detection on scenes. */
import { OpError } from "../../engine/errors.js";
import type { Module } from "../../models/nn/module.js";
import type { Backbone } from "../../models/registry.js";
import type { StoredTensor } from "../../models/weights/stored.js";
import type { ModelCard } from "../../train/checkpoint.js";
import type { Split } from "../../train/data/dataset.js";
import { SceneLoader } from "../../train/data/scene-loader.js";
import type { SceneKind } from "../training/scene-task.js";
import { openScenes } from "../training/scenes.js";
import { openDevice } from "./open-device.js";
import type { Reporter } from "./report.js";

export interface SceneEvaluation {
  readonly checkpoint: string;
  readonly dataDir?: string;
  readonly split: Split;
  readonly valLimit?: number;
  readonly batchSize: number;
  readonly skipBroken: boolean;
  readonly reduceZeroLabel: boolean;
  readonly device: string;
}

/** Prints a table of the classes, then the means. Returns all that was measured, shares from 0 to 1. */
export async function evaluateScenes<M extends Module & { readonly backbone: Backbone }, R, S>(
  kind: SceneKind<M, R, S>,
  options: SceneEvaluation,
  { design, sceneTransform, sliding, classNames = [], model: backbone }: ModelCard,
  tensors: ReadonlyMap<string, StoredTensor>,
  report: Reporter,
): Promise<R> {
  const { checkpoint, dataDir, skipBroken, reduceZeroLabel, valLimit, batchSize } = options;
  if (design === undefined || sceneTransform === undefined)
    throw new OpError("eval", `${checkpoint} does not say how its network is built`);
  if (dataDir === undefined) throw new OpError("eval", "name the folder of scenes: crabro eval FOLDER --checkpoint FILE");
  const onBroken = (why: string): void => report.line(`left out: ${why}`);
  const reading = { skipBroken, reduceZeroLabel, onBroken, limit: valLimit };
  const dataset = openScenes(dataDir, options.split, kind.namesAre === "classes", reading);
  const names = dataset[kind.namesAre];
  if (names.join("\n") !== classNames.join("\n"))
    throw new OpError("eval", `${dataset.name} has ${names.length} ${kind.namesAre} (${names.slice(0, 3)}, …), ${checkpoint} knows others`);
  const device = await openDevice(options.device);
  try {
    const model = kind.build(design, { meta: true });
    model.loadStateDict(tensors);
    report.line(`${backbone}: ${model.numParameters} parameters, on ${device.describe()}`);
    report.speak(kind.words);
    const broken = skipBroken ? "drop" : "refuse";
    const loader = new SceneLoader(dataset, { batchSize, transform: sceneTransform, maxInstances: 1, broken });
    const result = await kind.evaluation(model, sliding ?? null)(loader, { onBatch: (progress) => report.evaluate(progress) });
    for (const why of loader.broken) onBroken(why);
    for (const line of kind.lines(result, names)) report.line(line);
    report.result(kind.measures(result));
    return result;
  } finally {
    await device.close();
  }
}
