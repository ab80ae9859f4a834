/** What a run has measured, as numbers; part of its state, so that a resumed run's files are those of an unbroken one. */

export interface EpochRecord {
  readonly epoch: number;
  /** Learning rate of the last step. */
  readonly lr: number;
  readonly trainLoss: number;
  /** Per cent, of pictures as they were augmented. */
  readonly trainTop1: number;
  /** Mean norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Steps left out as their loss or gradients were no numbers. */
  readonly skipped: number;
  readonly evalLoss: number;
  readonly evalTop1: number;
  readonly evalTop5: number;
  /** Of the average of the weights; null where there is none. */
  readonly ema: { readonly loss: number; readonly top1: number; readonly top5: number } | null;
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

/** The accuracy that decides which epoch is best: the average's where there is one. */
export const metricOf = ({ ema, evalTop1 }: EpochRecord): number => ema?.top1 ?? evalTop1;

/** timm's columns; those of the average after them where there is one. */
export function summaryCsv(epochs: readonly EpochRecord[]): string {
  const withEma = epochs.some(({ ema }) => ema !== null);
  const head = [
    "epoch",
    "train_loss",
    "eval_loss",
    "eval_top1",
    "eval_top5",
    ...(withEma ? ["eval_loss_ema", "eval_top1_ema", "eval_top5_ema"] : []),
    "lr",
  ];
  const rows = epochs.map((row) => {
    const average = withEma ? [row.ema?.loss ?? "", row.ema?.top1 ?? "", row.ema?.top5 ?? ""] : [];
    return [row.epoch, row.trainLoss, row.evalLoss, row.evalTop1, row.evalTop5, ...average, row.lr];
  });
  return [head, ...rows].map((row) => `${row.join(",")}\n`).join("");
}

/** One JSON object an epoch, with the names of ConvNeXt's `log.txt`. */
export function jsonLines(epochs: readonly EpochRecord[]): string {
  return epochs
    .map(({ epoch, lr, trainLoss, trainTop1, gradNorm, skipped, evalLoss, evalTop1, evalTop5, ema }) => {
      const test = { test_loss: evalLoss, test_acc1: evalTop1, test_acc5: evalTop5 };
      const average = ema === null ? {} : { test_loss_ema: ema.loss, test_acc1_ema: ema.top1, test_acc5_ema: ema.top5 };
      const train = { train_lr: lr, train_loss: trainLoss, train_acc1: trainTop1, train_grad_norm: gradNorm, skipped_steps: skipped };
      return `${JSON.stringify({ epoch, ...train, ...test, ...average })}\n`;
    })
    .join("");
}
