/** A training from the command's options: epochs, evaluation, files. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { type Device, manualSeed } from "../../index.js";
import { locateAnomaly } from "../../train/anomaly.js";
import { type ModelCard, saveModel } from "../../train/checkpoint.js";
import type { EvalResult } from "../../train/evaluate.js";
import { type BadStep, EpochMeasures, type EpochProgress, trainEpoch } from "../../train/loop.js";
import { type EpochRecord, emptyTrace, type History, metricOf, traced } from "../../train/report/history.js";
import { holdsRun, RunFolder } from "../../train/run/folder.js";
import { loadRun, type RunParts, type RunPosition, saveRun } from "../../train/run/state.js";
import { type TrainingStep, trainingStep } from "../../train/step.js";
import { openDevice } from "../commands/open-device.js";
import { type Reporter, resultLine } from "../commands/report.js";
import type { TrainOptions } from "../options/train-options.js";
import { listenForStop, type StopRequest } from "./interrupt.js";
import { EpochReport } from "./report.js";
import { prepare, prepareData, type TrainData } from "./setup.js";

/** How many steps in a row may be left out. */
const mostSkips = 20;

/** What a run goes by. */
interface Setting {
  readonly options: TrainOptions;
  readonly data: TrainData;
  readonly device: Device;
  readonly folder: RunFolder;
  readonly report: Reporter;
  readonly stop: StopRequest;
}

type Parts = Awaited<ReturnType<typeof prepare>>;

/** Trains; goes on where `folder` holds a run. Returns the last evaluation of the model itself, null where nothing was left to do. */
export async function run(options: TrainOptions, path: string, report: Reporter): Promise<EvalResult | null> {
  const data = prepareData(options);
  const device = await openDevice(options.device);
  try {
    const folder = new RunFolder(path);
    const stop = listenForStop((line) => report.line(line));
    try {
      manualSeed(options.seed);
      const parts = await prepare(options, data, (line) => report.line(line));
      const { loader, testLoader } = parts;
      try {
        return await new TrainingRun({ options, data, device, folder, report, stop }, parts).run();
      } finally {
        await Promise.all([loader.close(), testLoader.close()]);
      }
    } finally {
      stop.close();
      folder.close();
    }
  } finally {
    await device.close();
  }
}

class TrainingRun {
  readonly #setting: Setting;
  readonly #parts: Parts;
  readonly #state: RunParts;
  readonly #step: TrainingStep;
  readonly #epochs: number;
  readonly #epochReport: EpochReport;
  /** What is saved. */
  #position: RunPosition;
  /** Steps left out in a row. */
  #skipped = 0;

  constructor(setting: Setting, parts: Parts) {
    const { options, data, device, folder } = setting;
    const { model, optimizer, average, updates } = parts;
    this.#setting = setting;
    this.#parts = parts;
    this.#state = { model, optimizer, ema: average?.ema ?? null };
    this.#epochs = options.epochs + options.cooldownEpochs;
    this.#position = { epoch: 0, batch: 0, measures: null, history: { epochs: [], trace: emptyTrace(this.#epochs * updates), best: null } };
    this.#epochReport = new EpochReport({ options, data, device, folder, updates, parameters: model.numParameters });
    const accumulates = options.gradAccumSteps > 1;
    this.#step = trainingStep(model, optimizer, { ...parts.stepOptions, compiled: options.compile, accumulates });
  }

  async run(): Promise<EvalResult | null> {
    await this.#begin();
    const { updates } = this.#parts;
    let result: EvalResult | null = null;
    try {
      const { epoch: first, batch } = this.#position;
      this.#epochReport.begin(first * updates + Math.floor(batch / this.#setting.options.gradAccumSteps));
      for (let epoch = first; epoch < this.#epochs; epoch++) result = await this.#epoch(epoch);
    } finally {
      this.#epochReport.close();
    }
    if (result === null) this.#setting.report.line(`all ${this.#epochs} epochs are done; pass a larger --epochs to go on`);
    this.#sayWhatCameOfIt();
    return result;
  }

  /** Takes up the run in the folder, or saves the first state: from then on it is known that the folder can be written to. */
  async #begin(): Promise<void> {
    const { options, data, device, folder, report } = this.#setting;
    const { model, loader, updates } = this.#parts;
    const resumes = holdsRun(folder.path);
    if (resumes) this.#position = loadRun(folder.last, this.#state);
    folder.writeArgs(options);
    report.line(`${options.model}: ${model.numParameters} parameters, on ${device.describe()}`);
    const shape = [loader.transform.channels, loader.transform.size, loader.transform.size].join(" × ");
    report.line(`${data.trainSet.name}: ${loader.samples} images of ${shape} an epoch, ${updates} steps; to ${folder.path}`);
    if (!resumes) return this.#save(this.#position);
    const { epoch, batch, history } = this.#position;
    report.line(`going on at epoch ${epoch}${batch > 0 ? `, batch ${batch}` : ""}`);
    folder.writeHistory(history.epochs);
  }

  async #save(position: RunPosition): Promise<void> {
    this.#position = position;
    await saveRun(this.#setting.folder.last, this.#state, position, this.#card(position));
  }

  async #epoch(epoch: number): Promise<EvalResult> {
    const trained = await this.#train(epoch);
    const { signal } = this.#setting.stop;
    if (signal.aborted) await this.#leave(trained);
    try {
      const { own, averaged } = await this.#evaluate();
      await this.#record(trained, own, averaged);
      return own;
    } catch (error) {
      if (!signal.aborted || (error as Error).name !== "AbortError") throw error;
      return this.#leave(trained);
    }
  }

  /** Goes through what is left of an epoch's batches; where the run is asked to stop, not to the end. */
  async #train(epoch: number): Promise<Trained> {
    const { options, report, stop } = this.#setting;
    const { loader, optimizer, schedule, updates } = this.#parts;
    const accumulate = options.gradAccumSteps;
    const { batch: from, measures: before } = this.#position;
    const measures = before === null ? new EpochMeasures() : EpochMeasures.of(before);
    let { history } = this.#position;
    let skipped = measures.skipped;
    const onStep = async (progress: EpochProgress): Promise<void> => {
      if (measures.skipped === skipped) this.#skipped = 0;
      skipped = measures.skipped;
      const at = epoch * updates + Math.ceil(progress.batch / accumulate) - 1;
      history = { ...history, trace: traced(history.trace, at, measures.loss.last, progress.lr, measures.gradNorm.last) };
      report.train(progress, this.#epochs);
      this.#epochReport.step(at, progress);
      const due = options.recoveryInterval > 0 && (at + 1) % options.recoveryInterval === 0 && progress.batch < progress.batches;
      if (due) await this.#save({ epoch, batch: progress.batch, measures: measures.state(), history });
    };
    const onBad = (bad: BadStep): Promise<void> => this.#handleBad(bad);
    const { batch } = await trainEpoch(this.#step, loader, {
      epoch,
      schedule,
      optimizer,
      accumulate,
      from,
      measures,
      onStep,
      onBad,
      signal: stop.signal,
    });
    return { epoch, batch, measures, history };
  }

  /** Saves the run within an epoch, and says how to go on. */
  async #leave({ epoch, batch, measures, history }: Trained): Promise<never> {
    const { folder, stop } = this.#setting;
    await this.#save({ epoch, batch, measures: measures.state(), history });
    return stop.leave(
      `stopped in epoch ${epoch}, after batch ${batch} of ${this.#parts.loader.length}; go on with: crabro train --resume ${folder.path}`,
    );
  }

  /** Measures the network, and where there is one its average, which the report then shows. Throws AbortError when it is asked to stop. */
  async #evaluate(): Promise<{ readonly own: EvalResult; readonly averaged: EvalResult | null }> {
    const { report, stop } = this.#setting;
    const { average, evaluate, testLoader } = this.#parts;
    this.#epochReport.beginEvaluation();
    const shared = { onBatch: report.evaluate.bind(report), signal: stop.signal };
    const { predicted } = this.#epochReport;
    const own = await evaluate(testLoader, { ...shared, onPrediction: average === null ? predicted : undefined });
    report.line(resultLine(own));
    if (average === null) return { own, averaged: null };
    average.averaged.loadStateDict(average.ema.stateDict());
    report.line("Average of the weights:");
    const averaged = await average.evaluate(testLoader, { ...shared, onPrediction: predicted });
    report.line(resultLine(averaged));
    return { own, averaged };
  }

  /** Writes what an epoch has come to. The state is last: a run killed before it was written evaluates once more, and writes the same. */
  async #record({ epoch, measures, history: before }: Trained, own: EvalResult, averaged: EvalResult | null): Promise<void> {
    const { options, data, folder } = this.#setting;
    const { model, average, schedule, updates, loader, testLoader } = this.#parts;
    const record: EpochRecord = {
      epoch,
      lr: schedule((epoch + 1) * updates - 1),
      trainLoss: measures.loss.mean,
      trainTop1: measures.top1.mean,
      gradNorm: measures.gradNorm.mean,
      skipped: measures.skipped,
      evalLoss: own.loss,
      evalTop1: own.top1,
      evalTop5: own.top5,
      ema: averaged,
    };
    const metric = metricOf(record);
    const isBest = before.best === null || metric > before.best.metric;
    const history = { ...before, epochs: [...before.epochs, record], best: isBest ? { epoch, metric } : before.best };
    if (isBest) {
      const state = average === null ? model.stateDict() : average.ema.stateDict();
      await saveModel(folder.best, state, { ...this.#card({ epoch: epoch + 1 }), top1: metric });
    }
    folder.writeHistory(history.epochs);
    this.#epochReport.broken([...loader.broken, ...testLoader.broken]);
    await this.#epochReport.end(history, data.testSet);
    await this.#save({ epoch: epoch + 1, batch: 0, measures: null, history });
    folder.keepCheckpoint(history.epochs, options.checkpointHist, metricOf);
  }

  #sayWhatCameOfIt(): void {
    const { folder, report } = this.#setting;
    const { best } = this.#position.history;
    if (best !== null) report.line(`*** Best metric: ${best.metric.toFixed(3)} (epoch ${best.epoch})`);
    const broken = [...this.#parts.loader.broken, ...this.#parts.testLoader.broken];
    for (const why of broken.slice(0, 5)) report.line(`left out: ${why}`);
    if (broken.length > 0) report.line(`${broken.length} pictures could not be read`);
    report.line(`wrote ${folder.path}${existsSync(folder.file("report.html")) ? `; open ${join(folder.path, "report.html")}` : ""}`);
  }

  #card({ epoch, history }: { readonly epoch: number; readonly history?: RunPosition["history"] }): ModelCard {
    const { options, data } = this.#setting;
    const { shape, size, shown, trainSet } = data;
    const last = history?.epochs.at(-1);
    return {
      model: options.model,
      ...shape,
      inputSize: size,
      epoch: epoch - 1,
      top1: last === undefined ? null : metricOf(last),
      transform: shown,
      classNames: trainSet.classNames,
    };
  }

  /** Says which operation went wrong first; throws unless the step is to be left out. */
  async #handleBad({ epoch, batch, outcome, batches, counter }: BadStep): Promise<void> {
    const { options, folder, report } = this.#setting;
    const { model, optimizer, stepOptions } = this.#parts;
    const inARow = ++this.#skipped;
    const found = inARow > 3 ? null : await locateAnomaly(model, optimizer, batches, stepOptions, counter);
    const what = Number.isFinite(outcome.loss) ? `the norm of the gradients is ${outcome.gradNorm}` : `the loss is ${outcome.loss}`;
    const where = `${what} at step ${batch} of epoch ${epoch}${found === null ? "" : `: ${found.message}`}`;
    if (options.onNan === "skip" && inARow < mostSkips) {
      report.line(`left out: ${where}`);
      return;
    }
    const tried = inARow > 1 ? ` (${inARow} steps in a row)` : "";
    throw new OpError(
      "train",
      `${where}${tried}; the last good state is in ${folder.last}; try a lower --lr, a longer --warmup-epochs, --clip-grad, or --on-nan skip`,
    );
  }
}

/** How far an epoch has come. */
interface Trained {
  readonly epoch: number;
  /** Batches done. */
  readonly batch: number;
  readonly measures: EpochMeasures;
  readonly history: History;
}
