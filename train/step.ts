/** One step of training: forward, backward, clipping, update, average. */
import { noGrad } from "../autograd/grad-mode.js";
import { isFloating } from "../engine/dtype.js";
import { zerosLike } from "../engine/functional/creation.js";
import { isfinite, where } from "../engine/functional/elementwise.js";
import { crossEntropy } from "../engine/functional/loss.js";
import { compile } from "../engine/runtime/compile.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import { GLNetTokenLabel } from "../models/glnet-tklb.js";
import type { Module } from "../models/nn/module.js";
import type { Classifier } from "../models/registry.js";
import type { Batch } from "./data/loader.js";
import type { ModelEma } from "./ema.js";
import { clipGradNorm } from "./optim/clip.js";
import type { Optimizer } from "./optim/optimizer.js";
import { type TokenLabelLossOptions, tokenLabelLoss } from "./token-label.js";

export interface TrainStepOptions {
  /** For targets that are class indices; probabilities are smoothed already. */
  readonly labelSmoothing?: number;
  /** Greatest norm of all gradients together. Default: no clipping. */
  readonly clipGrad?: number | null;
  readonly ema?: ModelEma | null;
  /** Train with the loss of token labels; the network must be a `GLNetTokenLabel`. Default: null, cross entropy of the logits. */
  readonly tokenLabels?: TokenLabelLossOptions | null;
  /** Leave everything as it was where loss or gradients are no finite numbers. Default false. */
  readonly guard?: boolean;
}

/** What a step measures: tensors, read when wanted. */
export interface StepResult {
  readonly loss: Tensor;
  /** Norm of all gradients before clipping. */
  readonly gradNorm: Tensor;
  /** How many images have their (most probable) target as the largest logit, int32. */
  readonly correct: Tensor;
}

/** Loss and logits of a batch; targets [N] are class indices, [N, classes] probabilities. */
export function lossOf(model: Classifier, images: Tensor, targets: Tensor, { labelSmoothing = 0, tokenLabels = null }: TrainStepOptions) {
  if (tokenLabels !== null && model instanceof GLNetTokenLabel) {
    const output = model.forwardTraining(images);
    return { loss: tokenLabelLoss(output, targets, tokenLabels), logits: output.logits };
  }
  const logits = model.forward(images);
  return { loss: crossEntropy(logits, targets, isFloating(targets.dtype) ? {} : { labelSmoothing }), logits };
}

const countCorrect = (logits: Tensor, targets: Tensor): Tensor =>
  noGrad(() =>
    logits
      .argmax({ dim: 1 })
      .eq(isFloating(targets.dtype) ? targets.argmax({ dim: 1 }) : targets)
      .sum(),
  );

/** Buffers as they are now; the returned function gives those that have changed since their values back where `kept` is false. */
function guardBuffers(model: Module): (kept: Tensor) => void {
  const buffers = [...model.namedBuffers()].map(([, buffer]) => ({ buffer, node: buffer.node, before: buffer.detach() }));
  return (kept) => {
    for (const { buffer, node, before } of buffers) if (buffer.node !== node) buffer.assign(where(kept, buffer.detach(), before));
  };
}

/** One step as a plain function. Compile it, or call it as it is. */
export function trainStep(model: Classifier, optimizer: Optimizer, options: TrainStepOptions = {}) {
  const { guard = false } = options;
  return (images: Tensor, targets: Tensor): StepResult => {
    const restore = guard ? guardBuffers(model) : null;
    const { loss, logits } = lossOf(model, images, targets, options);
    loss.backward();
    const gradNorm = update(optimizer, options, loss);
    noGrad(() => restore?.(isfinite(loss).logicalAnd(isfinite(gradNorm))));
    return { loss: loss.detach(), gradNorm, correct: countCorrect(logits, targets) };
  };
}

/** Clips, updates parameters and average, forgets the gradients; returns their norm. */
function update(optimizer: Optimizer, { clipGrad = null, ema = null, guard = false }: TrainStepOptions, loss: Tensor | null): Tensor {
  const gradNorm = clipGradNorm(optimizer.parameters(), clipGrad ?? Number.POSITIVE_INFINITY);
  const finite = isfinite(gradNorm);
  const when = guard ? noGrad(() => (loss === null ? finite : finite.logicalAnd(isfinite(loss)))) : null;
  optimizer.step({ when });
  optimizer.zeroGrad();
  ema?.update({ when });
  return gradNorm;
}

/** A step over several batches: each adds its share of the gradients to sums that stay on the device. */
function accumulatedStep(model: Classifier, optimizer: Optimizer, options: TrainStepOptions) {
  const sums = optimizer.parameters().map(({ shape, dtype, device, numel }) => {
    const zeros = dtype === "float64" ? new Float64Array(numel) : new Float32Array(numel);
    return fromHost(zeros, shape, dtype, device);
  });
  const gather = (images: Tensor, targets: Tensor, share: Tensor) => {
    const restore = options.guard ? guardBuffers(model) : null;
    const { loss, logits } = lossOf(model, images, targets, options);
    loss.backward();
    noGrad(() => {
      optimizer.parameters().forEach(({ grad }, i) => {
        if (grad !== null) sums[i].assign(sums[i].add(grad.mul(share)));
      });
      restore?.(isfinite(loss));
    });
    optimizer.zeroGrad();
    return { loss: loss.detach(), correct: countCorrect(logits, targets) };
  };
  const apply = () => {
    optimizer.parameters().forEach((parameter, i) => {
      parameter.grad = sums[i].detach();
    });
    const gradNorm = update(optimizer, options, null);
    noGrad(() => {
      for (const sum of sums) sum.assign(zerosLike(sum));
    });
    return { gradNorm };
  };
  return { gather, apply };
}

/** What a step has measured. */
export interface StepOutcome {
  /** Mean over the images. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly correct: number;
  readonly samples: number;
  /** False where loss or gradients were no finite numbers; with `guard` nothing has changed then. */
  readonly finite: boolean;
}

/** A step over one batch or, for accumulation, several; gives numbers. */
export type TrainingStep = (batches: readonly Batch[]) => Promise<StepOutcome>;

export interface TrainingStepOptions extends TrainStepOptions {
  /** Build each step's graph anew where false. Default true. */
  readonly compiled?: boolean;
  /** Whether steps take several batches. */
  readonly accumulates?: boolean;
}

/** A step of training, compiled unless the options say otherwise: takes the batches of one update, measures and updates. */
export function trainingStep(model: Classifier, optimizer: Optimizer, options: TrainingStepOptions = {}): TrainingStep {
  const { compiled = true, accumulates = false } = options;
  const finish = (loss: number, gradNorm: number, correct: number, samples: number): StepOutcome => {
    const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
    if (!finite && options.guard) optimizer.undoStep();
    return { loss, gradNorm, correct, samples, finite };
  };
  if (!accumulates) {
    const plain = trainStep(model, optimizer, options);
    const step = compiled ? compile(plain) : async (...batch: Parameters<typeof plain>) => plain(...batch);
    return async ([{ images, targets, size }]) => {
      const result = await step(images, targets);
      const [loss, norm, correct] = await Promise.all([result.loss.item(), result.gradNorm.item(), result.correct.item()]);
      return finish(loss, norm, correct, size);
    };
  }
  const parts = accumulatedStep(model, optimizer, options);
  const gather = compiled ? compile(parts.gather) : async (...given: Parameters<typeof parts.gather>) => parts.gather(...given);
  const apply = compiled ? compile(parts.apply, { device: optimizer.device }) : async () => parts.apply();
  return async (batches) => {
    const samples = batches.reduce((sum, { size }) => sum + size, 0);
    let [loss, correct] = [0, 0];
    for (const { images, targets, size } of batches) {
      const share = fromHost(Float32Array.of(size / samples), [], "float32", optimizer.device);
      const part = await gather(images, targets, share);
      const [partLoss, partCorrect] = await Promise.all([part.loss.item(), part.correct.item()]);
      loss += (partLoss * size) / samples;
      correct += partCorrect;
    }
    const { gradNorm } = await apply();
    return finish(loss, await gradNorm.item(), correct, samples);
  };
}
