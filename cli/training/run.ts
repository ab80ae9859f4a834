/** A training from the command's options: epochs, evaluation, files. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { type Device, manualSeed } from "../../index.js";
import { type ModelCard, saveModel } from "../../train/checkpoint.js";
import { type BadStep, EpochMeasures, type EpochProgress, trainEpoch, updatesOf } from "../../train/loop.js";
import { type EpochRecord, emptyTrace, type History, metricOf, traced } from "../../train/report/history.js";
import { holdsRun, RunFolder } from "../../train/run/folder.js";
import { loadRun, type RunParts, type RunPosition, saveRun } from "../../train/run/state.js";
import type { Schedule } from "../../train/schedule.js";
import type { Measures, Task } from "../../train/task.js";
import { openDevice } from "../commands/open-device.js";
import type { Reporter } from "../commands/report.js";
import type { TrainOptions } from "../options/train-options.js";
import { listenForStop, type StopRequest } from "./interrupt.js";
import { EpochReport } from "./report.js";
import { makeSchedule } from "./setup.js";
import { planTask } from "./tasks.js";

/** How many steps in a row may be left out. */
const mostSkips = 20;

/** What a run goes by. */
interface Setting {
  readonly options: TrainOptions;
  readonly device: Device;
  readonly folder: RunFolder;
  readonly report: Reporter;
  readonly stop: StopRequest;
}

/** Trains; goes on where `folder` holds a run. Returns the last evaluation of the model itself, null where nothing was left to do. */
export async function run(options: TrainOptions, path: string, report: Reporter): Promise<Measures | null> {
  const plan = planTask(options);
  const device = await openDevice(options.device, options.threads === undefined ? {} : { threads: options.threads });
  try {
    const folder = new RunFolder(path);
    const stop = listenForStop((line) => report.line(line));
    try {
      manualSeed(options.seed);
      const task = await plan.build((line) => report.line(line));
      report.speak(task.words);
      try {
        return await new TrainingRun({ options, device, folder, report, stop }, task).run();
      } finally {
        await task.close();
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
  readonly #task: Task<unknown>;
  readonly #state: RunParts;
  readonly #updates: number;
  readonly #schedule: Schedule;
  readonly #epochs: number;
  readonly #epochReport: EpochReport;
  /** What is saved. */
  #position: RunPosition;
  /** Steps left out in a row. */
  #skipped = 0;

  constructor(setting: Setting, task: Task<unknown>) {
    const { options, device, folder } = setting;
    const updates = updatesOf(task.loader, options.gradAccumSteps);
    this.#setting = setting;
    this.#task = task;
    this.#state = task;
    this.#updates = updates;
    this.#schedule = makeSchedule(options, updates);
    this.#epochs = options.epochs + options.cooldownEpochs;
    this.#position = { epoch: 0, batch: 0, measures: null, history: { epochs: [], trace: emptyTrace(this.#epochs * updates), best: null } };
    this.#epochReport = new EpochReport({ options, task, device, folder, updates });
  }

  async run(): Promise<Measures | null> {
    await this.#begin();
    let result: Measures | null = null;
    try {
      const { epoch: first, batch } = this.#position;
      this.#epochReport.begin(first * this.#updates + Math.floor(batch / this.#setting.options.gradAccumSteps));
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
    const { options, device, folder, report } = this.#setting;
    const { model, opening, columns } = this.#task;
    const resumes = holdsRun(folder.path);
    if (resumes) this.#position = loadRun(folder.last, this.#state);
    folder.writeArgs(options);
    report.line(`${options.model}: ${model.numParameters} parameters, on ${device.describe()}`);
    report.line(`${opening}, ${this.#updates} steps; to ${folder.path}`);
    if (!resumes) return this.#save(this.#position);
    const { epoch, batch, history } = this.#position;
    report.line(`going on at epoch ${epoch}${batch > 0 ? `, batch ${batch}` : ""}`);
    folder.writeHistory(history.epochs, columns);
  }

  async #save(position: RunPosition): Promise<void> {
    this.#position = position;
    await saveRun(this.#setting.folder.last, this.#state, position, this.#card(position));
  }

  async #epoch(epoch: number): Promise<Measures> {
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
    const { loader, optimizer } = this.#task;
    const accumulate = options.gradAccumSteps;
    const { batch: from, measures: before } = this.#position;
    const measures = before === null ? new EpochMeasures() : EpochMeasures.from(before);
    let { history } = this.#position;
    let skipped = measures.skipped;
    const onStep = async (progress: EpochProgress): Promise<void> => {
      if (measures.skipped === skipped) this.#skipped = 0;
      skipped = measures.skipped;
      const at = epoch * this.#updates + Math.ceil(progress.batch / accumulate) - 1;
      history = { ...history, trace: traced(history.trace, at, measures.loss.last, progress.lr, measures.gradNorm.last) };
      report.train(progress, this.#epochs);
      this.#epochReport.step(at, progress);
      const due = options.recoveryInterval > 0 && (at + 1) % options.recoveryInterval === 0 && progress.batch < progress.batches;
      if (due) await this.#save({ epoch, batch: progress.batch, measures: measures.state(), history });
    };
    const onBad = (bad: BadStep): Promise<void> => this.#handleBad(bad);
    const { batch } = await trainEpoch((batches) => this.#task.step(batches), loader, {
      epoch,
      schedule: this.#schedule,
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
      `stopped in epoch ${epoch}, after batch ${batch} of ${this.#task.loader.length}; go on with: crabro train --resume ${folder.path}`,
    );
  }

  /** Measures the network, and where there is one its average, which the report then shows. Throws AbortError when it is asked to stop. */
  async #evaluate(): Promise<{ readonly own: Measures; readonly averaged: Measures | null }> {
    const { report, stop } = this.#setting;
    const { ema } = this.#task;
    const hooks = { onBatch: report.evaluate.bind(report), signal: stop.signal };
    const own = await this.#task.evaluate("model", { ...hooks, shown: ema === null });
    report.result(own);
    if (ema === null) return { own, averaged: null };
    report.line("Average of the weights:");
    const averaged = await this.#task.evaluate("average", { ...hooks, shown: true });
    report.result(averaged);
    return { own, averaged };
  }

  /** Writes what an epoch has come to. The state is last: a run killed before it was written evaluates once more, and writes the same. */
  async #record({ epoch, measures, history: before }: Trained, own: Measures, averaged: Measures | null): Promise<void> {
    const { options, folder } = this.#setting;
    const { model, ema, columns } = this.#task;
    const record: EpochRecord = {
      epoch,
      lr: this.#schedule((epoch + 1) * this.#updates - 1),
      trainLoss: measures.loss.mean,
      train: Object.fromEntries(columns.train.map(({ key }) => [key, measures.of(key).mean])),
      gradNorm: measures.gradNorm.mean,
      skipped: measures.skipped,
      test: own,
      ema: averaged,
    };
    const metric = metricOf(record, columns);
    const isBest = before.best === null || metric > before.best.metric;
    const history = { ...before, epochs: [...before.epochs, record], best: isBest ? { epoch, metric } : before.best };
    if (isBest) {
      const state = (ema ?? model).stateDict();
      await saveModel(folder.best, state, { ...this.#card({ epoch: epoch + 1 }), top1: metric });
    }
    folder.writeHistory(history.epochs, columns);
    await this.#epochReport.end(history);
    await this.#save({ epoch: epoch + 1, batch: 0, measures: null, history });
    folder.keepCheckpoint(history.epochs, options.checkpointHist, (row) => metricOf(row, columns));
  }

  #sayWhatCameOfIt(): void {
    const { folder, report } = this.#setting;
    const { best } = this.#position.history;
    if (best !== null) report.line(`*** Best metric: ${best.metric.toFixed(3)} (epoch ${best.epoch})`);
    const broken = this.#task.broken();
    for (const why of broken.slice(0, 5)) report.line(`left out: ${why}`);
    if (broken.length > 0) report.line(`${broken.length} pictures could not be read`);
    report.line(`wrote ${folder.path}${existsSync(folder.file("report.html")) ? `; open ${join(folder.path, "report.html")}` : ""}`);
  }

  #card({ epoch, history }: { readonly epoch: number; readonly history?: RunPosition["history"] }): ModelCard {
    const last = history?.epochs.at(-1);
    return { ...this.#task.card(), epoch: epoch - 1, top1: last === undefined ? null : metricOf(last, this.#task.columns) };
  }

  /** Says which operation went wrong first; throws unless the step is to be left out. */
  async #handleBad(bad: BadStep): Promise<void> {
    const { epoch, batch, outcome } = bad;
    const { options, folder, report } = this.#setting;
    const inARow = ++this.#skipped;
    const found = inARow > 3 ? null : await this.#task.locate(bad);
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
