/** Models by name, as in timm: `createModel("hornet_tiny_7x7", { numClasses: 10 })`. */
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { GLNet, type GLNetOptions, glnetTokenLabelVariants, glnetVariants } from "./glnet.js";
import { GLNetTokenLabel } from "./glnet-tklb.js";
import { HorNet, type HorNetOptions, hornetVariants } from "./hornet.js";
import { HorNetBackbone, hornetBackboneVariants } from "./hornet-backbone.js";
import type { Module } from "./nn/module.js";
import { type BuildOptions, buildWith } from "./nn/parameter.js";

/** A network from images [N, C, H, W] to logits [N, classes]. */
export type Classifier = Module & { forward(images: Tensor): Tensor };

/** A network from images [N, C, H, W] to the maps of its stages, finest first. */
export type Backbone = Module & { forward(images: Tensor): Tensor[] };

/** What every classification model takes; undefined leaves the variant's own value. */
export interface ModelOptions extends BuildOptions {
  readonly numClasses?: number;
  readonly inChans?: number;
  readonly dropPathRate?: number;
}

/** What was published of a variant, with 1000 classes: millions of parameters, GFLOPs at the input size, ImageNet-1k accuracy in per cent. */
export interface PublishedFigures {
  readonly params: number;
  readonly gflops: number;
  readonly top1: number | null;
}

interface Entry {
  readonly build: (options: ModelOptions) => Classifier;
  /** The same without norm and head; null where the original has no such form. */
  readonly backbone: ((options: ModelOptions) => Backbone) | null;
  /** Side of the images the variant was published with. */
  readonly inputSize: number;
  readonly inChans: number;
  readonly numClasses: number;
  readonly published: PublishedFigures | null;
}

const figures = (params: number, gflops: number, top1: number | null = null): PublishedFigures => ({ params, gflops, top1 });
const published: Readonly<Record<string, PublishedFigures>> = {
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

function hornetEntry(name: string, variant: HorNetOptions): [string, Entry] {
  return [
    name,
    {
      build: (options) => new HorNet({ ...variant, ...options }),
      backbone: (options) => new HorNetBackbone({ ...variant, ...options }),
      inputSize: name.includes("micro") ? 32 : name.endsWith("img384") ? 384 : 224,
      inChans: variant.inChans ?? 3,
      numClasses: variant.numClasses ?? 1000,
      published: published[name] ?? null,
    },
  ];
}

function glnetEntry(name: string, variant: GLNetOptions, Network: typeof GLNet): [string, Entry] {
  const build = (options: ModelOptions): Classifier => new Network({ ...variant, ...options });
  return [name, { build, backbone: null, inputSize: 224, inChans: 3, numClasses: 1000, published: published[name] ?? null }];
}

const models: ReadonlyMap<string, Entry> = new Map([
  ...Object.entries(hornetVariants).map(([name, variant]) => hornetEntry(name, variant)),
  ...Object.entries(glnetVariants).map(([name, variant]) => glnetEntry(name, variant, GLNet)),
  ...Object.entries(glnetTokenLabelVariants).map(([name, variant]) => glnetEntry(name, variant, GLNetTokenLabel)),
]);

/** Names of the models, in order; `*` in the pattern stands for anything. */
export function listModels(pattern = "*"): string[] {
  const escaped = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const match = new RegExp(`^${escaped.join(".*")}$`);
  return [...models.keys()].filter((name) => match.test(name));
}

/** Side of the images, input channels, classes and figures of a model as published. Throws for an unknown name. */
export function modelInfo(name: string): Omit<Entry, "build" | "backbone"> {
  const { inputSize, inChans, numClasses, published } = entry(name);
  return { inputSize, inChans, numClasses, published };
}

/**
 * Builds a model by name. Options replace the variant's values; those of `BuildOptions` say where and how parameters are made.
 * With `featuresOnly` the result is the backbone of dense prediction: images → the maps of the four stages.
 *
 * Throws OpError for an unknown name, with those near it.
 */
export function createModel(name: string, options: ModelOptions & { readonly featuresOnly: true }): Backbone;
export function createModel(name: string, options?: ModelOptions & { readonly featuresOnly?: false }): Classifier;
export function createModel(name: string, options: ModelOptions & { readonly featuresOnly?: boolean } = {}): Classifier | Backbone {
  const { device, dtype, generator, meta, init, featuresOnly = false, ...given } = options;
  const { build, backbone } = entry(name);
  if (featuresOnly && backbone === null) throw new OpError("createModel", `${name} has no form with features only; HorNets have`);
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return buildWith({ device, dtype, generator, meta, init }, () => (featuresOnly && backbone !== null ? backbone(chosen) : build(chosen)));
}

/** Names of the published backbones of detection and segmentation. */
export const listBackbones = (): string[] => Object.keys(hornetBackboneVariants);

/** Builds a published backbone by name: images → four normed maps, finest first. */
export function createBackbone(name: string, options: Omit<ModelOptions, "numClasses"> = {}): HorNetBackbone {
  if (!Object.hasOwn(hornetBackboneVariants, name)) {
    throw new OpError("createBackbone", `no backbone is named ${name}; there are ${listBackbones().join(", ")}`);
  }
  const { device, dtype, generator, meta, init, ...given } = options;
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return buildWith({ device, dtype, generator, meta, init }, () => new HorNetBackbone({ ...hornetBackboneVariants[name], ...chosen }));
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

/** Names within a few edits of `name`, nearest first. */
export function nearest(name: string, names: readonly string[], most = 2): string[] {
  const normal = (text: string): string => text.toLowerCase().replace(/[-\s]/g, "_");
  const scored = names.map((candidate) => ({ candidate, distance: editDistance(normal(name), normal(candidate)) }));
  const limit = Math.max(2, Math.floor(name.length / 3));
  const close = scored.filter(({ distance }) => distance <= limit).sort((a, b) => a.distance - b.distance);
  return close.slice(0, most).map(({ candidate }) => candidate);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
