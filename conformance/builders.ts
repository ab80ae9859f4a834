/** From a case's `config`, in the words of the published code, to a module of ours. A kind without a row is missing. */
import type { Tensor } from "../engine/tensor.js";
import * as models from "../models/index.js";
import { type GnConvOptions, type Module, nn, type SpatialOperator } from "../models/index.js";
import { Missing } from "./outcome.js";

export type Config = Readonly<Record<string, unknown>>;

/** A module of the case and its call: outputs in the reference's order. */
export interface Built {
  readonly module: Module;
  readonly forward: (inputs: readonly Tensor[]) => Tensor[];
}

interface GnConvConfig {
  readonly order: number;
  readonly s: number;
  readonly dwconv: "7x7" | "GlobalLocalFilter";
  readonly h?: number;
  readonly w?: number;
}

interface HorNetConfig {
  readonly in_chans: number;
  readonly num_classes: number;
  readonly depths: readonly number[];
  readonly base_dim: number;
  readonly drop_path_rate: number;
  readonly layer_scale_init_value: number;
  readonly gnconv: readonly GnConvConfig[];
}

function gnConvOptions({ order, s, dwconv, h = 14, w = 8 }: GnConvConfig): GnConvOptions {
  const spatial: SpatialOperator = dwconv === "7x7" ? "7x7" : { filter: "gf", h, w };
  return { order, s, dwconv: spatial };
}

const single = (module: Module & { forward(x: Tensor): Tensor }): Built => ({ module, forward: ([x]) => [module.forward(x)] });

const table: Readonly<Record<string, (config: Config) => Built>> = {
  LayerNorm: ({ normalized_shape, eps, data_format }) =>
    single(new nn.LayerNorm(normalized_shape as number, { eps: eps as number, dataFormat: data_format as "channels_first" })),
  LayerNorm2d: ({ num_channels, eps }) => single(new nn.LayerNorm2d(num_channels as number, { eps: eps as number })),
  LayerScale: ({ chans, init_value, in_format }) =>
    single(new nn.LayerScale(chans as number, { initValue: init_value as number, format: in_format as "nchw" })),
  gnconv: (config) => single(new models.GnConv(config.dim as number, gnConvOptions(config as unknown as GnConvConfig))),
  GlobalLocalFilter: ({ dim, h, w }) => single(new models.GlobalLocalFilter(dim as number, { h: h as number, w: w as number })),
  hornet_block: ({ dim, drop_path, layer_scale_init_value, gnconv }) =>
    single(
      new models.HorNetBlock(dim as number, {
        dropPath: drop_path as number,
        layerScaleInitValue: layer_scale_init_value as number,
        gnconv: gnConvOptions(gnconv as GnConvConfig),
      }),
    ),
  HorNet: (config) => {
    const given = config as unknown as HorNetConfig;
    return single(
      new models.HorNet({
        inChans: given.in_chans,
        numClasses: given.num_classes,
        depths: given.depths,
        baseDim: given.base_dim,
        dropPathRate: given.drop_path_rate,
        layerScaleInitValue: given.layer_scale_init_value,
        gnconv: given.gnconv.map(gnConvOptions),
      }),
    );
  },
  model: ({ model, num_classes, drop_path_rate }) => {
    if (models.listModels(model as string).length === 0) throw new Missing(`models has no ${model}`);
    return single(
      models.createModel(model as string, { numClasses: num_classes as number, dropPathRate: drop_path_rate as number, meta: true }),
    );
  },
};

/** The network of a case; throws Missing where we have none of its kind. */
export function build(kind: string, config: Config): Built {
  if (!Object.hasOwn(table, kind)) throw new Missing(`models has no ${kind}`);
  return table[kind](config);
}
