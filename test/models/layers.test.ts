/** Every exported layer and network: the shapes it gives, and that other input is refused with an error that says so. */
import { describe, expect, it } from "vitest";
import { OpError, type Tensor, zeros } from "../../index.js";
import * as models from "../../models/index.js";
import { Module, nn } from "../../models/index.js";

type Shape = readonly number[];
type Input = Shape | readonly Shape[];

interface Case {
  readonly make: () => Module;
  readonly takes: Input;
  readonly gives: Input;
  /** What must be refused when it is made, or when it is called. */
  readonly refusesToBe?: readonly (() => Module)[];
  readonly refuses?: readonly Input[];
}

const map: Shape = [2, 16, 4, 6];
const sequence: Shape = [2, 6, 16];
const images: Shape = [1, 3, 64, 32];
const maps: readonly Shape[] = [0, 1, 2, 3].map((i) => [2, 8 << i, 32 >> i, 48 >> i]);
const widths = maps.map(([, channels]) => channels);
const noMaps: readonly Input[] = [[[2, 8, 4, 6]], [[2, 16, 4]], [[16]]].map(([shape]) => shape);
const small = { dims: [16, 16, 32, 32], depths: [1, 1, 1, 1], headDim: 8, numSlots: 4, numClasses: 5 };
const tiny = { depths: [1, 1, 1, 1], baseDim: 16, numClasses: 5 };
const stages = (channels: readonly number[]): Shape[] => channels.map((c, i) => [1, c, 16 >> i, 8 >> i]);
const noImages: readonly Input[] = [[1, 4, 64, 32], [1, 3, 31, 64], [3, 64, 64]]; // biome-ignore format: three shapes

/** Layers of all of `crabro/models`, those of `nn` by their names there. */
const cases: Readonly<Record<string, Case>> = {
  "nn.AdaptiveAvgPool2d": { make: () => new nn.AdaptiveAvgPool2d(2), takes: map, gives: [2, 16, 2, 2], refuses: [[2, 3]] },
  "nn.BatchNorm2d": { make: () => new nn.BatchNorm2d(16), takes: map, gives: map, refuses: [...noMaps, [1, 16, 1, 1]] },
  "nn.Conv2d": {
    make: () => new nn.Conv2d(16, 8, 3, { stride: 2, padding: 1, groups: 2 }),
    takes: map,
    gives: [2, 8, 2, 3],
    refusesToBe: [() => new nn.Conv2d(16, 8, 3, { groups: 3 })],
    refuses: noMaps,
  },
  "nn.ConvTranspose2d": { make: () => new nn.ConvTranspose2d(16, 8, 2, { stride: 2 }), takes: map, gives: [2, 8, 8, 12], refuses: noMaps },
  "nn.DropPath": { make: () => new nn.DropPath(0.2), takes: map, gives: map, refusesToBe: [() => new nn.DropPath(1)] },
  "nn.Dropout": { make: () => new nn.Dropout(0.2), takes: [3], gives: [3], refusesToBe: [() => new nn.Dropout(-0.1)] },
  "nn.Dropout2d": {
    make: () => new nn.Dropout2d(0.2),
    takes: map,
    gives: map,
    refusesToBe: [() => new nn.Dropout2d(Number.NaN)],
    refuses: [[2]],
  },
  "nn.GELU": { make: () => new nn.GELU(), takes: [3], gives: [3] },
  "nn.Identity": { make: () => new nn.Identity(), takes: [3], gives: [3] },
  "nn.LayerNorm": {
    make: () => new nn.LayerNorm([6, 16]),
    takes: sequence,
    gives: sequence,
    refusesToBe: [() => new nn.LayerNorm([2, 2], { dataFormat: "channels_first" })],
    refuses: [[6, 8], [16]],
  },
  "nn.LayerNorm2d": { make: () => new nn.LayerNorm2d(16), takes: map, gives: map, refuses: noMaps },
  "nn.LayerScale": { make: () => new nn.LayerScale(16, { format: "nchw" }), takes: map, gives: map, refuses: [[2, 8, 4, 6]] },
  "nn.Linear": { make: () => new nn.Linear(16, 4), takes: sequence, gives: [2, 6, 4], refuses: [[2, 8]] },
  "nn.ModuleList": { make: () => new nn.ModuleList(), takes: [], gives: [], refuses: [[2]] },
  "nn.MultiheadAttention": {
    make: () => new nn.MultiheadAttention(16, 4),
    takes: sequence,
    gives: sequence,
    refusesToBe: [() => new nn.MultiheadAttention(16, 3), () => new nn.MultiheadAttention(16, 0)],
    refuses: [[2, 6, 8], [16], map],
  },
  "nn.ReLU": { make: () => new nn.ReLU(), takes: [3], gives: [3] },
  "nn.Sequential": {
    make: () => new nn.Sequential(new nn.Linear(16, 4), new nn.Linear(4, 3)),
    takes: sequence,
    gives: [2, 6, 3],
    refuses: [[2, 4]],
  },
  BasicLayer: {
    make: () => new models.BasicLayer(16, 2, { kind: "mha", depth: 2 }),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.BasicLayer(16, 3, { depth: 1 })],
    refuses: noMaps,
  },
  ConvModule: { make: () => new models.ConvModule(16, 8, 3, { norm: true }), takes: map, gives: [2, 8, 2, 4], refuses: noMaps },
  FCNHead: {
    make: () => new models.FCNHead(32, { channels: 8, numClasses: 5 }),
    takes: maps,
    gives: [2, 5, 8, 12],
    refuses: [maps.slice(0, 2), [...maps.slice(0, 2), maps[3]]],
  },
  FPN: {
    make: () => new models.FPN(widths, { outChannels: 8 }),
    takes: maps,
    gives: [...maps.map(([n, , h, w]) => [n, 8, h, w]), [2, 8, 2, 3]],
    refusesToBe: [() => new models.FPN(widths, { startLevel: 4 }), () => new models.FPN(widths, { numOuts: 3 })],
    refuses: [maps.slice(1), [...maps.slice(1), maps[0]]],
  },
  GLMixBlock: {
    make: () => new models.GLMixBlock(16, 2, { numSlots: 4 }),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.GLMixBlock(16, 3), () => new models.GLMixBlock(16, 2, { numSlots: 5 })],
    refuses: noMaps,
  },
  GLNet: {
    make: () => new models.GLNet(small),
    takes: images,
    gives: [1, 5],
    refusesToBe: [() => new models.GLNet({ ...small, depths: [1] }), () => new models.GLNet({ ...small, dims: [28, 16, 16, 16] })],
    refuses: noImages,
  },
  GLNetBackbone: {
    make: () => new models.GLNetBackbone(small),
    takes: images,
    gives: stages(small.dims),
    refusesToBe: [() => new models.GLNetBackbone({ ...small, outIndices: [5] })],
    refuses: noImages,
  },
  GLNetTokenLabel: {
    make: () => new models.GLNetTokenLabel(small),
    takes: images,
    gives: [1, 5],
    refusesToBe: [() => new models.GLNetTokenLabel({ ...small, dims: [16] })],
    refuses: noImages,
  },
  GNConvModule: {
    make: () => new models.GNConvModule(16, 8, { projOut: true }),
    takes: map,
    gives: [2, 8, 4, 6],
    refusesToBe: [() => new models.GNConvModule(16, 9), () => new models.GNConvModule(16, 8, { dimRatio: 2, norm: true })],
    refuses: noMaps,
  },
  GlobalLocalFilter: {
    make: () => new models.GlobalLocalFilter(16),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.GlobalLocalFilter(15)],
    refuses: noMaps,
  },
  GnConv: {
    make: () => new models.GnConv(16, { order: 3 }),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.GnConv(16, { order: 1 }), () => new models.GnConv(18, { order: 3 })],
    refuses: noMaps,
  },
  HorFPN: {
    make: () => new models.HorFPN(widths, { outChannels: 8, numOuts: 4, gnconv: { type: "gngf", h: 4 } }),
    takes: maps,
    gives: maps.map(([n, , h, w]) => [n, 8, h, w]),
    refusesToBe: [() => new models.HorFPN(widths, { outChannels: 7 })],
    refuses: [maps.slice(1)],
  },
  HorFPNUPerHead: {
    make: () => new models.HorFPNUPerHead(widths, { channels: 8, numClasses: 5 }),
    takes: maps,
    gives: [2, 5, 32, 48],
    refusesToBe: [() => new models.HorFPNUPerHead(widths, { channels: 7 })],
    refuses: [maps.slice(1)],
  },
  HorNet: {
    make: () => new models.HorNet(tiny),
    takes: images,
    gives: [1, 5],
    refusesToBe: [() => new models.HorNet({ ...tiny, depths: [1] }), () => new models.HorNet({ ...tiny, baseDim: 3 })],
    refuses: noImages,
  },
  HorNetBackbone: {
    make: () => new models.HorNetBackbone(tiny),
    takes: images,
    gives: stages([16, 32, 64, 128]),
    refusesToBe: [() => new models.HorNetBackbone({ ...tiny, outIndices: [-1] })],
    refuses: noImages,
  },
  HorNetBlock: {
    make: () => new models.HorNetBlock(16, { gnconv: { order: 2 } }),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.HorNetBlock(15, { gnconv: { order: 2 } })],
    refuses: noMaps,
  },
  MHSABlock: {
    make: () => new models.MHSABlock(16, 2),
    takes: sequence,
    gives: sequence,
    refusesToBe: [() => new models.MHSABlock(16, 3)],
    refuses: [[2, 6, 8], [16], map],
  },
  MHSANchwBlock: {
    make: () => new models.MHSANchwBlock(16, 2),
    takes: map,
    gives: map,
    refusesToBe: [() => new models.MHSANchwBlock(16, 3)],
    refuses: [...noMaps, sequence],
  },
  ResDWConv: { make: () => new models.ResDWConv(16), takes: map, gives: map, refuses: noMaps },
  Segmentor: {
    make: () => models.segmentor({ ...models.smallSegmentor, numClasses: 5 }),
    takes: [2, 3, 64, 32],
    gives: [2, 5, 64, 32],
    refusesToBe: [() => models.segmentor({ ...models.smallSegmentor, numClasses: 5, backbone: "hornet" })],
    refuses: noImages,
  },
  UPerHead: {
    make: () => new models.UPerHead(widths, { channels: 8, numClasses: 5 }),
    takes: maps,
    gives: [2, 5, 32, 48],
    refuses: [maps.slice(1), [...maps].reverse()],
  },
};

const isLayer = (value: unknown): boolean => typeof value === "function" && value !== Module && value.prototype instanceof Module;
const named = (space: object, prefix = ""): string[] =>
  Object.entries(space).flatMap(([name, value]) => (isLayer(value) ? [prefix + name] : []));
/** A whole system of networks, with tests of its own. */
const systems = ["MaskRCNN"];
const exportedLayers = [...named(models), ...named(nn, "nn.")].filter((name) => !systems.includes(name));

const areMaps = (input: Input): input is readonly Shape[] => input.length > 0 && Array.isArray(input[0]);
const tensors = (input: Input): unknown => (areMaps(input) ? input.map((shape) => zeros(shape)) : zeros(input as Shape));
const meta = (make: () => Module): Module => nn.buildWith({ meta: true }, make);
const call = (module: Module, input: Input): unknown => (module.forward as (x: unknown) => unknown)(tensors(input));

describe("the layers of crabro/models", () => {
  it("are all here", () => expect(Object.keys(cases).sort()).toEqual(exportedLayers.sort()));

  for (const [name, { make, takes, gives, refusesToBe = [], refuses = [] }] of Object.entries(cases)) {
    it(`${name} gives the shapes it says, and refuses what it cannot take`, () => {
      if (name !== "nn.ModuleList") {
        const output = call(meta(make), takes) as Tensor | readonly Tensor[];
        expect(Array.isArray(output) ? output.map(({ shape }) => shape) : (output as Tensor).shape).toEqual(gives);
      }
      for (const wrong of refusesToBe) expect(() => meta(wrong)).toThrow(OpError);
      const module = meta(make);
      for (const input of refuses) expect(() => call(module, input), JSON.stringify(input)).toThrow(OpError);
    });
  }
});

describe("options", () => {
  const misspelt = { widht: 3 } as object;
  const odd = { ...misspelt } as never;
  it.each<[string, () => unknown]>([
    ["HorNet", () => models.createModel("hornet_micro_7x7", odd)],
    ["HorNetBackbone", () => models.createModel("hornet_micro_gf", { ...misspelt, featuresOnly: true })],
    ["GLNet", () => models.createModel("glnet_4g", odd)],
    ["GLNetBackbone", () => models.createModel("glnet_4g", { ...misspelt, featuresOnly: true })],
    ["GnConv", () => new models.GnConv(16, odd)],
    ["GLMixBlock", () => new models.GLMixBlock(16, 2, odd)],
    ["FPN", () => new models.HorFPN([8], odd)],
    ["UPerHead", () => new models.UPerHead([8, 8], odd)],
    ["segmentor", () => models.segmentor({ ...misspelt, numClasses: 5 })],
    ["maskRCNN", () => models.maskRCNN({ ...models.smallDetector, ...misspelt, numClasses: 5 })],
    ["Conv2d", () => new nn.Conv2d(3, 8, 3, odd)],
    ["LayerNorm", () => new nn.LayerNorm(8, odd)],
  ])("of %s that there are not are refused", (name, make) => {
    expect(() => nn.buildWith({ meta: true }, make)).toThrow(`${name}: no option is called widht; `);
  });

  it.each<[string, () => unknown]>([
    [
      'GLMixBlock: slotInit is pooled; expected "ada_avgpool" or "param"',
      () => new models.GLMixBlock(16, 2, { slotInit: "pooled" as never }),
    ],
    ['GNConvModule: type is gf; expected "gnconv" or "gngf"', () => new models.GNConvModule(8, 8, { type: "gf" as never })],
    ['GnConv: dwconv is 5x5; expected "7x7"', () => new models.GnConv(16, { dwconv: "5x5" as never })],
    ["GLNet: downsampleStyle is overlap", () => models.createModel("glnet_4g", { downsampleStyle: "overlap" } as never)],
    ["BasicLayer: kind is conv", () => new models.BasicLayer(16, 2, { kind: "conv" as never, depth: 1 })],
    ["LayerNorm: dataFormat is nchw", () => new nn.LayerNorm(8, { dataFormat: "nchw" as never })],
  ])("of values that there are not: %s", (message, make) => {
    expect(() => nn.buildWith({ meta: true }, make)).toThrow(message);
  });
});
