/** Models by name, as in timm: `createModel("hornet_tiny_7x7", { numClasses: 10 })`. */
import { OpError } from "../engine/errors.js";
import type { Tensor } from "../engine/tensor.js";
import { HorNet, type HorNetOptions, hornetVariants } from "./hornet.js";
import type { Module } from "./nn/module.js";
import { type BuildOptions, buildWith } from "./nn/parameter.js";

/** A network from images [N, C, H, W] to logits [N, classes]. */
export type Classifier = Module & { forward(images: Tensor): Tensor };

/** What every classification model takes; undefined leaves the variant's own value. */
export interface ModelOptions extends BuildOptions {
  readonly numClasses?: number;
  readonly inChans?: number;
  readonly dropPathRate?: number;
}

interface Entry {
  readonly build: (options: ModelOptions) => Classifier;
  /** Side of the images the variant was published with. */
  readonly inputSize: number;
  readonly inChans: number;
  readonly numClasses: number;
}

function hornetEntry(name: string, variant: HorNetOptions): [string, Entry] {
  return [
    name,
    {
      build: (options) => new HorNet({ ...variant, ...options }),
      inputSize: name.includes("micro") ? 32 : name.endsWith("img384") ? 384 : 224,
      inChans: variant.inChans ?? 3,
      numClasses: variant.numClasses ?? 1000,
    },
  ];
}

const models: ReadonlyMap<string, Entry> = new Map(Object.entries(hornetVariants).map(([name, variant]) => hornetEntry(name, variant)));

/** Names of the models, in order; `*` in the pattern stands for anything. */
export function listModels(pattern = "*"): string[] {
  const escaped = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const match = new RegExp(`^${escaped.join(".*")}$`);
  return [...models.keys()].filter((name) => match.test(name));
}

/** Side of the images, input channels and classes of a model as published. Throws for an unknown name. */
export function modelInfo(name: string): { readonly inputSize: number; readonly inChans: number; readonly numClasses: number } {
  return entry(name);
}

/** Builds a model by name. Options replace the variant's values; those of `BuildOptions` say where and how parameters are made. */
export function createModel(name: string, options: ModelOptions = {}): Classifier {
  const { device, dtype, generator, meta, init, ...given } = options;
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return buildWith({ device, dtype, generator, meta, init }, () => entry(name).build(chosen));
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
