/** Names, shapes and counts, without values: the numbers are the business of the golden cases. */
import { describe, expect, it } from "vitest";
import "../../index.js";
import { createModel, GlobalLocalFilter, GnConv, HorNet, HorNetBlock, listModels, modelInfo, nn } from "../../models/index.js";

/** Parameters with 1000 classes, from the published implementation. */
const published = {
  hornet_tiny_7x7: 22_409_512,
  hornet_tiny_gf: 22_991_848,
  hornet_small_7x7: 49_528_264,
  hornet_small_gf: 50_401_768,
  hornet_base_7x7: 87_256_680,
  hornet_base_gf: 88_421_352,
  hornet_base_gf_img384: 92_099_560,
  hornet_large_7x7: 194_542_504,
  hornet_large_gf: 196_289_512,
  hornet_large_gf_img384: 201_806_824,
};

const names = (module: nn.Module): string[] => [...module.stateDict().keys()];

describe("the registry", () => {
  for (const [name, count] of Object.entries(published)) {
    it(`builds ${name} with ${count} parameters`, () => {
      const model = createModel(name, { meta: true });
      expect(model.numParameters).toBe(count);
      expect(modelInfo(name).inputSize).toBe(name.endsWith("img384") ? 384 : 224);
    });
  }

  it("lists names by pattern", () => {
    expect(listModels("hornet_*_gf")).toEqual([
      "hornet_tiny_gf",
      "hornet_small_gf",
      "hornet_base_gf",
      "hornet_large_gf",
      "hornet_micro_gf",
    ]);
    expect(listModels()).toEqual(expect.arrayContaining(Object.keys(published)));
    expect(listModels("hornet.tiny_7x7")).toEqual([]);
  });

  it("suggests near names", () => {
    expect(() => createModel("hornet_tiny_7x8")).toThrow("createModel: no model is named hornet_tiny_7x8; did you mean hornet_tiny_7x7");
    expect(() => createModel("hornet-small-gf")).toThrow(/did you mean hornet_small_gf/);
    expect(() => createModel("resnet50")).toThrow(/no model is named resnet50; there are hornet_tiny_7x7, /);
  });

  it("replaces classes and channels", () => {
    const model = createModel("hornet_tiny_7x7", { numClasses: 5, inChans: 1, meta: true });
    expect(model.stateDict().get("head.weight")?.shape).toEqual([5, 512]);
    expect(model.stateDict().get("downsample_layers.0.0.weight")?.shape).toEqual([64, 1, 4, 4]);
  });
});

describe("state-dict names", () => {
  it("of a gnConv with a filter", () => {
    const module = nn.buildWith({ meta: true }, () => new GnConv(32, { order: 3, s: 1 / 3, dwconv: { filter: "gf", h: 8, w: 5 } }));
    expect([...module.stateDict()].map(([name, { shape }]) => `${name} ${shape}`)).toEqual([
      "proj_in.weight 64,32,1,1",
      "proj_in.bias 64",
      "dwconv.complex_weight 28,8,5,2",
      "dwconv.dw.weight 28,1,3,3",
      "dwconv.pre_norm.weight 56",
      "dwconv.pre_norm.bias 56",
      "dwconv.post_norm.weight 56",
      "dwconv.post_norm.bias 56",
      "proj_out.weight 32,32,1,1",
      "proj_out.bias 32",
      "pws.0.weight 16,8,1,1",
      "pws.0.bias 16",
      "pws.1.weight 32,16,1,1",
      "pws.1.bias 32",
    ]);
  });

  it("of a block, with scales and without", () => {
    const block = (layerScaleInitValue: number) =>
      names(nn.buildWith({ meta: true }, () => new HorNetBlock(32, { layerScaleInitValue, gnconv: { order: 2 } })));
    expect(block(0)).toEqual([
      ...["norm1.weight", "norm1.bias", "gnconv.proj_in.weight", "gnconv.proj_in.bias", "gnconv.dwconv.weight", "gnconv.dwconv.bias"],
      ...["gnconv.proj_out.weight", "gnconv.proj_out.bias", "gnconv.pws.0.weight", "gnconv.pws.0.bias"],
      ...["norm2.weight", "norm2.bias", "pwconv1.weight", "pwconv1.bias", "pwconv2.weight", "pwconv2.bias"],
    ]);
    expect(block(1e-6)).toEqual(["gamma1", "gamma2", ...block(0)]);
  });

  it("of a network", () => {
    const all = names(createModel("hornet_tiny_gf", { meta: true }));
    expect(all.length).toBe(640);
    expect(all.slice(0, 8).map((name) => name.replace("downsample_layers", "d"))).toEqual([
      "d.0.0.weight",
      "d.0.0.bias",
      "d.0.1.weight",
      "d.0.1.bias",
      "d.1.0.weight",
      "d.1.0.bias",
      "d.1.1.weight",
      "d.1.1.bias",
    ]);
    expect(all.slice(-4)).toEqual(["norm.weight", "norm.bias", "head.weight", "head.bias"]);
    expect(all).toContain("stages.2.17.gnconv.dwconv.complex_weight");
  });
});

describe("initial values", () => {
  it("are those of the paper's code", async () => {
    const model = new HorNet({ inChans: 1, numClasses: 10, depths: [1, 1, 2, 1], baseDim: 16, headInitScale: 0.5 });
    const state = model.stateDict();
    const read = async (name: string): Promise<number[]> => [...((await state.get(name)?.data()) ?? [])];
    const deviation = (values: number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expect(deviation(await read("stages.3.0.pwconv1.weight"))).toBeCloseTo(0.02, 3);
    expect(deviation(await read("stages.2.0.gnconv.dwconv.weight"))).toBeCloseTo(0.02, 3);
    expect(deviation(await read("head.weight"))).toBeCloseTo(0.01, 3);
    expect(new Set(await read("stages.0.0.gnconv.proj_in.bias"))).toEqual(new Set([0]));
    expect(new Set(await read("stages.0.0.norm1.weight"))).toEqual(new Set([1]));
    expect(new Set(await read("stages.0.0.gamma1"))).toEqual(new Set([Math.fround(1e-6)]));
  });

  it("of layers alone are PyTorch's", async () => {
    const layer = new nn.Linear(64, 512);
    const weight = await layer.weight.data();
    expect(Math.max(...weight)).toBeLessThan(1 / 8);
    expect(Math.max(...weight)).toBeGreaterThan(0.99 / 8);
    expect(Math.min(...weight)).toBeLessThan(-0.99 / 8);
  });
});

describe("wrong settings", () => {
  it("of gnConv", () => {
    expect(() => new GnConv(36, { order: 4 })).toThrow("GnConv: order 4 halves the channels 3 times: dim must be a multiple of 8; got 36");
    expect(() => new GnConv(36, { order: 1 })).toThrow("GnConv: order is a whole number from 2 up; got 1");
    expect(() => new GlobalLocalFilter(7)).toThrow("GlobalLocalFilter: the channels split into halves: dim must be even; got 7");
  });
  it("of the network", () => {
    expect(() => new HorNet({ depths: [1, 2] })).toThrow("HorNet: there are four stages; got 2 depths and 4 gnconv settings");
  });
});
