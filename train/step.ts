/** The step of classification. */
import { noGrad } from "../autograd/grad-mode.js";
import { isFloating } from "../engine/dtype.js";
import { crossEntropy } from "../engine/functional/loss.js";
import type { Tensor } from "../engine/tensor.js";
import { GLNetTokenLabel } from "../models/glnet-tklb.js";
import type { Classifier } from "../models/registry.js";
import type { Batch } from "./data/loader.js";
import { type LearningStepOptions, type Lesson, learn, learningStep, type UpdateOptions } from "./learn.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { TrainingStep } from "./task.js";
import { type TokenLabelLossOptions, tokenLabelLoss } from "./token-label.js";

export interface ClassLossOptions {
  /** For targets that are class indices; probabilities are smoothed already. */
  readonly labelSmoothing?: number;
  /** Train with the loss of token labels; the network must be a `GLNetTokenLabel`. Default: null, cross entropy of the logits. */
  readonly tokenLabels?: TokenLabelLossOptions | null;
}

export interface TrainStepOptions extends UpdateOptions, ClassLossOptions {}

/** What a step measures: tensors, read when wanted. */
export interface StepResult {
  readonly loss: Tensor;
  /** Norm of all gradients before clipping. */
  readonly gradNorm: Tensor;
  /** How many images have their (most probable) target as the largest logit, int32. */
  readonly correct: Tensor;
}

/** Loss and logits of a batch; targets [N] are class indices, [N, classes] probabilities. */
export function lossOf(model: Classifier, images: Tensor, targets: Tensor, { labelSmoothing = 0, tokenLabels = null }: ClassLossOptions) {
  if (tokenLabels !== null && model instanceof GLNetTokenLabel) {
    const output = model.forwardTraining(images);
    return { loss: tokenLabelLoss(output, targets, tokenLabels), logits: output.logits };
  }
  const logits = model.forward(images);
  return { loss: crossEntropy(logits, targets, isFloating(targets.dtype) ? {} : { labelSmoothing }), logits };
}

const countCorrect = (logits: Tensor, targets: Tensor): Tensor =>
  noGrad(() => {
    // Of token labels, the ground truth comes first.
    const probabilities = targets.ndim === 3 ? targets.select(2, 0) : targets;
    const labels = isFloating(targets.dtype) ? probabilities.argmax({ dim: 1 }) : targets;
    return logits.argmax({ dim: 1 }).eq(labels).sum();
  });

/** One step as a plain function. Compile it, or call it as it is. */
export function trainStep(model: Classifier, optimizer: Optimizer, options: TrainStepOptions = {}) {
  const step = learn(model, optimizer, forwardOf(model, options), options);
  return (images: Tensor, targets: Tensor): StepResult => {
    const { loss, gradNorm, measures } = step(images, targets);
    return { loss, gradNorm, correct: measures.correct };
  };
}

const forwardOf = (model: Classifier, options: ClassLossOptions) => (images: Tensor, targets: Tensor) => {
  const { loss, logits } = lossOf(model, images, targets, options);
  return { loss, measures: { correct: countCorrect(logits, targets) } };
};

export interface TrainingStepOptions extends LearningStepOptions, ClassLossOptions {}

/** What classification learns; measures `top1`, in per cent. */
export function classLesson(model: Classifier, options: ClassLossOptions = {}): Lesson<Batch> {
  const forward = forwardOf(model, options);
  return {
    inputs: ({ images, targets }) => [images, targets],
    forward: (images, targets) => {
      const { loss, measures } = forward(images, targets);
      return { loss, measures: { top1: noGrad(() => measures.correct.mul(100 / images.shape[0])) } };
    },
  };
}

/** The step of `classLesson`. */
export const trainingStep = (model: Classifier, optimizer: Optimizer, options: TrainingStepOptions = {}): TrainingStep<Batch> =>
  learningStep(model, optimizer, classLesson(model, options), options);
