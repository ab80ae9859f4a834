/** The parts of a training, from the command's options. */
import { OpError } from "../../engine/errors.js";
import { GLNet } from "../../models/glnet.js";
import type { Module } from "../../models/nn/module.js";
import { type Classifier, createModel, modelInfo } from "../../models/registry.js";
import { showLoadReport } from "../../models/state.js";
import { readModel } from "../../train/checkpoint.js";
import { DataLoader } from "../../train/data/loader.js";
import { ModelEma } from "../../train/ema.js";
import { evaluation } from "../../train/evaluate.js";
import { AdamW } from "../../train/optim/adamw.js";
import { blockScheme, type LayerScheme, paramGroups } from "../../train/optim/groups.js";
import type { Optimizer } from "../../train/optim/optimizer.js";
import { SGD } from "../../train/optim/sgd.js";
import { constantRate, cosine, multiStep, poly, type Schedule } from "../../train/schedule.js";
import type { TrainStepOptions } from "../../train/step.js";
import type { TrainOptions } from "../options/train-options.js";
import { evaluationTransform, mixingOf, openDataset, trainingTransform, workersFor } from "./datasets.js";

export interface Shape {
  readonly inChans: number;
  readonly numClasses: number;
}

export type TrainData = ReturnType<typeof prepareData>;

/** The data, checked against the network before anything is built. */
export function prepareData(options: TrainOptions) {
  const size = options.inputSize ?? modelInfo(options.model).inputSize;
  const { dataset, dataDir } = options;
  const trainSet = openDataset("train", { dataset, dataDir, size, limit: options.trainLimit, tokenLabels: options.tokenLabelData });
  const testSet = openDataset("test", { dataset, dataDir, size, limit: options.valLimit }, trainSet.classNames);
  const shown = evaluationTransform(trainSet, size, options);
  const shape: Shape = { inChans: shown.channels, numClasses: options.numClasses ?? trainSet.numClasses };
  if (trainSet.numClasses > shape.numClasses)
    throw new OpError(
      "data",
      `${trainSet.name} has ${trainSet.numClasses} classes, ${options.model} tells ${shape.numClasses} apart; pass --num-classes ${trainSet.numClasses}`,
    );
  if (options.smoothing > 0 && shape.numClasses < 2)
    throw new OpError("train", "label smoothing needs two classes or more; pass --smoothing 0");
  if (options.tokenLabel && !options.model.endsWith("_tklb"))
    throw new OpError("train", `${options.model} has no head for tokens; --token-label is for the networks …_tklb`);
  if (options.tokenLabelData !== undefined && !(options.tokenLabel && dataset === "folder"))
    throw new OpError("train", "--token-label-data goes with --token-label and a folder of pictures");
  const train = trainingTransform(shown, dataset, options);
  return { size, shape, trainSet, testSet, shown, train };
}

/** A token of the last map lies under so many pixels in each direction. */
const tokenPixels = 32;

/** Both loaders, on the default device. */
export function makeLoaders(options: TrainOptions, { trainSet, testSet, shown, train, shape }: TrainData) {
  const { batchSize, seed, augRepeats, smoothing, skipBroken } = options;
  const mixing = mixingOf(options);
  const soft = mixing !== null || options.tokenLabel;
  const loader = new DataLoader(trainSet, {
    batchSize,
    transform: train,
    shuffle: true,
    seed,
    dropLast: trainSet.length >= batchSize,
    repeats: Math.max(1, augRepeats),
    mixing,
    targets: soft
      ? { classes: shape.numClasses, smoothing, ...(options.tokenLabelData === undefined ? {} : { side: train.size / tokenPixels }) }
      : null,
    broken: skipBroken ? "replace" : "refuse",
    workers: workersFor(trainSet, train, options.workers),
  });
  const testLoader = new DataLoader(testSet, {
    batchSize: options.validationBatchSize ?? batchSize,
    transform: shown,
    broken: skipBroken ? "drop" : "refuse",
    workers: workersFor(testSet, shown, options.workers),
  });
  return { loader, testLoader };
}

export function makeOptimizer(model: Module, options: TrainOptions, layers?: LayerScheme): Optimizer {
  const { lr, weightDecay, momentum, optEps, optBetas, layerDecay } = options;
  const scheme = layers ?? (model instanceof GLNet ? blockScheme(model) : undefined);
  const groups = paramGroups(model, { weightDecay, layerDecay, layers: scheme });
  if (options.opt === "sgd") return new SGD(groups, { lr, momentum, nesterov: momentum > 0 });
  return new AdamW(groups, { lr, eps: optEps, ...(optBetas === undefined ? {} : { betas: [optBetas[0], optBetas[1]] }) });
}

export function makeSchedule(options: TrainOptions, updates: number): Schedule {
  const { lr, minLr, warmupLr, sched, decayRate, decayEpochs, decayMilestones } = options;
  const totalSteps = options.epochs * updates;
  const warmupSteps = Math.min(Math.round(options.warmupEpochs * updates), totalSteps);
  const warmup = { lr, warmupLr, warmupSteps };
  switch (sched) {
    case "constant":
      return constantRate(lr, warmup);
    case "cosine":
      return cosine({ ...warmup, minLr, totalSteps });
    case "poly":
      return poly({ ...warmup, minLr, totalSteps, power: decayRate ?? 1 });
    case "step": {
      const count = Math.floor(options.epochs / decayEpochs);
      const milestones = Array.from({ length: count }, (_, i) => Math.round((i + 1) * decayEpochs * updates));
      return multiStep({ ...warmup, milestones, gamma: decayRate ?? 0.1 });
    }
    case "multistep":
      if (decayMilestones === undefined) throw new OpError("train", "--sched multistep needs --decay-milestones");
      return multiStep({ ...warmup, milestones: decayMilestones.map((epoch) => Math.round(epoch * updates)), gamma: decayRate ?? 0.1 });
  }
}

/** The moving average, and a second network to evaluate it with. */
async function makeAverage(options: TrainOptions, model: Classifier, shape: Shape) {
  if (!options.modelEma) return null;
  const ema = await ModelEma.of(model, { decay: options.modelEmaDecay });
  const averaged = createModel(options.model, { ...shape, meta: true });
  return { ema, averaged, evaluate: evaluation(averaged) };
}

/** Gives a network the weights of a file, and says which of them are missing, unexpected or of another shape. `name` is for messages. */
export function beginWith(model: Module, path: string, name: string, say: (line: string) => void): void {
  const report = model.loadStateDict(readModel(path).tensors, { strict: false });
  if (report.missing.length === model.stateDict().size) throw new OpError("train", `${path} holds nothing of ${name}`);
  const left = showLoadReport(report);
  say(`began with the weights of ${path}${left === "" ? "" : `, but for: ${left}`}`);
}

/** Network, optimizer, schedule, average, loaders. */
export async function prepare(options: TrainOptions, data: TrainData, say: (line: string) => void) {
  const model = createModel(options.model, { ...data.shape, dropPathRate: options.dropPath });
  if (options.initialCheckpoint !== undefined) beginWith(model, options.initialCheckpoint, options.model, say);
  const optimizer = makeOptimizer(model, options);
  const loaders = makeLoaders(options, data);
  const average = await makeAverage(options, model, data.shape);
  const stepOptions: TrainStepOptions = {
    labelSmoothing: options.smoothing,
    clipGrad: options.clipGrad || null,
    ema: average?.ema ?? null,
    tokenLabels: options.tokenLabel ? {} : null,
    guard: true,
  };
  return {
    model,
    optimizer,
    evaluate: evaluation(model),
    ...loaders,
    average,
    stepOptions,
  };
}
