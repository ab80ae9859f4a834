/** A training from the command's options: epochs, evaluation, files. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { type Device, manualSeed } from "../../index.js";
import { locateAnomaly } from "../../train/anomaly.js";
import { type ModelCard, saveModel } from "../../train/checkpoint.js";
import type { EvalResult } from "../../train/evaluate.js";
import { type BadStep, EpochMeasures, type EpochProgress, trainEpoch } from "../../train/loop.js";
import { type EpochRecord, emptyTrace, metricOf, traced } from "../../train/report/history.js";
import { holdsRun, RunFolder } from "../../train/run/folder.js";
import { loadRun, type RunPosition, saveRun } from "../../train/run/state.js";
import { trainingStep } from "../../train/step.js";
import { openDevice } from "../commands/open-device.js";
import { type Reporter, resultLine } from "../commands/report.js";
import type { TrainOptions } from "../options/train-options.js";
import { listenForStop, type StopRequest } from "./interrupt.js";
import { EpochReport } from "./report.js";
import { prepare, prepareData, type TrainData } from "./setup.js";

/** How many steps in a row may be left out. */
const mostSkips = 20;

/** Trains; goes on where `folder` holds a run. Returns the last evaluation of the model itself, null where nothing was left to do. */
export async function run(options: TrainOptions, path: string, report: Reporter): Promise<EvalResult | null> {
  const data = prepareData(options);
  const device = await openDevice(options.device);
  try {
    const folder = new RunFolder(path);
    const stop = listenForStop((line) => report.line(line));
    try {
      return await new TrainingRun(options, data, device, folder, report, stop).run();
    } finally {
      stop.close();
      folder.close();
    }
  } finally {
    await device.close();
  }
}

class TrainingRun {
  readonly #options: TrainOptions;
  readonly #data: TrainData;
  readonly #device: Device;
  readonly #folder: RunFolder;
  readonly #report: Reporter;
  readonly #stop: StopRequest;

  constructor(options: TrainOptions, data: TrainData, device: Device, folder: RunFolder, report: Reporter, stop: StopRequest) {
    this.#options = options;
    this.#data = data;
    this.#device = device;
    this.#folder = folder;
    this.#report = report;
    this.#stop = stop;
  }

  async run(): Promise<EvalResult | null> {
    const [options, folder, report] = [this.#options, this.#folder, this.#report];
    manualSeed(options.seed);
    const parts = await prepare(options, this.#data, (line) => report.line(line));
    const { model, optimizer, loader, testLoader, updates, average } = parts;
    try {
      const epochs = options.epochs + options.cooldownEpochs;
      const resumes = holdsRun(folder.path);
      const runParts = { model, optimizer, ema: average?.ema ?? null };
      let position: RunPosition = resumes
        ? loadRun(folder.last, runParts)
        : { epoch: 0, batch: 0, measures: null, history: { epochs: [], trace: emptyTrace(epochs * updates), best: null } };
      folder.writeArgs(options);
      const { trainSet, testSet } = this.#data;
      report.line(`${options.model}: ${model.numParameters} parameters, on ${this.#device.describe()}`);
      const shape = [loader.transform.channels, loader.transform.size, loader.transform.size].join(" × ");
      report.line(`${trainSet.name}: ${loader.samples} images of ${shape} an epoch, ${updates} steps; to ${folder.path}`);
      if (resumes) report.line(`going on at epoch ${position.epoch}${position.batch > 0 ? `, batch ${position.batch}` : ""}`);

      const save = async (at: RunPosition): Promise<void> => {
        position = at;
        await saveRun(folder.last, runParts, at, this.#card(at));
      };
      // From the first step on there is something to go on from, and it is known that the folder can be written to.
      if (resumes) folder.writeHistory(position.history.epochs);
      else await save(position);

      const epochReport = new EpochReport({
        options,
        data: this.#data,
        device: this.#device,
        folder,
        updates,
        parameters: model.numParameters,
      });
      const step = trainingStep(model, optimizer, {
        ...parts.stepOptions,
        compiled: options.compile,
        accumulates: options.gradAccumSteps > 1,
      });
      let result: EvalResult | null = null;
      // Steps left out in a row.
      let skipped = 0;
      let isBad = false;
      try {
        epochReport.begin(position.epoch * updates + Math.floor(position.batch / options.gradAccumSteps));
        for (let epoch = position.epoch; epoch < epochs; epoch++) {
          let { history } = position;
          const measures = position.measures === null ? new EpochMeasures() : EpochMeasures.of(position.measures);
          const onStep = async (progress: EpochProgress): Promise<void> => {
            const at = epoch * updates + Math.ceil(progress.batch / options.gradAccumSteps) - 1;
            history = { ...history, trace: traced(history.trace, at, measures.loss.last, progress.lr, measures.gradNorm.last) };
            report.train(progress, epochs);
            epochReport.step(at, progress);
            const due = options.recoveryInterval > 0 && (at + 1) % options.recoveryInterval === 0 && progress.batch < progress.batches;
            if (due) await save({ epoch, batch: progress.batch, measures: measures.state(), history });
          };
          const onBad = async (bad: BadStep): Promise<void> => {
            skipped++;
            isBad = true;
            await this.#handleBad(bad, parts, skipped);
          };
          const { batch } = await trainEpoch(step, loader, {
            epoch,
            schedule: parts.schedule,
            optimizer,
            accumulate: options.gradAccumSteps,
            from: position.batch,
            measures,
            onStep: (progress) => {
              if (!isBad) skipped = 0;
              isBad = false;
              return onStep(progress);
            },
            onBad,
            signal: this.#stop.signal,
          });
          const leave = async (): Promise<never> => {
            await save({ epoch, batch, measures: measures.state(), history });
            return this.#stop.leave(
              `stopped in epoch ${epoch}, after batch ${batch} of ${loader.length}; go on with: crabro train --resume ${folder.path}`,
            );
          };
          if (this.#stop.signal.aborted) await leave();

          epochReport.beginEvaluation();
          let averaged: EvalResult | null = null;
          try {
            const signal = this.#stop.signal;
            const onBatch = report.evaluate.bind(report);
            const onPrediction = average === null ? epochReport.predicted : undefined;
            result = await parts.evaluate(testLoader, { onBatch, signal, onPrediction });
            report.line(resultLine(result));
            if (average !== null) {
              average.averaged.loadStateDict(average.ema.stateDict());
              report.line("Average of the weights:");
              averaged = await average.evaluate(testLoader, { onBatch, signal, onPrediction: epochReport.predicted });
              report.line(resultLine(averaged));
            }
          } catch (error) {
            if (!this.#stop.signal.aborted) throw error;
            await leave();
          }
          const record: EpochRecord = {
            epoch,
            lr: parts.schedule((epoch + 1) * updates - 1),
            trainLoss: measures.loss.mean,
            trainTop1: measures.top1.mean,
            gradNorm: measures.gradNorm.mean,
            skipped: measures.skipped,
            evalLoss: (result as EvalResult).loss,
            evalTop1: (result as EvalResult).top1,
            evalTop5: (result as EvalResult).top5,
            ema: averaged,
          };
          const isBest = history.best === null || metricOf(record) > history.best.metric;
          const best = isBest ? { epoch, metric: metricOf(record) } : history.best;
          history = { ...history, epochs: [...history.epochs, record], best };
          // The state comes last: a run killed before it was written evaluates once more, and writes the same.
          if (isBest) {
            const state = average === null ? model.stateDict() : average.ema.stateDict();
            await saveModel(folder.best, state, { ...this.#card({ epoch: epoch + 1 }), top1: metricOf(record) });
          }
          folder.writeHistory(history.epochs);
          epochReport.broken([...loader.broken, ...testLoader.broken]);
          await epochReport.end(history, testSet);
          await save({ epoch: epoch + 1, batch: 0, measures: null, history });
          folder.keepCheckpoint(history.epochs, options.checkpointHist, metricOf);
        }
      } finally {
        epochReport.close();
      }
      const { best } = position.history;
      if (result === null) report.line(`all ${epochs} epochs are done; pass a larger --epochs to go on`);
      if (best !== null) report.line(`*** Best metric: ${best.metric.toFixed(3)} (epoch ${best.epoch})`);
      for (const why of [...loader.broken, ...testLoader.broken].slice(0, 5)) report.line(`left out: ${why}`);
      const broken = loader.broken.size + testLoader.broken.size;
      if (broken > 0) report.line(`${broken} pictures could not be read`);
      report.line(`wrote ${folder.path}${existsSync(folder.file("report.html")) ? `; open ${join(folder.path, "report.html")}` : ""}`);
      return result;
    } finally {
      await Promise.all([loader.close(), testLoader.close()]);
    }
  }

  #card({ epoch, history }: { readonly epoch: number; readonly history?: RunPosition["history"] }): ModelCard {
    const { shape, size, shown, trainSet } = this.#data;
    const last = history?.epochs.at(-1);
    return {
      model: this.#options.model,
      ...shape,
      inputSize: size,
      epoch: epoch - 1,
      top1: last === undefined ? null : metricOf(last),
      transform: shown,
      classNames: trainSet.classNames,
    };
  }

  /** Says which operation went wrong first; throws unless the step is to be left out. */
  async #handleBad(bad: BadStep, { model, optimizer, stepOptions }: Awaited<ReturnType<typeof prepare>>, skipped: number): Promise<void> {
    const { epoch, batch, outcome } = bad;
    const found = skipped > 3 ? null : await locateAnomaly(model, optimizer, bad.batches, stepOptions, bad.counter);
    const what = Number.isFinite(outcome.loss) ? `the norm of the gradients is ${outcome.gradNorm}` : `the loss is ${outcome.loss}`;
    const where = `${what} at step ${batch} of epoch ${epoch}${found === null ? "" : `: ${found.message}`}`;
    if (this.#options.onNan === "skip" && skipped < mostSkips) {
      this.#report.line(`left out: ${where}`);
      return;
    }
    const tried = skipped > 1 ? ` (${skipped} steps in a row)` : "";
    throw new OpError(
      "train",
      `${where}${tried}; the last good state is in ${this.#folder.last}; try a lower --lr, a longer --warmup-epochs, --clip-grad, or --on-nan skip`,
    );
  }
}
