/** What a run tells about itself while it goes: TensorBoard's scalars at each step, `report.html` after each epoch. */
import { availableParallelism, cpus } from "node:os";
import type { Device } from "../../index.js";
import type { EpochProgress } from "../../train/loop.js";
import { EventWriter } from "../../train/report/events.js";
import type { History } from "../../train/report/history.js";
import { reportHtml } from "../../train/report/html.js";
import type { RunFolder } from "../../train/run/folder.js";
import type { Measures, Task } from "../../train/task.js";
import type { TrainOptions } from "../options/train-options.js";
import { version } from "../version.js";

export interface EpochReportOptions {
  readonly options: TrainOptions;
  readonly task: Task<unknown>;
  readonly device: Device;
  readonly folder: RunFolder;
  /** Steps of an epoch. */
  readonly updates: number;
}

export class EpochReport {
  readonly #given: EpochReportOptions;
  #events: EventWriter | null = null;
  #seconds = 0;
  #samples = 0;

  constructor(given: EpochReportOptions) {
    this.#given = given;
  }

  /** Opens the file of events; `firstStep` is the one that comes next. */
  begin(firstStep: number): void {
    this.#events = new EventWriter(this.#given.folder.path, firstStep);
  }

  step(at: number, { measures, lr, seconds, samples, batch, batches }: EpochProgress): void {
    this.#seconds += seconds;
    this.#samples += samples;
    const every = Math.max(1, Math.min(10, this.#given.options.logInterval));
    if (at % every !== 0 && batch !== batches) return;
    this.#events?.scalars(at, {
      "train/loss": measures.loss.last,
      "train/grad_norm": measures.gradNorm.last,
      "train/lr": lr,
      "train/images_per_second": samples / seconds,
    });
  }

  /** Writes what the epoch has shown. */
  async end(history: History): Promise<void> {
    const { folder, options, updates, task } = this.#given;
    const { columns } = task;
    const last = history.epochs.at(-1);
    if (last !== undefined) {
      const named = (half: string, values: Measures, suffix = ""): Record<string, number> =>
        Object.fromEntries(Object.entries(values).map(([key, value]) => [`${half}/${key}${suffix}`, value]));
      this.#events?.scalars((last.epoch + 1) * updates - 1, {
        ...named("train", last.train),
        ...named("test", last.test),
        ...(last.ema === null ? {} : named("test", last.ema, "_ema")),
      });
    }
    const sections = await task.sections();
    folder.writeReport(reportHtml({ title: task.title, facts: this.#facts(), args: { ...options }, history, updates, columns, sections }));
  }

  close(): void {
    this.#events?.close();
  }

  #facts(): (readonly [string, string])[] {
    const { task, device } = this.#given;
    return [
      ...task.facts,
      ["device", device.describe()],
      ["speed", `${Math.round(this.#samples / this.#seconds)} images/s while training, since this process began`],
      ["machine", `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} threads`],
      ["versions", `crabro ${version()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`],
      ["left out", `${task.broken().length} pictures that could not be read`],
    ];
  }
}
