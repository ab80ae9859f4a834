/** Measures a checkpoint of segmentation on scenes. */
import { OpError } from "../../engine/errors.js";
import { type SegmentorOptions, segmentor } from "../../models/segmentor.js";
import type { StoredTensor } from "../../models/weights/stored.js";
import type { ModelCard } from "../../train/checkpoint.js";
import type { Split } from "../../train/data/dataset.js";
import { firstScenes } from "../../train/data/scene.js";
import { SceneLoader } from "../../train/data/scene-loader.js";
import { semanticDataset } from "../../train/data/semantic.js";
import { segmentationEvaluation } from "../../train/segment.js";
import { segmentationMeasures, segmentationWords } from "../training/segment.js";
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

/** Prints the means, and a line for each class. */
export async function evaluateSegmentation(
  options: SceneEvaluation,
  { design, sceneTransform, sliding, classNames = [], model: backbone }: ModelCard,
  tensors: ReadonlyMap<string, StoredTensor>,
  report: Reporter,
): Promise<void> {
  const { checkpoint, dataDir, skipBroken, reduceZeroLabel, valLimit, batchSize } = options;
  if (design === undefined || sceneTransform === undefined)
    throw new OpError("eval", `${checkpoint} does not say how its network is built`);
  if (dataDir === undefined) throw new OpError("eval", "name the folder of scenes: crabro eval FOLDER --checkpoint FILE");
  const onBroken = (why: string): void => report.line(`left out: ${why}`);
  const dataset = firstScenes(semanticDataset(dataDir, options.split, { skipBroken, reduceZeroLabel, onBroken }), valLimit);
  if (dataset.classes.length !== classNames.length)
    throw new OpError("eval", `${dataset.name} has ${dataset.classes.length} classes, ${checkpoint} tells ${classNames.length} apart`);
  const device = await openDevice(options.device);
  try {
    const model = segmentor({ ...(design as unknown as SegmentorOptions), meta: true });
    model.loadStateDict(tensors);
    report.line(`${backbone}: ${model.numParameters} parameters, on ${device.describe()}`);
    report.speak(segmentationWords);
    const loader = new SceneLoader(dataset, {
      batchSize,
      transform: sceneTransform,
      maxInstances: 1,
      broken: skipBroken ? "drop" : "refuse",
    });
    const result = await segmentationEvaluation(model, sliding ?? null)(loader, { onBatch: (progress) => report.evaluate(progress) });
    for (const why of loader.broken) onBroken(why);
    const width = Math.max(...classNames.map(({ length }) => length));
    const percent = (value: number): string => (Number.isNaN(value) ? "–" : (100 * value).toFixed(2)).padStart(7);
    result.perClass.forEach(({ iou, acc }, i) => {
      report.line(`${classNames[i].padEnd(width)}  IoU ${percent(iou)}  Acc ${percent(acc)}`);
    });
    report.result(segmentationMeasures(result));
  } finally {
    await device.close();
  }
}
