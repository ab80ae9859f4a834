/** Training on digits, as the page's worker does it; the same function runs in Node. */
import { defaultDevice, device, manualSeed, setDefaultDevice } from "../index.js";
import { createModel } from "../models/registry.js";
import { type Dataset, firstOf } from "../train/data/dataset.js";
import { DataLoader, plainTransform } from "../train/data/loader.js";
import { evaluation } from "../train/evaluate.js";
import { trainEpoch, updatesOf } from "../train/loop.js";
import { AdamW } from "../train/optim/adamw.js";
import { paramGroups } from "../train/optim/groups.js";
import { cosine } from "../train/schedule.js";
import { trainingStep } from "../train/step.js";
import type { Progress, TrainingRequest } from "./messages.js";

export interface Digits {
  readonly train: Dataset;
  readonly test: Dataset;
}

/** The recipe of `crabro train`: AdamW, cosine after a tenth of an epoch of warm-up, smoothing 0.1, clipping at 5. */
export async function train(
  digits: Digits,
  request: TrainingRequest,
  tell: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { model: name, epochs, batchSize, lr, seed } = request;
  const before = defaultDevice();
  const on = await device(request.device, request.deviceOptions ?? {});
  setDefaultDevice(on);
  try {
    manualSeed(seed);
    const trainSet = firstOf(digits.train, request.trainLimit);
    const testSet = firstOf(digits.test, request.testLimit);
    const model = createModel(name, { inChans: trainSet.channels, numClasses: trainSet.numClasses });
    const shown = plainTransform(trainSet, 32);
    const loader = new DataLoader(trainSet, { batchSize, transform: shown, shuffle: true, seed, dropLast: true });
    const testLoader = new DataLoader(testSet, { batchSize, transform: shown });
    const optimizer = new AdamW(paramGroups(model, { weightDecay: 0.05 }), { lr });
    const updates = updatesOf(loader);
    const schedule = cosine({ lr, minLr: 1e-6, warmupLr: 0, warmupSteps: Math.round(updates / 10), totalSteps: epochs * updates });
    const step = trainingStep(model, optimizer, { labelSmoothing: 0.1, clipGrad: 5 });
    const evaluate = evaluation(model);
    tell({ kind: "start", device: on.describe(), parameters: model.numParameters, steps: epochs * updates });
    for (let epoch = 0; epoch < epochs && !signal.aborted; epoch++) {
      await trainEpoch(step, loader, {
        epoch,
        schedule,
        optimizer,
        signal,
        onStep: ({ batch, measures, lr: rate, seconds, samples }) =>
          tell({
            kind: "step",
            step: epoch * updates + batch,
            loss: measures.loss.last,
            accuracy: measures.of("top1").last,
            lr: rate,
            imagesPerSecond: samples / seconds,
          }),
      });
      if (signal.aborted) break;
      const { top1, loss } = await evaluate(testLoader, { signal });
      tell({ kind: "evaluation", step: (epoch + 1) * updates, accuracy: top1, loss });
    }
  } finally {
    setDefaultDevice(before);
    await on.close();
  }
}
