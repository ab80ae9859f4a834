/** Training and evaluation of classifiers: the loops. */
import { noGrad } from "../autograd/grad-mode.js";
import { OpError } from "../engine/errors.js";
import { crossEntropy } from "../engine/functional/loss.js";
import { compile } from "../engine/runtime/compile.js";
import type { Tensor } from "../engine/tensor.js";
import type { Classifier } from "../models/registry.js";
import type { DataLoader } from "./data/loader.js";
import type { ModelEma } from "./ema.js";
import { Average, topkCorrect } from "./metrics.js";
import { clipGradNorm } from "./optim/clip.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { Schedule } from "./schedule.js";

export interface TrainStepOptions {
  readonly labelSmoothing?: number;
  /** Greatest norm of all gradients together. Default: no clipping. */
  readonly clipGrad?: number | null;
  readonly ema?: ModelEma | null;
}

/** What a step measures: tensors, read when wanted. */
export interface StepResult {
  readonly loss: Tensor;
  /** Norm of all gradients before clipping. */
  readonly gradNorm: Tensor;
}

/** One step as a plain function: forward, backward, clipping, update, average. Compile it, or call it as it is. */
export function trainStep(
  model: Classifier,
  optimizer: Optimizer,
  { labelSmoothing = 0, clipGrad = null, ema = null }: TrainStepOptions = {},
) {
  return (images: Tensor, labels: Tensor): StepResult => {
    const loss = crossEntropy(model.forward(images), labels, { labelSmoothing });
    loss.backward();
    const gradNorm = clipGradNorm(optimizer.parameters(), clipGrad ?? Number.POSITIVE_INFINITY);
    optimizer.step();
    optimizer.zeroGrad();
    ema?.update();
    return { loss: loss.detach(), gradNorm };
  };
}

export interface EpochProgress {
  readonly epoch: number;
  /** Batches done, of `batches`. */
  readonly batch: number;
  readonly batches: number;
  readonly loss: Average;
  readonly gradNorm: number;
  readonly lr: number;
  /** Seconds and samples of the last step. */
  readonly seconds: number;
  readonly samples: number;
}

export interface TrainEpochOptions {
  readonly epoch: number;
  readonly schedule: Schedule;
  readonly optimizer: Optimizer;
  readonly onStep?: (progress: EpochProgress) => void;
}

/** A step as `compile` gives it back. */
export type CompiledStep = (images: Tensor, labels: Tensor) => Promise<StepResult>;

/** One pass over the loader. Throws when the loss is no longer a number. Returns the mean loss. */
export async function trainEpoch(step: CompiledStep, loader: DataLoader, options: TrainEpochOptions): Promise<number> {
  const { epoch, schedule, optimizer, onStep } = options;
  const loss = new Average();
  let batch = 0;
  for (const { images, labels, size } of loader.epoch(epoch)) {
    const start = performance.now();
    const lr = schedule(epoch * loader.length + batch);
    optimizer.setLr(lr);
    const result = await step(images, labels);
    const [value, gradNorm] = await Promise.all([result.loss.item(), result.gradNorm.item()]);
    if (!Number.isFinite(value)) {
      throw new OpError(
        "train",
        `the loss is ${value} at step ${batch} of epoch ${epoch}; try a lower learning rate, a longer warm-up or clipping`,
      );
    }
    loss.add(value, size);
    batch++;
    onStep?.({ epoch, batch, batches: loader.length, loss, gradNorm, lr, seconds: (performance.now() - start) / 1000, samples: size });
  }
  return loss.mean;
}

export interface EvalResult {
  /** Percent. */
  readonly top1: number;
  readonly top5: number;
  /** Mean cross entropy. */
  readonly loss: number;
}

export interface EvalProgress extends EvalResult {
  readonly batch: number;
  readonly batches: number;
}

export type Evaluation = (loader: DataLoader, onBatch?: (progress: EvalProgress) => void) => Promise<EvalResult>;

/** A function that evaluates the model, as it then is, on all of a loader. Its compiled step is kept from call to call. */
export function evaluation(model: Classifier): Evaluation {
  const measure = compile((images: Tensor, labels: Tensor) =>
    noGrad(() => {
      const logits = model.forward(images);
      const best = Math.min(5, logits.shape[1]);
      return { correct: topkCorrect(logits, labels, [1, best]), loss: crossEntropy(logits, labels, { reduction: "sum" }) };
    }),
  );
  return async (loader, onBatch) => {
    const training = model.training;
    model.eval();
    try {
      let [top1, top5, loss, seen, batch] = [0, 0, 0, 0, 0];
      const result = (): EvalResult => ({ top1: (100 * top1) / seen, top5: (100 * top5) / seen, loss: loss / seen });
      for (const { images, labels, size } of loader.epoch()) {
        const measured = await measure(images, labels);
        const [correct, sum] = await Promise.all([measured.correct.data(), measured.loss.item()]);
        top1 += correct[0];
        top5 += correct[1];
        loss += sum;
        seen += size;
        batch++;
        onBatch?.({ ...result(), batch, batches: loader.length });
      }
      return result();
    } finally {
      model.train(training);
    }
  };
}
