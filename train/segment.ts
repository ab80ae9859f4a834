/** Learning and measuring segmentation. */
import { noGrad } from "../autograd/grad-mode.js";
import { OpError } from "../engine/errors.js";
import { crossEntropy } from "../engine/functional/loss.js";
import { compile } from "../engine/runtime/compile.js";
import type { Tensor } from "../engine/tensor.js";
import type { Segmentor, SlidingOptions } from "../models/segmentor.js";
import { ignoredClass } from "./data/scene.js";
import type { SceneBatch, SceneLoader } from "./data/scene-loader.js";
import { type LearningStepOptions, type Lesson, learningStep } from "./learn.js";
import type { Optimizer } from "./optim/optimizer.js";
import { SemanticEvaluator, type SemanticResult } from "./semantic-metrics.js";
import type { EvaluationHooks, TrainingStep } from "./task.js";
import { turn } from "./turn.js";

function classesOf({ semantic, host }: SceneBatch): Tensor {
  if (semantic === null) throw new OpError("segment", `scenes ${host.indices.join(", ")} have no classes of pixels`);
  return semantic;
}

/** What segmentation learns; measures `decode` and `aux` (the losses of the heads) and `pixels` (right ones, in per cent). */
export function segmentationLesson(model: Segmentor): Lesson<SceneBatch> {
  const forward = (images: Tensor, classes: Tensor) => {
    const { loss, decode, aux, logits } = model.forwardTraining(images, classes);
    const pixels = noGrad(() => {
      const right = logits.detach().argmax({ dim: 1 }).eq(classes).sum();
      return right.mul(100).div(classes.ne(ignoredClass).sum());
    });
    return { loss, measures: { decode: decode.detach(), ...(aux === null ? {} : { aux: aux.detach() }), pixels } };
  };
  return { inputs: (batch) => [batch.images, classesOf(batch)], forward };
}

/** The step of `segmentationLesson`. */
export const segmentationStep = (model: Segmentor, optimizer: Optimizer, options: LearningStepOptions = {}): TrainingStep<SceneBatch> =>
  learningStep(model, optimizer, segmentationLesson(model), options);

/** What was said of one scene. */
export interface SegmentedScene {
  /** Its number in the data set. */
  readonly index: number;
  readonly height: number;
  readonly width: number;
  /** [height, width] of the picture as it is in its file. */
  readonly classes: Uint8Array;
}

/** What an evaluation of segmentation has measured. */
export interface SegmentationResult extends SemanticResult {
  /** Mean cross entropy of the pixels that count. */
  readonly loss: number;
}

/** Classes [H, W] as a network says them of the transformed picture, for each pixel of the picture in its file: those of the nearest. */
export function toOriginal(
  said: ArrayLike<number>,
  stride: number,
  [sy, sx]: readonly [number, number],
  [height, width]: readonly [number, number],
): Uint8Array {
  const out = new Uint8Array(height * width);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor((y + 0.5) * sy) * stride;
    for (let x = 0; x < width; x++, at++) out[at] = said[row + Math.floor((x + 0.5) * sx)];
  }
  return out;
}

/** Who listens to an evaluation of segmentation. */
export interface SegmentationEvaluationHooks extends Omit<EvaluationHooks, "shown"> {
  readonly onScene?: (scene: SegmentedScene) => void;
}

/** A function that evaluates the model, as it then is, on all of a loader: whole pictures, or by windows. */
export function segmentationEvaluation(model: Segmentor, sliding: SlidingOptions | null = null) {
  const measure = compile((images: Tensor, classes: Tensor) =>
    noGrad(() => {
      const logits = sliding === null ? model.forward(images) : model.forwardSliding(images, sliding);
      return {
        said: logits.argmax({ dim: 1 }),
        loss: crossEntropy(logits, classes, { ignoreIndex: ignoredClass, reduction: "sum" }),
        counted: classes.ne(ignoredClass).sum(),
      };
    }),
  );
  return async (loader: SceneLoader, { onBatch, onScene, signal }: SegmentationEvaluationHooks = {}): Promise<SegmentationResult> => {
    const training = model.training;
    const start = performance.now();
    const evaluator = new SemanticEvaluator(loader.dataset.classes.length);
    model.eval();
    try {
      let [loss, counted, samples, batch] = [0, 0, 0, 0];
      for await (const scenes of loader.epoch()) {
        await turn();
        signal?.throwIfAborted();
        const measured = await measure(scenes.images, classesOf(scenes));
        const [said, sum, count] = await Promise.all([measured.said.data(), measured.loss.item(), measured.counted.item()]);
        loss += sum;
        counted += count;
        samples += scenes.size;
        batch++;
        const { host } = scenes;
        const plane = host.height * host.width;
        for (let i = 0; i < scenes.size; i++) {
          const index = host.indices[i];
          const [height, width] = host.originals.subarray(2 * i, 2 * i + 2);
          const classes = toOriginal(
            said.subarray(i * plane, (i + 1) * plane),
            host.width,
            [host.sizes[2 * i] / height, host.sizes[2 * i + 1] / width],
            [height, width],
          );
          const { semantic } = await loader.dataset.get(index);
          evaluator.add(semantic as Uint8Array, classes);
          onScene?.({ index, height, width, classes });
        }
        onBatch?.({
          measures: { loss: loss / counted, miou: 100 * evaluator.result().mIoU },
          batch,
          batches: loader.length,
          samples,
          seconds: (performance.now() - start) / 1000,
        });
      }
      return { ...evaluator.result(), loss: loss / counted };
    } finally {
      model.train(training);
    }
  };
}
