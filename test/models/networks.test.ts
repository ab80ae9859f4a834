/** GLNet, the backbones, necks and heads: names, counts, initial values and refusals. The numbers are the business of the golden cases. */
import { beforeAll, describe, expect, it } from "vitest";
import { cat, compile, device, Generator, manualSeed, rand, randn, setDefaultDevice, type Tensor, tensor, zeros } from "../../index.js";
import * as models from "../../models/index.js";
import { createBackbone, createModel, listBackbones, listModels, modelInfo, nn, summary } from "../../models/index.js";
import { tokenLabelLoss } from "../../train/index.js";

beforeAll(async () => setDefaultDevice(await device("cpu")));

const meta = <T>(make: () => T): T => nn.buildWith({ meta: true }, make);
const values = async (value: Tensor): Promise<number[]> => [...(await value.data())];
const deviation = (list: number[]): number => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0) / list.length);

/** Parameters with 1000 classes and multiply-adds at 224 pixels, of the published implementation. */
const published = {
  glnet_stl: [30_296_786, 4_347_432_960],
  glnet_stl_paramslot: [30_481_106, 4_347_432_960],
  glnet_4g: [27_001_593, 4_482_122_752],
  glnet_9g: [60_010_617, 9_588_155_904],
  glnet_16g: [106_055_161, 16_604_170_240],
  glnet_4g_tklb: [27_514_593, 4_507_210_752],
  glnet_9g_tklb: [60_779_617, 9_625_787_904],
  hornet_tiny_7x7: [22_409_512, 3_968_389_312],
  hornet_tiny_gf: [22_991_848, 3_888_705_120],
} as const;

describe("the registry", () => {
  for (const [name, [parameters, macs]] of Object.entries(published)) {
    it(`builds ${name}: ${parameters} parameters, ${macs} multiply-adds`, () => {
      const found = summary(createModel(name, { meta: true }), [1, 3, 224, 224]);
      expect([found.params, found.macs]).toEqual([parameters, macs]);
      const figures = modelInfo(name).published;
      expect(Math.abs((figures?.params ?? 0) - parameters / 1e6)).toBeLessThan(1);
      expect(Math.abs((figures?.gflops ?? 0) - macs / 1e9)).toBeLessThan(0.15);
    });
  }

  it("lists them, replaces classes and channels", () => {
    expect(listModels("glnet_*g")).toEqual(["glnet_4g", "glnet_9g", "glnet_16g"]);
    const model = createModel("glnet_4g", { numClasses: 7, inChans: 1, meta: true });
    expect(model.stateDict().get("head.weight")?.shape).toEqual([7, 512]);
    expect(model.stateDict().get("downsample_layers.0.1.weight")?.shape).toEqual([32, 1, 3, 3]);
    expect(() => createModel("glnet_5g")).toThrow("did you mean glnet_4g or glnet_9g");
  });

  it("gives backbones by name and with featuresOnly", () => {
    expect(listBackbones()).toContain("det_backbone_small_gf_seg");
    const backbone = createBackbone("det_backbone_tiny_7x7", { meta: true });
    expect(backbone.numParameters).toBe(21_897_408);
    expect(createModel("hornet_tiny_7x7", { featuresOnly: true, meta: true }).numParameters).toBe(21_897_408);
    expect(() => createBackbone("det_backbone_huge")).toThrow("no backbone is named det_backbone_huge; there are det_backbone_tiny_7x7,");
    const maps = createModel("glnet_4g", { featuresOnly: true, meta: true }).forward(zeros([1, 3, 64, 96]));
    expect(maps.map(({ shape }) => shape)).toEqual([64, 128, 256, 512].map((channels, i) => [1, channels, 16 >> i, 24 >> i]));
  });

  it("loads classification weights into a backbone, and says what is left", () => {
    const options = { depths: [1, 1, 1, 1], baseDim: 16 };
    const { missing, unexpected } = new models.HorNetBackbone(options).loadStateDict(new models.HorNet(options).stateDict(), {
      strict: false,
    });
    expect(missing).toEqual([0, 1, 2, 3].flatMap((i) => [`norm${i}.weight`, `norm${i}.bias`]));
    expect(unexpected).toEqual(["norm.weight", "norm.bias", "head.weight", "head.bias"]);
  });
});

describe("initial values", () => {
  it("of GLNet are the published ones", async () => {
    manualSeed(3);
    const model = new models.GLNet({ dims: [32, 64, 128, 256], depths: [1, 1, 1, 1], slotInit: "param" });
    const state = model.stateDict();
    const get = (name: string) => values(state.get(name) as Tensor);
    expect(deviation(await get("stages.3.blocks.0.mlp.0.weight"))).toBeCloseTo(0.02, 3);
    expect(deviation(await get("stages.0.blocks.0.relation_mha.out_proj.weight"))).toBeCloseTo(0.02, 2);
    expect(deviation(await get("stages.0.blocks.0.init_slots"))).toBeCloseTo(0.02, 2);
    expect(await get("stages.0.blocks.0.slot_scale")).toEqual([Math.fround(32 ** -0.5)]);
    expect(Math.max(...(await get("stages.0.blocks.0.relation_mha.in_proj_bias")))).toBe(0);
    const attention = await get("stages.0.blocks.0.relation_mha.in_proj_weight");
    expect(Math.max(...attention)).toBeLessThanOrEqual(Math.sqrt(6 / (32 + 96)));
    expect(Math.max(...attention)).toBeGreaterThan(0.9 * Math.sqrt(6 / (32 + 96)));
    const pointwise = await get("stages.0.blocks.0.mlp.0.weight");
    expect(Math.max(...pointwise.map(Math.abs))).toBeGreaterThan(0.9 / Math.sqrt(32)); // a convolution: PyTorch's default
  });

  it("of necks and heads too", async () => {
    manualSeed(3);
    const neck = new models.HorFPN([8, 16], { outChannels: 32, numOuts: 2 });
    const lateral = await values(neck.stateDict().get("lateral_convs.1.conv.weight") as Tensor);
    expect(Math.max(...lateral)).toBeLessThanOrEqual(Math.sqrt(6 / 48));
    const head = new models.UPerHead([8, 16], { channels: 32, numClasses: 40 });
    expect(deviation(await values(head.stateDict().get("conv_seg.weight") as Tensor))).toBeCloseTo(0.01, 2);
  });
});

describe("refusals", () => {
  it("say what is wrong", () => {
    expect(() => new models.GLMixBlock(32, 2, { numSlots: 10 })).toThrow("numSlots must be 4, 9, 16, …; got 10");
    expect(() => new models.GLMixBlock(32, 3)).toThrow("32 channels do not divide into 3 heads");
    expect(() => new models.GLNet({ dims: [32, 64] })).toThrow("there are four stages; got 2 dims");
    expect(() => new models.GNConvModule(8, 16, { dimRatio: 2, norm: true })).toThrow("set projOut");
    expect(() => new models.HorNetBackbone({ outIndices: [4] })).toThrow("outIndices are of the stages 0 to 3");
    expect(() => meta(() => new models.FPN([8, 16], { numOuts: 1 }))).toThrow("2 inputs make as many outputs at least");
    const block = meta(() => new models.GLMixBlock(16, 2));
    expect(() => block.forward(zeros([1, 8, 4, 4]))).toThrow("expected [N, 16, H, W]; got [1, 8, 4, 4]");
    expect(() => meta(() => new models.GLNet()).forward(zeros([1, 3, 16, 64]))).toThrow("pad or resize to at least 32 × 32");
  });
});

describe("baselines", () => {
  const maps = [8, 16, 24, 32].map((channels, i) => [1, channels, 32 >> i, 48 >> i]);
  const widths = [8, 16, 24, 32];

  it("FPN: 3×3 convolutions, and every second pixel for further levels", () => {
    const neck = meta(() => new models.FPN(widths, { outChannels: 16 }));
    expect([...neck.stateDict().keys()].slice(-2)).toEqual(["fpn_convs.3.conv.weight", "fpn_convs.3.conv.bias"]);
    const outputs = neck.forward(maps.map((shape) => zeros(shape)));
    expect(outputs.map(({ shape }) => shape)).toEqual([...maps.map(([n, , h, w]) => [n, 16, h, w]), [1, 16, 2, 3]]);
  });

  it("FPN from a later level", () => {
    const neck = meta(() => new models.HorFPN(widths, { outChannels: 16, startLevel: 1, numOuts: 4 }));
    expect(neck.forward(maps.map((shape) => zeros(shape))).map(({ shape }) => shape[2])).toEqual([16, 8, 4, 2]);
  });

  it("UPerNet and FCN heads give a map of classes", () => {
    const inputs = maps.map((shape) => zeros(shape));
    const head = meta(() => new models.UPerHead(widths, { channels: 16, numClasses: 5 })).eval();
    expect(head.forward(inputs).shape).toEqual([1, 5, 32, 48]);
    expect([...head.stateDict().keys()].slice(-6)).toContain("fpn_bottleneck.conv.weight");
    const auxiliary = meta(() => new models.FCNHead(24, { channels: 16, numClasses: 5 }));
    expect(auxiliary.forward(inputs).shape).toEqual([1, 5, 8, 12]);
    expect([...auxiliary.stateDict().keys()].slice(0, 3)).toEqual(["conv_seg.weight", "conv_seg.bias", "convs.0.conv.weight"]);
  });
});

describe("checkpointing the backbone", () => {
  it("changes no value and no gradient", async () => {
    manualSeed(5);
    const options = { depths: [1, 1, 2, 1], baseDim: 16, inChans: 1 };
    const plain = new models.HorNetBackbone(options);
    const thrifty = new models.HorNetBackbone({ ...options, useCheckpoint: true });
    thrifty.loadStateDict(plain.stateDict());
    const x = randn([1, 1, 32, 32]);
    const gradients = await Promise.all(
      [plain, thrifty].map(async (module) => {
        const loss = module
          .forward(x)
          .map((map) => map.square().sum())
          .reduce((a, b) => a.add(b));
        loss.backward();
        return [await loss.item(), ...(await values(module.stages[2].at(1)?.pwconv1.weight.grad as Tensor))];
      }),
    );
    expect(gradients[1]).toEqual(gradients[0].map((v) => expect.closeTo(v, 3)));
  });
});

describe("token labels", () => {
  const options: models.TokenLabelOptions = {
    inChans: 1,
    numClasses: 4,
    depths: [1, 1, 1, 1],
    dims: [8, 8, 8, 8],
    headDim: 4,
    numSlots: 4,
    downsampleStyle: "ovlp",
  };

  it("boxes lie in the grid, and vary", () => {
    const generator = new Generator(7);
    const boxes = Array.from({ length: 200 }, () => models.drawTokenBox(7, 5, generator));
    for (const [x1, y1, x2, y2] of boxes) {
      expect(0 <= x1 && x1 <= x2 && x2 <= 7 && 0 <= y1 && y1 <= y2 && y2 <= 5).toBe(true);
      expect([x1, y1, x2, y2].every(Number.isInteger)).toBe(true);
    }
    expect(new Set(boxes.map(String)).size).toBeGreaterThan(50);
  });

  it("a compiled step draws a new box at each call", async () => {
    const model = new models.GLNetTokenLabel({ ...options, boxGenerator: new Generator(1) });
    const images = rand([2, 1, 64, 64]);
    const step = compile(() => model.forwardTraining(images).box);
    const boxes = new Set<string>();
    for (let i = 0; i < 8; i++) boxes.add(String(await values(await step())));
    expect(boxes.size).toBeGreaterThan(2);
  });

  it("train with a dense loss, and evaluate to one tensor of logits", async () => {
    const model = new models.GLNetTokenLabel({ ...options, tokenBox: [0, 0, 1, 1] });
    const images = rand([2, 1, 64, 64]);
    const output = model.forwardTraining(images);
    expect([output.logits.shape, output.tokenLogits.shape]).toEqual([
      [2, 4],
      [2, 4, 4],
    ]);
    const target = tensor(
      Array.from({ length: 2 * 4 * 6 }, () => 0.25),
      { shape: [2, 4, 6] },
    );
    const loss = tokenLabelLoss(output, target);
    loss.backward();
    expect(model.tklbAuxHead.weight.grad).not.toBeNull();
    expect(await loss.item()).toBeCloseTo(1.5 * Math.log(4), 0);
    expect(model.eval().forward(images).shape).toEqual([2, 4]);
    expect(() => model.forwardTraining(rand([2, 1, 80, 64]))).toThrow("take images whose sides 32 divides");
    expect(() => tokenLabelLoss(output, zeros([2, 4, 5]))).toThrow("expected [2, 4] or [2, 4, 6]");
  });

  it("the loss mixes image labels by the box, and the ground truth if asked", async () => {
    const box = tensor([0, 0, 1, 2], { dtype: "int32" });
    const logits = tensor([
      [2, 0],
      [0, 1],
    ]);
    const tokenLogits = zeros([2, 4, 2]);
    const label = tensor([
      [1, 0],
      [0, 1],
    ]);
    const ce = (row: number[], target: number[]): number => {
      const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
      return row.reduce((sum, v, i) => sum + target[i] * (total - v), 0);
    };
    // Half of the box's four tokens: labels are mixed half and half.
    const want = (ce([2, 0], [0.5, 0.5]) + ce([0, 1], [0.5, 0.5])) / 2 + 0.5 * Math.log(2);
    expect(await tokenLabelLoss({ logits, tokenLogits, box }, label).item()).toBeCloseTo(want, 5);
    // Slices: ground truth (wrong for the second), image label, one for each of four tokens.
    const truth = tensor([
      [1, 0],
      [1, 0],
    ]);
    const dense = [truth, label, label, label, label, label].map((part) => part.unsqueeze(2));
    const target = cat(dense, { dim: 2 });
    const none = tensor([0, 0, 0, 0], { dtype: "int32" });
    const mixed = (ce([2, 0], [1, 0]) + ce([0, 1], [0.1, 0.9])) / 2 + 0.5 * Math.log(2);
    expect(await tokenLabelLoss({ logits, tokenLogits, box: none }, target, { groundTruth: true }).item()).toBeCloseTo(mixed, 5);
  });
});

describe("summary", () => {
  it("prints torchinfo's columns, and adds up", () => {
    const model = createModel("hornet_micro_gf", { meta: true }) as models.HorNet;
    model.train();
    const found = summary(model, [1, 1, 32, 32], { depth: 2 });
    expect(found.rows.reduce((sum, row) => sum + row.params, 0)).toBe(model.numParameters);
    expect(found.rows.reduce((sum, row) => sum + row.macs, 0)).toBe(found.macs);
    expect(model.training).toBe(true);
    const stem = found.rows.find(({ path }) => path === "downsample_layers.0.0");
    expect(stem).toMatchObject({ type: "Conv2d", depth: 2, outputShape: [1, 16, 8, 8], params: 16 * 16 + 16, macs: 16 * 16 * 64 });
    const lines = String(found).split("\n");
    expect(lines[1]).toMatch(/^Layer \(type \(name\):depth-idx\) +Output Shape +Param # +Mult-Adds$/);
    expect(String(found)).toMatch(/│ {4}├─Conv2d \(0\.0\): 2-1 +\[1, 16, 8, 8\] +272 +16,384/);
    // The deepest rows stand for what is inside them.
    const block = found.rows.find(({ path }) => path === "stages.0.0");
    expect(block?.params).toBe(32); // its two scales alone
    expect(block?.totalParams).toBe(model.getSubmodule("stages.0.0").numParameters);
    expect(String(found)).toMatch(/HorNetBlock \(0\.0\): 2-9 .* 4,384 +263,680\n/);
    expect([block?.totalParams, block?.totalMacs]).toEqual([4384, 263_680]);
    expect(found.rows[0]).toMatchObject({ totalParams: model.numParameters, totalMacs: found.macs, trainable: true });
    model.norm.weight.requiresGrad_(false);
    const columns = ["inputShape", "kernelShape", "paramShare", "trainable"] as const;
    const others = String(summary(model, [1, 1, 32, 32], { depth: 2, columns }));
    expect(others).toMatch(/ +Input Shape +Kernel Shape +Param % +Trainable\n/);
    expect(others).toMatch(/Conv2d \(0\.0\): 2-1 +\[1, 1, 32, 32\] +\[4, 4\] +0\.\d\d% +True\n/);
    expect(others).toMatch(/LayerNorm \(norm\): 1-9 .* Partial\n/);
    expect(String(found)).toContain(`Total params: ${model.numParameters.toLocaleString("en-US")}`);
  });
});
