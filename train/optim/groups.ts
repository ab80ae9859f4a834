/** Parameter groups of the published recipes: what is decayed, and how much slower early layers learn. */
import { OpError } from "../../engine/errors.js";
import type { Module } from "../../models/nn/module.js";
import type { Parameter } from "../../models/nn/parameter.js";

export interface ParamGroupsOptions {
  readonly weightDecay: number;
  /** Below 1: rates fall by this factor from layer to layer, seen from the head. Default 1: one rate. */
  readonly layerDecay?: number;
  /** How parameters are put into layers. Default: the classification network's fourteen. */
  readonly layers?: LayerScheme;
}

/** Layers of a network: the id of each parameter, and how many there are; the rate of the last is not scaled. */
export interface LayerScheme {
  readonly idOf: (name: string) => number;
  readonly count: number;
}

/** A group for an optimizer, with what decided it. */
export interface NamedGroup {
  readonly name: string;
  readonly layerId: number | null;
  readonly lrScale: number;
  readonly weightDecay: number;
  readonly params: readonly Parameter[];
  /** State-dict names of `params`. */
  readonly names: readonly string[];
}

/** Vectors (norms, biases, layer scales) are not decayed; filters, and scalars such as `slot_scale`, are. */
export function isDecayed(name: string, parameter: { readonly ndim: number }): boolean {
  return parameter.ndim !== 1 && !/(^|\.)(bias|gamma|beta)$/.test(name);
}

/** Layer ids 0 … 13 of a HorNet for fine-tuning. The third downsampling and the second stage share ids with their neighbours as published. */
export function hornetLayerId(name: string): number {
  const downsample = /^downsample_layers\.(\d)\./.exec(name);
  if (downsample !== null) return [0, 2, 3, 12][Number(downsample[1])];
  const block = /^stages\.(\d)\.(\d+)\./.exec(name);
  if (block !== null) return [1, 2, Math.min(3 + Math.floor(Number(block[2]) / 2), 11), 12][Number(block[1])];
  if (/^(norm|head)\./.test(name)) return hornetLayers - 1;
  throw new OpError("hornetLayerId", `${name} is no parameter of a HorNet`);
}
const hornetLayers = 14;

/** The classification network: ids 0 to 13. */
export const hornetScheme: LayerScheme = { idOf: hornetLayerId, count: hornetLayers };

/**
 * GLNet, for which no scheme was published: as timm numbers other networks, the stem is layer 0, blocks follow one by one, each downsampling
 * belongs to the block after it, and norm and heads are the last.
 */
export function blockScheme(model: Module): LayerScheme {
  const names = [...model.namedParameters()].map(([name]) => name);
  const blockOf = (name: string): RegExpExecArray | null => /^stages\.(\d+)\.blocks\.(\d+)\./.exec(name);
  const blocks = [...new Set(names.flatMap((name) => blockOf(name)?.[0] ?? []))];
  if (blocks.length === 0)
    throw new OpError("blockScheme", `the network has no parameters stages.<i>.blocks.<j>.…; it begins with ${names[0]}`);
  const idOf = (name: string): number => {
    const block = blockOf(name);
    if (block !== null) return 1 + blocks.indexOf(block[0]);
    const stage = /^(?:stages|downsample_layers)\.(\d+)\./.exec(name);
    if (stage === null) return blocks.length + 1;
    return name.startsWith("downsample_layers.0.") ? 0 : 1 + blocks.indexOf(`stages.${stage[1]}.blocks.0.`);
  };
  return { idOf, count: blocks.length + 2 };
}

/**
 * Dense prediction with `numLayers` n: n + 2 layers of which the last is everything outside the stem, downsamplings and stages of
 * `backbone`. `layer_wise` numbers the backbone as in classification, whatever n is: with a small n, as published for detection with
 * HorFPN, deep layers learn *faster* than the head. `stage_wise` takes all downsamplings as layer 0 and stage i as layer i + 1.
 */
export function denseScheme(type: "layer_wise" | "stage_wise", numLayers: number): LayerScheme {
  const idOf = (name: string): number => {
    const inner = /^backbone\.(downsample_layers\..*|stages\.(\d)\..*)$/.exec(name);
    if (inner === null) return numLayers + 1;
    if (type === "layer_wise") return hornetLayerId(inner[1]);
    return inner[2] === undefined ? 0 : Number(inner[2]) + 1;
  };
  return { idOf, count: numLayers + 2 };
}

/** Groups in order of their first parameter: `decay` and `no_decay`, or with layer decay `layer_3_decay`, `layer_3_no_decay`, … */
export function paramGroups(model: Module, { weightDecay, layerDecay = 1, layers = hornetScheme }: ParamGroupsOptions): NamedGroup[] {
  const groups = new Map<string, { layerId: number | null; lrScale: number; weightDecay: number; params: Parameter[]; names: string[] }>();
  for (const [name, parameter] of model.namedParameters()) {
    if (!parameter.requiresGrad) continue;
    const decayed = isDecayed(name, parameter);
    const layerId = layerDecay === 1 ? null : layers.idOf(name);
    const key = `${layerId === null ? "" : `layer_${layerId}_`}${decayed ? "decay" : "no_decay"}`;
    let group = groups.get(key);
    if (group === undefined) {
      const lrScale = layerId === null ? 1 : layerDecay ** (layers.count - 1 - layerId);
      group = { layerId, lrScale, weightDecay: decayed ? weightDecay : 0, params: [], names: [] };
      groups.set(key, group);
    }
    group.params.push(parameter);
    group.names.push(name);
  }
  return [...groups].map(([name, group]) => ({ name, ...group }));
}
