/** Evaluation of classifiers. */
import { noGrad } from "../autograd/grad-mode.js";
import { softmax } from "../engine/functional/activation.js";
import { crossEntropy } from "../engine/functional/loss.js";
import { compile } from "../engine/runtime/compile.js";
import type { Tensor } from "../engine/tensor.js";
import type { Classifier } from "../models/registry.js";
import type { DataLoader } from "./data/loader.js";
import { topkCorrect } from "./metrics.js";
import type { EvalProgress } from "./task.js";
import { turn } from "./turn.js";

/** What an evaluation of a classifier has measured. */
export type EvalResult = {
  /** Percent. */
  readonly top1: number;
  readonly top5: number;
  /** Mean cross entropy. */
  readonly loss: number;
};

/** What a network said of one picture. */
export interface Prediction {
  /** Its number in the data set. */
  readonly index: number;
  readonly label: number;
  readonly predicted: number;
  /** What the network gave the class it named, 0 to 1. */
  readonly probability: number;
}

export interface EvaluateOptions {
  readonly onBatch?: (progress: EvalProgress) => void;
  /** Sees every prediction. */
  readonly onPrediction?: (prediction: Prediction) => void;
  /** Evaluation ends with an AbortError when it is aborted. */
  readonly signal?: AbortSignal;
}

/** Evaluates on all of a loader. */
export type Evaluation = (loader: DataLoader, options?: EvaluateOptions) => Promise<EvalResult>;

/** A function that evaluates the model, as it then is, on all of a loader. Its compiled step is kept from call to call. */
export function evaluation(model: Classifier): Evaluation {
  const measure = compile((images: Tensor, labels: Tensor) =>
    noGrad(() => {
      const logits = model.forward(images);
      const best = Math.min(5, logits.shape[1]);
      return {
        correct: topkCorrect(logits, labels, [1, best]),
        loss: crossEntropy(logits, labels, { reduction: "sum" }),
        predicted: logits.argmax({ dim: 1 }),
        probability: softmax(logits, { dim: 1 }).amax({ dim: 1 }),
      };
    }),
  );
  return async (loader, { onBatch, onPrediction, signal } = {}) => {
    const training = model.training;
    const start = performance.now();
    model.eval();
    try {
      let [top1, top5, loss, samples, batch] = [0, 0, 0, 0, 0];
      const result = (): EvalResult => ({ top1: (100 * top1) / samples, top5: (100 * top5) / samples, loss: loss / samples });
      for await (const { images, labels, indices, size } of loader.epoch()) {
        await turn();
        signal?.throwIfAborted();
        const measured = await measure(images, labels);
        const [correct, sum, predicted, probability] = await Promise.all([
          measured.correct.data(),
          measured.loss.item(),
          measured.predicted.data(),
          measured.probability.data(),
        ]);
        top1 += correct[0];
        top5 += correct[1];
        loss += sum;
        samples += size;
        batch++;
        if (onPrediction !== undefined) {
          indices.forEach((index, i) => {
            onPrediction({ index, label: loader.dataset.label(index), predicted: predicted[i], probability: probability[i] });
          });
        }
        onBatch?.({ measures: result(), batch, batches: loader.length, samples, seconds: (performance.now() - start) / 1000 });
      }
      return result();
    } finally {
      model.train(training);
    }
  };
}
