/** Models by name, as in timm: `createModel("hornet_tiny_7x7", { numClasses: 10 })`. */
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { GLNet, GLNetBackbone, type GLNetOptions, glnetTokenLabelVariants, glnetVariants } from "./glnet.js";
import { GLNetTokenLabel } from "./glnet-tklb.js";
import { HorNet, type HorNetOptions, hornetFilters, hornetVariants } from "./hornet.js";
import { HorNetBackbone, hornetBackboneVariants } from "./hornet-backbone.js";
import type { Module } from "./nn/module.js";
import { type BuildOptions, buildWith } from "./nn/parameter.js";
import { loadPretrained, type Pretrained } from "./pretrained.js";
import { nearest } from "./state.js";

/** A network from images [N, C, H, W] to logits [N, classes]. */
export type Classifier = Module & { forward(images: Tensor): Tensor };

/** A network from images [N, C, H, W] to the maps of its stages, finest first. */
export type Backbone = Module & {
  forward(images: Tensor): Tensor[];
  /** Of each map. */
  readonly channels: readonly number[];
};

/** What every classification model takes; undefined leaves the variant's own value. */
export interface ModelOptions extends BuildOptions {
  /** Default: the variant's, 1000 for the published ones. */
  readonly numClasses?: number;
  /** Channels of the images. Default: the variant's, 3 for the published ones. */
  readonly inChans?: number;
  /** Drop-path rate of the last block; the rates rise evenly from 0. Default 0. */
  readonly dropPathRate?: number;
  /** Side of the images that the filters of a GF network are made for. Images of other sides work too, by resizing the filters at each call. */
  readonly inputSize?: number;
}

/** What was published of a variant, with 1000 classes: millions of parameters, GFLOPs at the input size, ImageNet-1k accuracy in per cent. */
export interface PublishedFigures {
  readonly params: number;
  readonly gflops: number;
  readonly top1: number | null;
  /** As a backbone: Cascade Mask R-CNN on COCO (average precision of boxes and masks), UPerNet on ADE20K (mIoU, single and multi-scale). */
  readonly dense: DenseFigures | null;
}

/** Published figures of detection and segmentation, in percent. */
export interface DenseFigures {
  readonly boxAp: number;
  readonly maskAp: number;
  readonly miou: number;
  readonly miouMultiScale: number;
}

interface Entry {
  readonly build: (options: ModelOptions) => Classifier;
  /** The same without norm and head. */
  readonly backbone: (options: ModelOptions) => Backbone;
  /** Side of the images the variant was published with. */
  readonly inputSize: number;
  readonly inChans: number;
  readonly numClasses: number;
  readonly published: PublishedFigures | null;
}

const dense: Readonly<Record<string, readonly [number, number, number, number]>> = {
  hornet_tiny_7x7: [51.7, 44.8, 48.1, 48.9],
  hornet_tiny_gf: [52.4, 45.6, 49.2, 49.3],
  hornet_small_7x7: [52.7, 45.6, 49.2, 49.8],
  hornet_small_gf: [53.3, 46.3, 50.0, 50.5],
  hornet_base_7x7: [53.3, 46.1, 50.0, 50.5],
  hornet_base_gf: [54.0, 46.9, 50.5, 50.9],
  hornet_large_7x7: [55.4, 48.0, 54.1, 54.5],
  hornet_large_gf: [56.0, 48.6, 55.0, 55.2],
};
const figures = (params: number, gflops: number, top1: number | null = null): Omit<PublishedFigures, "dense"> => ({ params, gflops, top1 });
const published: Readonly<Record<string, Omit<PublishedFigures, "dense">>> = {
  hornet_tiny_7x7: figures(22, 4.0, 82.8),
  hornet_tiny_gf: figures(23, 3.9, 83.0),
  hornet_small_7x7: figures(50, 8.8, 83.8),
  hornet_small_gf: figures(50, 8.7, 84.0),
  hornet_base_7x7: figures(87, 15.6, 84.2),
  hornet_base_gf: figures(88, 15.5, 84.3),
  // Counted with the 22k classes of pre-training.
  hornet_large_7x7: figures(209, 34.8),
  hornet_large_gf: figures(211, 34.7),
  hornet_large_gf_img384: figures(216, 101.8),
  glnet_stl: figures(30, 4.4, 82.5),
  glnet_stl_paramslot: figures(30, 4.4, 82.1),
  glnet_4g: figures(27, 4.5, 83.7),
  glnet_9g: figures(60, 9.7, 84.5),
  glnet_16g: figures(106, 16.7, 85.0),
  glnet_4g_tklb: figures(27, 4.5, 84.4),
  glnet_9g_tklb: figures(61, 9.7, 85.3),
};

function publishedOf(name: string): PublishedFigures | null {
  if (!Object.hasOwn(published, name)) return null;
  const [boxAp, maskAp, miou, miouMultiScale] = dense[name] ?? [];
  return { ...published[name], dense: boxAp === undefined ? null : { boxAp, maskAp, miou, miouMultiScale } };
}

function hornetEntry(name: string, variant: HorNetOptions): [string, Entry] {
  const sized = ({ inputSize, ...options }: ModelOptions): HorNetOptions => ({
    ...variant,
    ...options,
    ...(inputSize !== undefined && name.includes("gf") ? { gnconv: hornetFilters(inputSize) } : {}),
  });
  return [
    name,
    {
      build: (options) => new HorNet(sized(options)),
      backbone: (options) => new HorNetBackbone(sized(options)),
      inputSize: name.includes("micro") ? 32 : name.endsWith("img384") ? 384 : 224,
      inChans: variant.inChans ?? 3,
      numClasses: variant.numClasses ?? 1000,
      published: publishedOf(name),
    },
  ];
}

function glnetEntry(name: string, variant: GLNetOptions, Network: typeof GLNet): [string, Entry] {
  const sized = ({ inputSize: _, ...options }: ModelOptions): GLNetOptions => ({ ...variant, ...options });
  const build = (options: ModelOptions): Classifier => new Network(sized(options));
  const backbone = (options: ModelOptions): Backbone => new GLNetBackbone(sized(options));
  return [name, { build, backbone, inputSize: 224, inChans: 3, numClasses: 1000, published: publishedOf(name) }];
}

const models: ReadonlyMap<string, Entry> = new Map([
  ...Object.entries(hornetVariants).map(([name, variant]) => hornetEntry(name, variant)),
  ...Object.entries(glnetVariants).map(([name, variant]) => glnetEntry(name, variant, GLNet)),
  ...Object.entries(glnetTokenLabelVariants).map(([name, variant]) => glnetEntry(name, variant, GLNetTokenLabel)),
]);

/**
 * Names of the models, in order; `*` in the pattern stands for anything.
 *
 * ```ts
 * import { listModels } from "crabro/models";
 *
 * listModels("glnet_*g"); // glnet_4g, glnet_9g, glnet_16g
 * ```
 */
export function listModels(pattern = "*"): string[] {
  const escaped = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const match = new RegExp(`^${escaped.join(".*")}$`);
  return [...models.keys()].filter((name) => match.test(name));
}

/**
 * Side of the images, input channels, classes and figures of a model as published. Throws OpError for an unknown name.
 *
 * ```ts
 * import { modelInfo } from "crabro/models";
 *
 * const { inputSize, published } = modelInfo("hornet_tiny_gf"); // 224; 23 million parameters, 3.9 GFLOPs, 83.0 % top-1, …
 * ```
 */
export function modelInfo(name: string): Omit<Entry, "build" | "backbone"> {
  const { inputSize, inChans, numClasses, published } = entry(name);
  return { inputSize, inChans, numClasses, published };
}

/**
 * Builds a model by name. Options replace the variant's values; those of `BuildOptions` say where and how parameters are made.
 * With `featuresOnly` the result is the backbone of dense prediction: images → the maps of the four stages.
 *
 * With `pretrained`, a promise of the model with the weights of a file or URL (`crabro/models/node` must have been imported for these) or
 * of a file's bytes. Spectral filters of other sizes are resized for good; a head for other classes needs `head`, see `PretrainedOptions`.
 *
 * ```ts
 * import { createModel } from "crabro/models";
 * import { saveWeights } from "crabro/models/node";
 *
 * const model = createModel("hornet_micro_gf", { numClasses: 7 });
 * await saveWeights("/tmp/crabro-seven.safetensors", model.stateDict());
 * const source = "/tmp/crabro-seven.safetensors"; // or https://…
 * const larger = await createModel("hornet_micro_gf", { numClasses: 3, inputSize: 64, pretrained: { source, head: "drop" } });
 * ```
 *
 * Throws OpError for an unknown name, with those near it; the promise rejects with OpError where weights are not to be had or do not fit.
 */
export function createModel(name: string, options: ModelOptions & WithWeights & { readonly featuresOnly: true }): Promise<Backbone>;
export function createModel(name: string, options: ModelOptions & WithWeights & { readonly featuresOnly?: false }): Promise<Classifier>;
export function createModel(name: string, options: ModelOptions & WithoutWeights & { readonly featuresOnly: true }): Backbone;
export function createModel(name: string, options?: ModelOptions & WithoutWeights & { readonly featuresOnly?: false }): Classifier;
export function createModel(
  name: string,
  options: ModelOptions & { readonly featuresOnly?: boolean; readonly pretrained?: Pretrained } = {},
): Classifier | Backbone | Promise<Classifier | Backbone> {
  const { featuresOnly = false, pretrained, ...given } = options;
  const { build, backbone } = entry(name);
  const make: (options: ModelOptions) => Classifier | Backbone = featuresOnly ? backbone : build;
  if (pretrained === undefined) return built(given, make);
  // Without values, so that none are drawn only to be replaced.
  const model = built({ ...given, meta: true }, make);
  return loadPretrained(model, pretrained).then(() => model.initialize());
}

interface WithWeights {
  readonly pretrained: Pretrained;
}
interface WithoutWeights {
  readonly pretrained?: undefined;
}

/** Makes a network under its options of building, with those of its own that are given. */
function built<T>({ device, dtype, generator, meta, init, ...given }: ModelOptions, make: (options: ModelOptions) => T): T {
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return buildWith({ device, dtype, generator, meta, init }, () => make(chosen));
}

/** Names of the published backbones of detection and segmentation. */
export const listBackbones = (): string[] => Object.keys(hornetBackboneVariants);

/**
 * Builds a published backbone by name: images → four normed maps, finest first. Throws OpError for an unknown name.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { createBackbone, HorFPN } from "crabro/models";
 *
 * const backbone = createBackbone("det_backbone_tiny_gf", { meta: true }); // [N, 64, H / 4, W / 4], …, [N, 512, H / 32, W / 32]
 * const maps = backbone.forward(rand([1, 3, 64, 96]));
 * const neck = new HorFPN(maps.map(({ shape }) => shape[1]));
 * ```
 */
export function createBackbone(name: string, options: Omit<ModelOptions, "numClasses"> = {}): HorNetBackbone {
  if (!Object.hasOwn(hornetBackboneVariants, name)) {
    throw new OpError("createBackbone", `no backbone is named ${name}; there are ${listBackbones().join(", ")}`);
  }
  return built(options, (chosen) => new HorNetBackbone({ ...hornetBackboneVariants[name], ...chosen }));
}

function entry(name: string): Entry {
  const found = models.get(name);
  if (found !== undefined) return found;
  const near = nearest(name, [...models.keys()]);
  throw new OpError(
    "createModel",
    `no model is named ${name}; ${near.length > 0 ? `did you mean ${near.join(" or ")}?` : `there are ${listModels().join(", ")}`}`,
  );
}
