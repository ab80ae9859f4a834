/** Training and evaluation of detectors on scenes. */
import { defaultGenerator, type Generator } from "../engine/random.js";
import { type Detector, inPicture, lossNames, type MaskRCNN, type Truth } from "../models/detection/index.js";
import { CocoEvaluator, type CocoResult } from "./coco-metrics.js";
import type { Detections, Scene } from "./data/scene.js";
import type { HostScenes, SceneBatch, SceneLoader } from "./data/scene-loader.js";
import { type LearningStepOptions, type Lesson, learningStep } from "./learn.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { EvaluationHooks, TrainingStep } from "./task.js";
import { turn } from "./turn.js";

/** What a detector learns of each picture of a batch. Crowds are left out, as published. */
export function truthsOf({ count, height, width, maxInstances, boxes, labels, valid, masks, sizes }: HostScenes): Truth[] {
  const plane = height * width;
  return Array.from({ length: count }, (_, n) => {
    const own = Array.from({ length: maxInstances }, (__, k) => n * maxInstances + k).filter((at) => valid[at] === 1);
    return {
      picture: { height: sizes[2 * n], width: sizes[2 * n + 1] },
      boxes: Float32Array.from(own.flatMap((at) => [...boxes.subarray(4 * at, 4 * at + 4)])),
      labels: Int32Array.from(own, (at) => labels[at]),
      masks: masks === null ? [] : own.map((at) => masks.subarray(at * plane, (at + 1) * plane)),
    };
  });
}

/** What a detector learns: the sum of the five losses; measures each of them. Batches have masks. */
export function detectionLesson(model: MaskRCNN, generator: Generator = defaultGenerator): Lesson<SceneBatch> {
  let truths: readonly Truth[] = [];
  return {
    inputs: ({ images, host }) => {
      truths = truthsOf(host);
      return [images];
    },
    forward: (images) => {
      // Asked when the step runs.
      const losses = model.losses(images, () => truths, { generator });
      const loss = lossNames.map((name) => losses[name]).reduce((sum, each) => sum.add(each));
      return { loss, measures: Object.fromEntries(lossNames.map((name) => [name, losses[name].detach()])) };
    },
  };
}

/** The step of `detectionLesson`. */
export const detectionStep = (model: MaskRCNN, optimizer: Optimizer, options: LearningStepOptions = {}): TrainingStep<SceneBatch> =>
  learningStep(model, optimizer, detectionLesson(model), options);

/** COCO's lines of a detector, for boxes and for masks. */
export interface DetectorEvaluation {
  readonly bbox: CocoResult;
  readonly segm: CocoResult;
}

export interface EvaluateDetectorOptions extends Pick<EvaluationHooks, "onBatch" | "signal"> {
  /** Sees every picture with what is in it and what was found. */
  readonly onScene?: (scene: Scene, found: Detections) => void;
}

/** Finds what is in the pictures of a loader, and measures it in the pictures' own pixels. */
export async function evaluateDetector(
  detector: Detector,
  loader: SceneLoader,
  { onBatch, onScene, signal }: EvaluateDetectorOptions = {},
): Promise<DetectorEvaluation> {
  const { dataset } = loader;
  const evaluator = new CocoEvaluator(dataset.categories.length, { kinds: ["bbox", "segm"] });
  const start = performance.now();
  let [batch, samples] = [0, 0];
  for await (const { images, host, size } of loader.epoch()) {
    signal?.throwIfAborted();
    const pictures = Array.from({ length: size }, (_, i) => ({ height: host.sizes[2 * i], width: host.sizes[2 * i + 1] }));
    const found = await detector.detect(images, pictures);
    for (const [i, each] of found.entries()) {
      const scene = await dataset.get(host.indices[i]);
      const scales = [host.scales[2 * i], host.scales[2 * i + 1]] as const;
      const detections = { imageId: scene.imageId, ...inPicture(each, scene.image, scales) };
      evaluator.add(scene, detections);
      onScene?.(scene, detections);
    }
    samples += size;
    const seconds = (performance.now() - start) / 1000;
    onBatch?.({ batch: ++batch, batches: loader.length, seconds, samples, measures: {} });
    await turn();
  }
  return { bbox: evaluator.result("bbox"), segm: evaluator.result("segm") };
}
