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

/** Options that GLNet's attention blocks have of those of its mixing blocks. */
const attentive = ({ mlpRatio, layerScale }: models.GLMixOptions) => ({ mlpRatio, layerScale });
const attentiveMaps = ({ cpeKs, mlpDw, ...others }: models.GLMixOptions) => ({ ...attentive(others), cpeKs, mlpDw });

/** Options of GLNet's blocks. */
function mixing(config: Config): models.GLMixOptions {
  return {
    numSlots: config.num_slots as number | undefined,
    slotInit: config.slot_init as "param" | undefined,
    scaleMode: config.scale_mode as "const" | undefined,
    slotScale: config.slot_scale as number | undefined,
    localDwKs: config.local_dw_ks as number | undefined,
    mlpRatio: config.mlp_ratio as number | undefined,
    cpeKs: config.cpe_ks as number | undefined,
    mlpDw: config.mlp_dw as boolean | undefined,
    layerScale: config.layerscale as number | undefined,
  };
}

const embedding = (config: Config): models.PatchEmbeddingOptions => ({
  inChans: config.in_chans as number,
  norm: config.norm_layer as models.MapNorm,
  order: config.midd_order as "proj.norm",
});

function glnetOptions(config: Config): models.GLNetOptions {
  return {
    ...mixing(config),
    inChans: config.in_chans as number,
    numClasses: config.num_classes as number,
    depths: config.depth as number[],
    dims: config.embed_dim as number[],
    headDim: config.head_dim as number,
    mlpRatios: config.mlp_ratios as number[],
    stageKinds: config.mixing_modes as models.StageKind[],
    norm: config.norm_layer as models.MapNorm,
    downsampleStyle: config.downsample_style as "ovlp" | undefined,
    transitionLayout: config.transition_layout as "norm.proj" | undefined,
  };
}

/** Layers one after the other; every one's result is an output. */
function chain(layers: readonly (Module & { forward(x: Tensor): Tensor })[]): Built {
  const forward = ([x]: readonly Tensor[]): Tensor[] => {
    const outputs: Tensor[] = [];
    for (const layer of layers) outputs.push(layer.forward(outputs.at(-1) ?? x));
    return outputs;
  };
  return { module: new nn.ModuleList(layers), forward };
}

interface BackboneConfig {
  readonly depths: readonly number[];
  readonly base_dim: number;
  /** In Python: "partial(gnconv, order=4, s=1/3, h=14, w=8, gflayer=GlobalLocalFilter)". */
  readonly gnconv: readonly string[];
  readonly out_indices: readonly number[];
}

function parseGnConv(text: string): GnConvOptions {
  const value = (name: string): number => Number(new RegExp(`\\b${name}=(\\d+)`).exec(text)?.[1] ?? Number.NaN);
  const filter = text.includes("GlobalLocalFilter");
  return { order: value("order"), s: 1 / 3, dwconv: filter ? { filter: "gf", h: value("h"), w: value("w") } : "7x7" };
}

const gnConvModuleOptions = (config: Config): models.GNConvModuleOptions => ({
  kernelSize: config.kernel_size as number | undefined,
  type: config.type as "gngf",
  order: config.order as number,
  projOut: config.proj_out as boolean,
  h: config.h as number | undefined,
  w: config.w as number | undefined,
  norm: (config.norm_cfg ?? null) !== null,
  activation: (config.act_cfg ?? null) !== null,
});

const gnConvModule = (config: Config, kernelSize: number): models.GNConvModule =>
  new models.GNConvModule(
    config.in_channels as number,
    config.out_channels as number,
    gnConvModuleOptions({ kernel_size: kernelSize, ...config }),
  );

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
  GLMixBlock: (config) => single(new models.GLMixBlock(config.embed_dim as number, config.num_heads as number, mixing(config))),
  MHSA_Block: (config) => single(new models.MHSABlock(config.embed_dim as number, config.num_heads as number, attentive(mixing(config)))),
  MHSA_NCHW_Block: (config) =>
    single(new models.MHSANchwBlock(config.embed_dim as number, config.num_heads as number, attentiveMaps(mixing(config)))),
  ResDWConvNCHW: ({ dim, ks }) => single(new models.ResDWConv(dim as number, ks as number)),
  BasicLayer: (config) =>
    single(
      new models.BasicLayer(config.dim as number, config.num_heads as number, {
        ...mixing(config),
        dropPath: undefined,
        depth: config.depth as number,
        kind: config.mixing_mode as models.StageKind,
      }),
    ),
  NonOverlappedPatchEmbeddings: (config) => chain(models.nonOverlappedPatchEmbeddings(config.embed_dims as number[], embedding(config))),
  OverlappedPacthEmbeddings: (config) =>
    chain(
      models.overlappedPatchEmbeddings(config.embed_dims as number[], {
        ...embedding(config),
        dualPatchNorm: config.dual_patch_norm as boolean | undefined,
      }),
    ),
  GLNet: (config) => single(new models.GLNet(glnetOptions(config))),
  GLNet_tklb: (config) => {
    const { bbox } = config.mix as { bbox: models.TokenBox };
    const module = new models.GLNetTokenLabel({ ...glnetOptions(config), tokenBox: bbox });
    const train = (x: Tensor): Tensor[] => {
      const { logits, tokenLogits } = module.forwardTraining(x);
      return [logits, tokenLogits];
    };
    return { module, forward: ([x]) => (module.training ? train(x) : [module.forward(x)]) };
  },
  HorNet_detection: (config) => {
    const { depths, base_dim: baseDim, gnconv, out_indices: outIndices } = config as unknown as BackboneConfig;
    const module = new models.HorNetBackbone({ depths, baseDim, outIndices, gnconv: gnconv.map(parseGnConv) });
    return { module, forward: ([x]) => module.forward(x) };
  },
  GNConvModule_detection: (config) => single(gnConvModule(config, 7)),
  GNConvModule_segmentation: (config) => single(gnConvModule(config, 3)),
  GNFPN: ({ in_channels, out_channels, num_outs, gn_conv_cfg }) => {
    const module = new models.HorFPN(in_channels as number[], {
      outChannels: out_channels as number,
      numOuts: num_outs as number,
      gnconv: gnConvModuleOptions({ kernel_size: 7, ...(gn_conv_cfg as Config) }),
    });
    return { module, forward: (inputs) => module.forward(inputs) };
  },
  GNUPerHead: (config) => {
    const module = new models.HorFPNUPerHead(config.in_channels as number[], {
      channels: config.channels as number,
      numClasses: config.num_classes as number,
      dropoutRatio: config.dropout_ratio as number,
      poolScales: config.pool_scales as number[],
      alignCorners: config.align_corners as boolean,
      gnconv: gnConvModuleOptions(config.conv_cfg as Config),
    });
    return { module, forward: (inputs) => [module.forward(inputs)] };
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
