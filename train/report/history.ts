/** What a run has measured, as numbers; part of its state, so that a resumed run's files are those of an unbroken one. */
import type { Measures } from "../task.js";

/** What an epoch has measured. */
export interface EpochRecord {
  readonly epoch: number;
  /** Learning rate of the last step. */
  readonly lr: number;
  readonly trainLoss: number;
  /** What else training has measured, on samples as they were augmented. */
  readonly train: Measures;
  /** Mean norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Steps left out as their loss or gradients were no numbers. */
  readonly skipped: number;
  readonly test: Measures;
  /** Of the average of the weights; null where there is none. */
  readonly ema: Measures | null;
}

/** How a measure is written. */
export interface Column {
  readonly key: string;
  /** In tables of the report. */
  readonly title: string;
  /** In `summary.csv`, after `train_` or `eval_`. */
  readonly csv: string;
  /** In `log.txt`, after `train_` or `test_`. */
  readonly log: string;
  /** Decimals. */
  readonly digits: number;
  /** The chart of the report that shows it. Default: none. */
  readonly chart?: string;
}

/** The measures of a task. */
export interface Columns {
  readonly train: readonly Column[];
  readonly test: readonly Column[];
  /** The key of `test` that decides which epoch is best, the largest; and what it is called. In per cent. */
  readonly metric: string;
  readonly metricTitle: string;
}

/** Every `stride`-th step: at most a thousand over a run. */
export interface Trace {
  readonly stride: number;
  readonly steps: readonly number[];
  readonly loss: readonly number[];
  readonly lr: readonly number[];
  readonly gradNorm: readonly number[];
}

/** All that a run has measured. */
export interface History {
  readonly epochs: readonly EpochRecord[];
  readonly trace: Trace;
  readonly best: { readonly epoch: number; readonly metric: number } | null;
}

/** The trace of a run of so many steps, before the first. */
export const emptyTrace = (totalSteps: number): Trace => ({
  stride: Math.max(1, Math.ceil(totalSteps / 1000)),
  steps: [],
  loss: [],
  lr: [],
  gradNorm: [],
});

/** The trace with a step more, where it is one that is kept. */
export function traced(trace: Trace, step: number, loss: number, lr: number, gradNorm: number): Trace {
  if (step % trace.stride !== 0) return trace;
  return {
    stride: trace.stride,
    steps: [...trace.steps, step],
    loss: [...trace.loss, loss],
    lr: [...trace.lr, lr],
    gradNorm: [...trace.gradNorm, gradNorm],
  };
}

/** The measure that decides which epoch is best: the average's where there is one. */
export const metricOf = ({ ema, test }: EpochRecord, { metric }: Columns): number => (ema ?? test)[metric];

/** timm's columns; those of the average after them where there is one. */
export function summaryCsv(epochs: readonly EpochRecord[], { train, test }: Columns): string {
  const withEma = epochs.some(({ ema }) => ema !== null);
  // timm has no accuracy of training.
  const own = train.filter(({ csv }) => csv !== "");
  const head = [
    "epoch",
    "train_loss",
    ...own.map(({ csv }) => `train_${csv}`),
    ...test.map(({ csv }) => `eval_${csv}`),
    ...(withEma ? test.map(({ csv }) => `eval_${csv}_ema`) : []),
    "lr",
  ];
  const rows = epochs.map((row) => [
    row.epoch,
    row.trainLoss,
    ...own.map(({ key }) => row.train[key]),
    ...test.map(({ key }) => row.test[key]),
    ...(withEma ? test.map(({ key }) => row.ema?.[key] ?? "") : []),
    row.lr,
  ]);
  return [head, ...rows].map((row) => `${row.join(",")}\n`).join("");
}

/** One JSON object an epoch, with the names of ConvNeXt's `log.txt`. */
export function jsonLines(epochs: readonly EpochRecord[], columns: Columns): string {
  const named = (prefix: string, list: readonly Column[], values: Measures, suffix = "") =>
    Object.fromEntries(list.map(({ key, log }) => [`${prefix}_${log}${suffix}`, values[key]]));
  return epochs
    .map(({ epoch, lr, trainLoss, train, gradNorm, skipped, test, ema }) => {
      const line = {
        epoch,
        train_lr: lr,
        train_loss: trainLoss,
        ...named("train", columns.train, train),
        train_grad_norm: gradNorm,
        skipped_steps: skipped,
        ...named("test", columns.test, test),
        ...(ema === null ? {} : named("test", columns.test, ema, "_ema")),
      };
      return `${JSON.stringify(line)}\n`;
    })
    .join("");
}
