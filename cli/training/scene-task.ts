/** Segmentation and detection as tasks: what both do alike, with what a kind of them says. */
import { OpError } from "../../engine/errors.js";
import type { Module } from "../../models/nn/module.js";
import type { BuildOptions } from "../../models/nn/parameter.js";
import type { Backbone } from "../../models/registry.js";
import type { SlidingOptions } from "../../models/segmentor.js";
import { locateAnomaly } from "../../train/anomaly.js";
import type { ModelCard } from "../../train/checkpoint.js";
import type { SceneDataset } from "../../train/data/scene.js";
import type { SceneBatch, SceneLoader } from "../../train/data/scene-loader.js";
import { ModelEma } from "../../train/ema.js";
import { type Lesson, learningStep } from "../../train/learn.js";
import { denseScheme } from "../../train/optim/groups.js";
import type { Columns } from "../../train/report/history.js";
import { type ShownScene, sceneGallery } from "../../train/report/scenes.js";
import type { EvaluationHooks, Measures, Task, Words } from "../../train/task.js";
import type { TrainOptions } from "../options/train-options.js";
import { loadBackbone, prepareScenes, type SceneData, sceneLoaders } from "./scenes.js";
import { beginWith, makeOptimizer } from "./setup.js";

/** What a network is built from, as files of weights have it. */
export type Design = NonNullable<ModelCard["design"]>;

type SceneHooks<S> = Pick<EvaluationHooks, "onBatch" | "signal"> & { readonly onScene?: (scene: S) => void };

/** A kind of task on scenes. `R`: what an evaluation measures; `S`: a scene, and what was said of it. */
export interface SceneKind<M extends Module & { readonly backbone: Backbone }, R, S> {
  readonly columns: Columns;
  readonly words: Words;
  /** What is told apart: the names of a data set, and what they are called. */
  readonly namesAre: "classes" | "categories";
  /** Side of training's pictures where no flag says it. */
  readonly sideOf: (small: boolean) => number;
  /** Which parts of scenes are loaded. */
  readonly loading: (small: boolean) => { readonly masks: boolean; readonly maxInstances: number };
  /** What the flags say of the network. */
  readonly designOf: (options: TrainOptions, side: number, numClasses: number) => object;
  readonly build: (design: Design, options?: Pick<BuildOptions, "meta">) => M;
  /** Network, and its part that is chosen. */
  readonly title: (options: TrainOptions) => string;
  readonly lesson: (model: M) => Lesson<SceneBatch>;
  /** A function that measures the model, as it then is, on all of a loader. */
  readonly evaluation: (model: M, sliding: SlidingOptions | null) => (loader: SceneLoader, hooks?: SceneHooks<S>) => Promise<R>;
  readonly measures: (result: R) => Measures;
  /** The result for each class, as HTML and as lines of text. */
  readonly table: (result: R, names: readonly string[]) => string;
  readonly lines: (result: R, names: readonly string[]) => string[];
  /** Draws what is there and what was said. */
  readonly draw: (scene: S, dataset: SceneDataset) => Promise<ShownScene>;
}

const shownScenes = 12;

/** Networks for pictures of about 128 pixels. */
const isSmall = ({ model }: TrainOptions): boolean => model.includes("micro");

/** A task whose data are there; throws OpError for flags that scenes have no use for, and for data that are missing or broken. */
export function planScenes<M extends Module & { readonly backbone: Backbone }, R, S>(options: TrainOptions, kind: SceneKind<M, R, S>) {
  if (options.mixup > 0 || options.cutmix > 0) throw new OpError("train", "--mixup and --cutmix are for classification");
  const side = options.inputSize ?? kind.sideOf(isSmall(options));
  const data = prepareScenes(options, side);
  const names = data.trainSet[kind.namesAre];
  if (options.numClasses !== undefined && options.numClasses !== names.length)
    throw new OpError("train", `${data.trainSet.name} has ${names.length} ${kind.namesAre}; got --num-classes ${options.numClasses}`);
  const design = kind.designOf(options, side, names.length) as Design;
  return { build: (say: (line: string) => void) => sceneTask(options, kind, { ...data, names, design }, say) };
}

async function sceneTask<M extends Module & { readonly backbone: Backbone }, R, S>(
  options: TrainOptions,
  kind: SceneKind<M, R, S>,
  data: SceneData & { readonly names: readonly string[]; readonly design: Design },
  say: (line: string) => void,
): Promise<Task<SceneBatch>> {
  const { trainSet, testSet, train, shown, names, design } = data;
  const model = kind.build(design);
  if (options.initialCheckpoint !== undefined) beginWith(model, options.initialCheckpoint, "this network", say);
  else if (options.backboneCheckpoint !== undefined) loadBackbone(model.backbone, options.backboneCheckpoint, say);
  const optimizer = makeOptimizer(model, options, denseScheme(options.layerScheme, options.layerCount));
  const { loader, testLoader } = sceneLoaders(options, data, kind.loading(isSmall(options)));
  const sliding = slidingOf(options);
  const ema = options.modelEma ? await ModelEma.of(model, { decay: options.modelEmaDecay }) : null;
  const averaged = ema === null ? null : kind.build(design, { meta: true });
  const evaluations = { model: kind.evaluation(model, sliding), average: averaged === null ? null : kind.evaluation(averaged, sliding) };
  const lesson = kind.lesson(model);
  const title = kind.title(options);
  let last: { readonly result: R; readonly scenes: readonly S[] } | null = null;
  const [height, width] = train.size;
  return {
    title: `${title} on ${trainSet.name}`,
    opening: `${trainSet.name}: ${loader.samples} scenes of ${train.channels} × ${height} × ${width} an epoch`,
    facts: [
      ["network", `${title}, ${model.numParameters} parameters`],
      ["data", `${trainSet.name}: ${trainSet.length} scenes; ${testSet.name}: ${testSet.length}; ${names.length} ${kind.namesAre}`],
      ["evaluation", sliding === null ? "whole pictures" : `windows of ${sliding.crop.join(" × ")}, ${sliding.stride.join(" × ")} apart`],
    ],
    model,
    optimizer,
    ema,
    loader,
    step: learningStep(model, optimizer, lesson, {
      clipGrad: options.clipGrad || null,
      ema,
      guard: true,
      compiled: options.compile,
      accumulates: options.gradAccumSteps > 1,
    }),
    columns: kind.columns,
    words: kind.words,
    evaluate: async (which, { onBatch, signal, shown: kept }) => {
      if (which === "average" && ema !== null) averaged?.loadStateDict(ema.stateDict());
      const scenes: S[] = [];
      const onScene = (scene: S): void => {
        if (scenes.length < shownScenes) scenes.push(scene);
      };
      const evaluate = (which === "average" ? evaluations.average : null) ?? evaluations.model;
      const result = await evaluate(testLoader, { onBatch, signal, ...(kept ? { onScene } : {}) });
      if (kept) last = { result, scenes };
      return kind.measures(result);
    },
    sections: async () => {
      if (last === null) return "";
      const pictures: ShownScene[] = [];
      for (const scene of last.scenes) pictures.push(await kind.draw(scene, testSet));
      return `${kind.table(last.result, names)}\n${sceneGallery(pictures)}`;
    },
    broken: () => [...data.broken, ...loader.broken, ...testLoader.broken],
    card: () => ({
      model: options.model,
      task: options.task,
      numClasses: names.length,
      inChans: train.channels,
      inputSize: height,
      classNames: names,
      sceneTransform: shown,
      design,
      ...(sliding === null ? {} : { sliding }),
    }),
    locate: ({ batches, counter }) => locateAnomaly(model, optimizer, lesson, batches, counter),
    close: async () => {
      await Promise.all([loader.close(), testLoader.close()]);
    },
  };
}

function slidingOf({ slide, slideStride = Math.floor(((slide ?? 0) * 2) / 3) }: TrainOptions): SlidingOptions | null {
  return slide === undefined ? null : { crop: [slide, slide], stride: [slideStride, slideStride] };
}
