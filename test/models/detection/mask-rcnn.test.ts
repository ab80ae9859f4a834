/** The detector: names, shapes, losses against their definition, the same step on all devices, steps without end. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile, type Device, device, fromHost, Generator, memory, randn, type Tensor, tensor } from "../../../index.js";
import { MaskHead } from "../../../models/detection/heads.js";
import { lossNames, maskRCNN, smallDetector } from "../../../models/index.js";
import { AdamW } from "../../../train/index.js";
import { blocks } from "./scenes.js";

const side = 64;
const tiny = {
  ...smallDetector,
  numClasses: 2,
  anchors: { scales: [4] },
  neckChannels: 16,
  rpn: { count: 32 },
  regions: { count: 16 },
  proposals: { nmsPre: 50, maxPerImage: 24 },
  testProposals: { nmsPre: 50, maxPerImage: 16 },
  boxChannels: 24,
  maskRegions: 4,
  maskChannels: 8,
  maskConvs: 1,
} as const;

const imagesOf = (images: Float32Array, count: number, on: Device): Tensor => fromHost(images, [count, 3, side, side], "float32", on);

describe("names", () => {
  it("are mmdet's", () => {
    const model = maskRCNN({ ...tiny, meta: true, neck: "horfpn_7x7" });
    const shapes = new Map([...model.stateDict()].map(([name, { shape }]) => [name, shape]));
    expect(shapes.get("rpn_head.rpn_conv.weight")).toEqual([16, 16, 3, 3]);
    expect(shapes.get("rpn_head.rpn_cls.weight")).toEqual([3, 16, 1, 1]);
    expect(shapes.get("rpn_head.rpn_reg.bias")).toEqual([12]);
    expect(shapes.get("roi_head.bbox_head.shared_fcs.0.weight")).toEqual([24, 16 * 49]);
    expect(shapes.get("roi_head.bbox_head.fc_cls.weight")).toEqual([3, 24]);
    expect(shapes.get("roi_head.bbox_head.fc_reg.weight")).toEqual([8, 24]);
    expect(shapes.get("roi_head.mask_head.convs.0.conv.weight")).toEqual([8, 16, 3, 3]);
    expect(shapes.get("roi_head.mask_head.upsample.weight")).toEqual([8, 8, 2, 2]);
    expect(shapes.get("roi_head.mask_head.conv_logits.weight")).toEqual([2, 8, 1, 1]);
    const parts = [...shapes.keys()].map((name) =>
      name
        .split(".")
        .slice(0, name.startsWith("roi") ? 2 : 1)
        .join("."),
    );
    expect([...new Set(parts)]).toEqual(["backbone", "neck", "rpn_head", "roi_head.bbox_head", "roi_head.mask_head"]);
    expect(shapes.has("neck.fpn_convs.0.dwconv.weight")).toBe(true);
  });

  it("stand for the published sizes", () => {
    const model = maskRCNN({ numClasses: 80, meta: true });
    const heads = [...model.namedParameters()].filter(([name]) => !name.startsWith("backbone."));
    // mmdet's Mask R-CNN with FPN: 256 channels throughout; the neck over 96 to 768 channels.
    const conv = (inner: number, outer: number, kernel: number): number => inner * outer * kernel * kernel + outer;
    const neck = [96, 192, 384, 768].reduce((sum, width) => sum + conv(width, 256, 1) + conv(256, 256, 3), 0);
    const rpn = conv(256, 256, 3) + conv(256, 3, 1) + conv(256, 12, 1);
    const box = conv(256 * 49, 1024, 1) + conv(1024, 1024, 1) + conv(1024, 81, 1) + conv(1024, 320, 1);
    const mask = 4 * conv(256, 256, 3) + conv(256, 256, 2) + conv(256, 80, 1);
    expect(heads.reduce((sum, [, { numel }]) => sum + numel, 0)).toBe(neck + rpn + box + mask);
    expect(() => maskRCNN({ numClasses: 2, backbone: "hornet_micro" })).toThrow("did you mean hornet_micro");
  });
});

describe("the mask head", () => {
  it("gives the mask of the class that is asked for, of those that a transposed convolution and a 1 × 1 one make", async () => {
    const head = new MaskHead(6, 5, 2, 3);
    const features = randn([4, 6, 3, 3]);
    const labels = tensor([2, 0, 1, -1], { dtype: "int32" });
    const got = await head.forward(features, labels).tolist();
    let x = features;
    for (const conv of head.convs) x = conv.forward(x);
    const all = (await head.convLogits.forward(head.upsample.forward(x).relu()).tolist()) as number[][][][];
    const zeros = all[0][0].map((row) => row.map(() => 0));
    const want = [all[0][2], all[1][0], all[2][1], zeros].flat(2);
    (got as number[][][]).flat(2).forEach((value, i) => {
      expect(value).toBeCloseTo(want[i], 5);
    });
  });
});

/** A detector, its optimizer, and a step that learns a batch. */
function learner(on: Device, { compiled = true } = {}) {
  const model = maskRCNN({ ...tiny, device: on, generator: new Generator(3) });
  const optimizer = new AdamW(model.parameters(), { lr: 2e-3, weightDecay: 0.05 });
  const generator = new Generator(5);
  let batch = blocks(2, side, 1);
  const plain = (images: Tensor) => {
    const losses = model.losses(images, () => batch.truths, { generator });
    const total = lossNames.map((name) => losses[name]).reduce((sum, loss) => sum.add(loss));
    total.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return Object.fromEntries(lossNames.map((name) => [name, losses[name].detach()]));
  };
  const step = compiled ? compile(plain) : async (images: Tensor) => plain(images);
  const run = async (seed: number): Promise<number[]> => {
    batch = blocks(2, side, seed);
    const losses = await step(imagesOf(batch.images, 2, on));
    return Promise.all(lossNames.map((name) => losses[name].item()));
  };
  return { model, run, step };
}

describe("a step", () => {
  let devices: Record<string, Device>;
  beforeAll(async () => {
    devices = { cpu: await device("cpu"), wasm: await device("wasm", { threads: 1 }), webgpu: await device("webgpu:software") };
  });
  afterAll(async () => {
    for (const each of Object.values(devices)) await each.close();
  });

  it("has the same losses on every device, and in the next step too", async () => {
    const found: Record<string, number[][]> = {};
    for (const [name, on] of Object.entries(devices)) {
      const { run } = learner(on);
      found[name] = [await run(11), await run(12)];
    }
    for (const losses of found.cpu) for (const loss of losses) expect(loss).toBeGreaterThan(0);
    // Rank and choice are the same, so that only rounding differs.
    for (const name of ["wasm", "webgpu"])
      found[name].forEach((losses, at) => {
        losses.forEach((loss, i) => {
          expect(Math.abs(loss - found.cpu[at][i]), `${name}, step ${at}, ${lossNames[i]}`).toBeLessThan(1e-3);
        });
      });
  });

  it("neither grows nor is planned anew, compiled or not, whatever is in the pictures", async () => {
    const wasm = devices.wasm;
    for (const compiled of [true, false]) {
      const { run, step } = learner(wasm, { compiled });
      const losses: number[] = [];
      const take = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) losses.push((await run(100 + losses.length)).reduce((a, b) => a + b));
      };
      await take(10);
      const [bytes, plans] = [memory(wasm).peakBytes, wasm.planCache().misses];
      await take(compiled ? 200 : 10);
      expect(memory(wasm).peakBytes).toBe(bytes);
      expect(wasm.planCache().misses).toBe(plans);
      if (compiled) expect((step as ReturnType<typeof compile>).traces()).toBe(1);
      const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b) / list.length;
      expect(mean(losses.slice(-5))).toBeLessThan(0.9 * mean(losses.slice(0, 5)));
    }
  });
});
