/** What a run tells about itself while it goes: TensorBoard's scalars at each step, `report.html` after each epoch. */
import { availableParallelism, cpus } from "node:os";
import type { Device } from "../../index.js";
import type { Dataset } from "../../train/data/dataset.js";
import type { Prediction } from "../../train/evaluate.js";
import type { EpochProgress } from "../../train/loop.js";
import { Confusion } from "../../train/report/confusion.js";
import { EventWriter } from "../../train/report/events.js";
import { Gallery, showPictures } from "../../train/report/gallery.js";
import type { History } from "../../train/report/history.js";
import { reportHtml } from "../../train/report/html.js";
import type { RunFolder } from "../../train/run/folder.js";
import type { TrainOptions } from "../options/train-options.js";
import { version } from "../version.js";
import type { TrainData } from "./setup.js";

const shownPictures = 18;

export interface EpochReportOptions {
  readonly options: TrainOptions;
  readonly data: TrainData;
  readonly device: Device;
  readonly folder: RunFolder;
  /** Steps of an epoch. */
  readonly updates: number;
  readonly parameters: number;
}

export class EpochReport {
  readonly #given: EpochReportOptions;
  #events: EventWriter | null = null;
  #confusion: Confusion;
  #gallery = new Gallery(shownPictures);
  #broken = 0;
  #seconds = 0;
  #samples = 0;

  constructor(given: EpochReportOptions) {
    this.#given = given;
    this.#confusion = new Confusion(given.data.shape.numClasses);
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
    const speed = samples / seconds;
    this.#events?.scalars(at, {
      "train/loss": measures.loss.last,
      "train/grad_norm": measures.gradNorm.last,
      "train/lr": lr,
      "train/images_per_second": speed,
    });
  }

  beginEvaluation(): void {
    this.#confusion = new Confusion(this.#given.data.shape.numClasses);
    this.#gallery = new Gallery(shownPictures);
  }

  readonly predicted = (prediction: Prediction): void => {
    this.#confusion.add(prediction);
    this.#gallery.add(prediction);
  };

  broken(pictures: readonly string[]): void {
    this.#broken = pictures.length;
  }

  /** Writes what the epoch has shown. */
  async end(history: History, testSet: Dataset): Promise<void> {
    const { folder, options, updates, data } = this.#given;
    const last = history.epochs.at(-1);
    if (last !== undefined) {
      const { ema, evalLoss, evalTop1, evalTop5, epoch, trainTop1 } = last;
      const average: Record<string, number> = ema === null ? {} : { "test/top1_ema": ema.top1, "test/loss_ema": ema.loss };
      this.#events?.scalars((epoch + 1) * updates - 1, {
        "train/top1": trainTop1,
        "test/loss": evalLoss,
        "test/top1": evalTop1,
        "test/top5": evalTop5,
        ...average,
      });
    }
    const [right, wrong] = await Promise.all(
      (["right", "wrong"] as const).map((kind) => showPictures(testSet, this.#gallery.chosen(kind))),
    );
    folder.writeReport(
      reportHtml({
        title: `${options.model} on ${data.trainSet.name}`,
        facts: this.#facts(),
        args: { ...options },
        history,
        updates,
        classNames: data.trainSet.classNames,
        confusion: this.#confusion,
        right,
        wrong,
      }),
    );
  }

  close(): void {
    this.#events?.close();
  }

  #facts(): [string, string][] {
    const { data, device, options, parameters } = this.#given;
    const { trainSet, testSet, size, shape } = data;
    return [
      ["network", `${options.model}, ${parameters} parameters`],
      [
        "data",
        `${trainSet.name}: ${trainSet.length} pictures; ${testSet.name}: ${testSet.length}; shown as ${shape.inChans} × ${size} × ${size}`,
      ],
      ["device", device.describe()],
      ["speed", `${Math.round(this.#samples / this.#seconds)} images/s while training, since this process began`],
      ["machine", `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} threads`],
      ["versions", `crabro ${version()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`],
      ["left out", `${this.#broken} pictures that could not be read`],
    ];
  }
}
