/** Segmentation: networks, windows, what is said of each pixel, and that it learns. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultDevice, device, fromHost, manualSeed, noGrad, rand, setDefaultDevice, type Tensor } from "../../../index.js";
import {
  type SegmentationHead,
  type Segmentor,
  segmentationHeads,
  segmentor,
  smallSegmentor,
  windowStarts,
} from "../../../models/index.js";
import type { SceneTransform } from "../../../train/augment/index.js";
import { digitNames, digitScene, mnist, type SceneDataset, SceneLoader } from "../../../train/data/index.js";
import {
  AdamW,
  constantRate,
  denseScheme,
  drawClasses,
  drawDetections,
  paramGroups,
  segmentationEvaluation,
  segmentationStep,
  toOriginal,
  trainEpoch,
} from "../../../train/index.js";

beforeAll(async () => setDefaultDevice(await device("wasm", { threads: 1 })));
afterAll(() => defaultDevice().close());

const tiny = { ...smallSegmentor, numClasses: 11, channels: 16, auxChannels: 8, dropoutRatio: 0 };

describe("segmentor", () => {
  it("names its parts as mmseg does, and builds every head", () => {
    const meta = (head: SegmentationHead) => segmentor({ ...tiny, head, meta: true });
    const keys = [...meta("uper").stateDict().keys()];
    expect([...new Set(keys.map((key) => key.split(".")[0]))]).toEqual(["backbone", "decode_head", "auxiliary_head"]);
    expect(keys).toContain("decode_head.fpn_bottleneck.conv.weight");
    expect([...meta("horfpn_7x7").stateDict().keys()]).toContain("decode_head.fpn_bottleneck.dwconv.weight");
    expect([...meta("horfpn_gf").stateDict().keys()]).toContain("decode_head.fpn_bottleneck.dwconv.complex_weight");
    expect(new Set(segmentationHeads.map((head) => meta(head).numParameters)).size).toBe(3);
    expect(() => meta("fpn" as SegmentationHead)).toThrow("there is no head fpn; there are uper, horfpn_7x7, horfpn_gf");
    expect(
      [
        ...segmentor({ ...tiny, auxChannels: 0, meta: true })
          .stateDict()
          .keys(),
      ].some((key) => key.startsWith("auxiliary")),
    ).toBe(false);
  });

  it("has the published heads at their sizes", () => {
    // MODELS.md, section 8: heads of the small backbone with 150 classes.
    const head = (name: SegmentationHead): number =>
      segmentor({ numClasses: 150, backbone: "hornet_small_7x7", head: name, meta: true }).decodeHead.numParameters;
    expect([head("horfpn_7x7"), head("horfpn_gf")]).toEqual([24_590_998, 24_976_918]);
  });

  it("begins to tell classes as narrowly as published, or as wanted", async () => {
    manualSeed(1);
    const spread = async (initStd?: number): Promise<number[]> => {
      const { decodeHead, auxiliaryHead } = segmentor({ ...tiny, channels: 64, auxChannels: 64, initStd });
      const weights = [decodeHead.convSeg.weight, auxiliaryHead?.convSeg.weight as Tensor];
      return Promise.all(weights.map((weight) => weight.std().item()));
    };
    for (const std of await spread()) expect(std / 0.01).toBeCloseTo(1, 0.5);
    for (const std of await spread(0.3)) expect(std / 0.3).toBeCloseTo(1, 0.5);
  });

  it("divides layers into groups, stage by stage", () => {
    const groups = paramGroups(segmentor({ ...tiny, meta: true }), {
      weightDecay: 0.05,
      layerDecay: 0.9,
      layers: denseScheme("stage_wise", 12),
    });
    const scales = new Set(groups.map(({ lrScale }) => Number(lrScale.toFixed(6))));
    expect([...scales].sort()).toEqual([13, 12, 11, 10, 9, 0].map((power) => Number((0.9 ** power).toFixed(6))).sort());
  });
});

describe("windows", () => {
  it("cover every place, the last one at the end", () => {
    expect(windowStarts(128, 64, 42)).toEqual([0, 42, 64]);
    expect(windowStarts(64, 64, 42)).toEqual([0]);
    expect(windowStarts(50, 64, 42)).toEqual([0]);
    expect(windowStarts(128, 64, 64)).toEqual([0, 64]);
  });

  it("give the mean of what those over a place say", async () => {
    manualSeed(2);
    const model = segmentor(tiny).eval();
    const images = rand([1, 3, 64, 96]);
    const logits = noGrad(() => [
      model.forward(images),
      model.forwardSliding(images, { crop: [64, 96], stride: [40, 40] }),
      model.forwardSliding(images, { crop: [64, 64], stride: [64, 32] }),
      model.forward(images.narrow(3, 0, 64)),
      model.forward(images.narrow(3, 32, 64)),
    ]);
    const [whole, one, two, left, right] = await Promise.all(logits.map((values) => values.data()));
    const far = (a: ArrayLike<number>, b: (at: number) => number): number =>
      Math.max(...Array.from(a, (value, at) => Math.abs(value - b(at))));
    expect(far(one, (at) => whole[at])).toBeLessThan(1e-5);
    const mean = (at: number): number => {
      const [row, x] = [Math.floor(at / 96), at % 96];
      const values = [...(x < 64 ? [left[row * 64 + x]] : []), ...(x >= 32 ? [right[row * 64 + x - 32]] : [])];
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    expect(far(two, mean)).toBeLessThan(1e-5);
    expect(() => model.forwardSliding(images, { crop: [0, 64], stride: [1, 1] })).toThrow("crop and stride are above 0; got 0 × 64");
  });
});

describe("toOriginal", () => {
  it("takes the nearest, from what lies before the padding", () => {
    // 2 × 2 within 4 × 4, of a picture of 4 × 4.
    const said = [1, 2, 9, 9, 3, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    expect([...toOriginal(said, 4, [0.5, 0.5], [4, 4])]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
    expect([...toOriginal(said, 4, [2, 2], [1, 1])]).toEqual([4]);
  });
});

const digits = mnist("train");
const dataset: SceneDataset = {
  name: "digits",
  length: 4,
  categories: digitNames,
  classes: ["ground", ...digitNames],
  title: (index) => `digits ${index}`,
  get: async (index) => digitScene(digits, "train", index, { size: 64, digits: [1, 2] }),
};
const transform: SceneTransform = {
  size: [64, 64],
  channels: 3,
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  interpolation: "bilinear",
  scale: [1, 1],
  hflip: 0,
  mostOfOneClass: 1,
};

describe("segmentation", () => {
  it("learns; its evaluation agrees with the network's own words", async () => {
    manualSeed(1);
    const model: Segmentor = segmentor(tiny);
    const optimizer = new AdamW(paramGroups(model, { weightDecay: 0.01 }), { lr: 1e-2 });
    const loader = new SceneLoader(dataset, { batchSize: 4, transform, shuffle: true, seed: 1, maxInstances: 1 });
    const step = segmentationStep(model, optimizer, { clipGrad: 5, guard: true });
    const losses: number[] = [];
    let pixels = 0;
    for (let epoch = 0; epoch < 12; epoch++) {
      await trainEpoch(step, loader, {
        epoch,
        schedule: constantRate(1e-2),
        optimizer,
        onStep: ({ measures }) => {
          losses.push(measures.loss.last);
          expect(measures.of("decode").last + measures.of("aux").last).toBeCloseTo(measures.loss.last, 4);
          pixels = measures.of("pixels").last;
        },
      });
    }
    expect(losses.at(-1)).toBeLessThan(0.6 * losses[0]);
    expect(pixels).toBeGreaterThan(70);
    const scenes: number[] = [];
    const result = await segmentationEvaluation(model)(new SceneLoader(dataset, { batchSize: 3, transform, maxInstances: 1 }), {
      onScene: ({ index, classes, height, width }) => {
        scenes.push(index);
        expect(classes.length).toBe(height * width);
      },
    });
    expect(scenes).toEqual([0, 1, 2, 3]);
    expect(model.training).toBe(true);
    // The first scene by hand.
    model.eval();
    const { value: batch } = await new SceneLoader(dataset, { batchSize: 4, transform, maxInstances: 1 }).epoch().next();
    const said = await noGrad(() =>
      model.forward(batch?.images ?? fromHost(new Float32Array(0), [0], "float32")).argmax({ dim: 1 }),
    ).data();
    const truth = batch?.host.semantic as Uint8Array;
    expect(result.aAcc).toBeCloseTo(truth.reduce((sum, label, at) => sum + Number(said[at] === label), 0) / truth.length, 3);
    expect(result.loss).toBeLessThan(losses[0]);
  });
});

describe("drawings", () => {
  const picture = { width: 16, height: 8, channels: 1 as const, data: new Uint8Array(128).fill(100) };
  const colours = ({ data }: { readonly data: Uint8Array }): Set<string> =>
    new Set(Array.from({ length: data.length / 3 }, (_, i) => data.subarray(3 * i, 3 * i + 3).join()));

  it("show classes in colours with names, and leave the ground as it is", () => {
    const classes = new Uint8Array(128);
    expect([...colours(drawClasses(picture, classes, ["ground", "cat"]))]).toEqual(["100,100,100"]);
    classes.fill(1, 64);
    const drawn = drawClasses(picture, classes, ["ground", "cat"]);
    expect([drawn.width, drawn.height]).toEqual([256, 128]);
    expect(colours(drawn).has("255,255,255")).toBe(true);
    expect(colours(drawn).has("100,100,100")).toBe(true);
    expect(colours(drawClasses(picture, classes.fill(255), ["ground", "cat"])).size).toBe(1);
  });

  it("show boxes, masks and names of what is sure enough", () => {
    const found = {
      imageId: 1,
      boxes: Float32Array.of(2, 2, 6, 6, 8, 1, 15, 7),
      scores: Float32Array.of(0.9, 0.1),
      labels: Int32Array.of(3, 4),
      masks: [new Uint8Array(128).fill(1, 40, 44), new Uint8Array(128).fill(1)],
    };
    const drawn = drawDetections(picture, found, digitNames, 0.3);
    const at = (x: number, y: number): string => drawn.data.subarray(3 * (y * drawn.width + x), 3 * (y * drawn.width + x) + 3).join();
    // 16 pixels for one: the border of the first box, its mask, and nothing of the second.
    expect(at(2 * 16, 5 * 16)).not.toBe("100,100,100");
    expect(at(9 * 16 + 8, 2 * 16 + 8)).not.toBe("100,100,100");
    expect(at(4 * 16, 5 * 16)).toBe("100,100,100");
    expect(at(12 * 16, 6 * 16)).toBe("100,100,100");
    expect(drawDetections(picture, found, digitNames, 0.95).data.every((value) => value === 100)).toBe(true);
  });
});
