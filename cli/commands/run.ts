/** A training from the command line's flags. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { compile, type Device, manualSeed } from "../../index.js";
import { type Classifier, createModel, modelInfo } from "../../models/registry.js";
import { saveModel, writeAtomically } from "../../train/checkpoint.js";
import { DataLoader } from "../../train/data/loader.js";
import { ModelEma } from "../../train/ema.js";
import { type EvalResult, evaluation, trainEpoch, trainStep } from "../../train/loop.js";
import { AdamW } from "../../train/optim/adamw.js";
import { paramGroups } from "../../train/optim/groups.js";
import type { Optimizer } from "../../train/optim/optimizer.js";
import { SGD } from "../../train/optim/sgd.js";
import { loadRun, saveRun } from "../../train/run-state.js";
import { constantRate, cosine, type Schedule } from "../../train/schedule.js";
import { checkFit, openDataset, openDevice } from "./data.js";
import { type Reporter, resultLine } from "./report.js";
import type { TrainFlags } from "./train.js";

function makeOptimizer(model: Classifier, flags: TrainFlags): Optimizer {
  const { lr, weightDecay, momentum } = flags;
  const groups = paramGroups(model, { weightDecay, layerDecay: flags.layerDecay });
  return flags.opt === "adamw" ? new AdamW(groups, { lr }) : new SGD(groups, { lr, momentum, nesterov: momentum > 0 });
}

function makeSchedule(flags: TrainFlags, stepsPerEpoch: number): Schedule {
  if (flags.sched === "constant") return constantRate(flags.lr);
  const totalSteps = flags.epochs * stepsPerEpoch;
  const warmupSteps = Math.min(Math.round(flags.warmupEpochs * stepsPerEpoch), totalSteps);
  return cosine({ lr: flags.lr, minLr: flags.minLr, totalSteps, warmupSteps });
}

const runName = (model: string): string => `${new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-")}-${model}`;

interface Shape {
  readonly inChans: number;
  readonly numClasses: number;
}

/** The data, checked against the network before anything is built. */
function prepareData(flags: TrainFlags) {
  const size = flags.inputSize ?? modelInfo(flags.model).inputSize;
  const data = { dataset: flags.dataset, dataDir: flags.dataDir, size };
  const trainSet = openDataset("train", { ...data, limit: flags.trainLimit ?? (flags.dataset === "mnist" ? 10_000 : undefined) });
  const testSet = openDataset("test", { ...data, limit: flags.valLimit });
  const shape: Shape = { inChans: flags.inChans ?? trainSet.imageShape[0], numClasses: flags.numClasses ?? trainSet.numClasses };
  checkFit(trainSet, flags.model, shape);
  if (flags.smoothing > 0 && shape.numClasses < 2)
    throw new OpError("train", "label smoothing needs two classes or more; pass --smoothing 0");
  return { size, shape, trainSet, testSet };
}

/** The moving average, and a second network to evaluate it with. */
async function prepareAverage(flags: TrainFlags, model: Classifier, shape: Shape) {
  if (!flags.modelEma) return null;
  const ema = await ModelEma.of(model, { decay: flags.modelEmaDecay });
  const averaged = createModel(flags.model, { ...shape, meta: true });
  return { ema, averaged, evaluate: evaluation(averaged) };
}

/** Trains from flags; returns the last evaluation of the model itself. */
export async function run(flags: TrainFlags, report: Reporter): Promise<EvalResult> {
  const data = prepareData(flags);
  const device = await openDevice(flags.device);
  try {
    return await runOn(device, flags, data, report);
  } finally {
    await device.close();
  }
}

async function runOn(
  device: Device,
  flags: TrainFlags,
  { size, shape, trainSet, testSet }: ReturnType<typeof prepareData>,
  report: Reporter,
) {
  manualSeed(flags.seed);
  const model = createModel(flags.model, { ...shape, dropPathRate: flags.dropPath });
  const loader = new DataLoader(trainSet, {
    batchSize: flags.batchSize,
    shuffle: true,
    seed: flags.seed,
    dropLast: trainSet.length >= flags.batchSize,
  });
  const testLoader = new DataLoader(testSet, { batchSize: flags.validationBatchSize ?? flags.batchSize });
  const optimizer = makeOptimizer(model, flags);
  const schedule = makeSchedule(flags, loader.length);
  const average = await prepareAverage(flags, model, shape);
  const parts = { model, optimizer, ema: average?.ema ?? null };

  const folder = flags.output ?? join("runs", runName(flags.model));
  const file = (name: string): string => join(folder, name);
  const stateFile = file("state.safetensors");
  if (flags.resume !== undefined && !existsSync(stateFile))
    throw new OpError("train", `${folder} holds no run to resume: there is no ${stateFile}`);
  const first = flags.resume === undefined ? 0 : loadRun(stateFile, parts);
  writeAtomically(file("args.json"), new TextEncoder().encode(`${JSON.stringify(flags, null, 2)}\n`));
  report.line(`${flags.model}: ${model.numParameters} parameters, on ${device.describe()}`);
  report.line(
    `${trainSet.name}: ${loader.samples} images of ${trainSet.imageShape.join(" × ")} an epoch, ${loader.length} steps; to ${folder}`,
  );

  const build = trainStep(model, optimizer, { labelSmoothing: flags.smoothing, clipGrad: flags.clipGrad || null, ema: parts.ema });
  const step = flags.compile ? compile(build) : async (...batch: Parameters<typeof build>) => build(...batch);
  const evaluate = evaluation(model);
  let result: EvalResult = { top1: 0, top5: 0, loss: Number.NaN };
  for (let epoch = first; epoch < flags.epochs; epoch++) {
    await trainEpoch(step, loader, { epoch, schedule, optimizer, onStep: (progress) => report.train(progress) });
    result = await evaluate(testLoader, (progress) => report.evaluate(progress));
    report.line(resultLine(result));
    const card = { model: flags.model, ...shape, inputSize: size, epoch };
    await saveModel(file("model.safetensors"), model.stateDict(), { ...card, top1: result.top1 });
    if (average !== null) {
      average.averaged.loadStateDict(average.ema.stateDict());
      report.line("Average of the weights:");
      const averaged = await average.evaluate(testLoader, (progress) => report.evaluate(progress));
      report.line(resultLine(averaged));
      await saveModel(file("model_ema.safetensors"), average.ema.stateDict(), { ...card, top1: averaged.top1 });
    }
    await saveRun(stateFile, parts, epoch + 1);
  }
  report.line(
    first < flags.epochs ? `wrote ${file("model.safetensors")}` : `all ${flags.epochs} epochs are done; pass a larger --epochs to go on`,
  );
  return result;
}
