/** Detectors learn from batches of scenes and are measured by COCO's rules. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, defaultDevice, device, fromHost, Generator, manualSeed, setDefaultDevice } from "../../../index.js";
import { Detector, lossNames, maskRCNN, smallDetector } from "../../../models/index.js";
import {
  AdamW,
  type Detections,
  detectionStep,
  evaluateDetector,
  type HostScenes,
  type Scene,
  type SceneDataset,
  SceneLoader,
  type SceneTransform,
  truthsOf,
} from "../../../train/index.js";

/** A picture of 64 × 48 with a bright square, another in its corner, and a crowd. */
function sceneOf(index: number): Scene {
  const [width, height] = [64, 48];
  const data = new Uint8Array(width * height * 3).fill(60);
  const boxes = [
    [8 + index, 6, 28 + index, 26],
    [40, 30, 60, 44],
    [0, 40, 20, 48],
  ];
  const masks = boxes.map(([x0, y0, x1, y1], label) => {
    const mask = new Uint8Array(width * height);
    for (let y = y0; y < y1; y++)
      for (let x = x0; x < x1; x++) {
        mask[y * width + x] = 1;
        data[(y * width + x) * 3 + label] = 250;
      }
    return mask;
  });
  return {
    image: { width, height, channels: 3, data },
    imageId: 10 + index,
    boxes: Float32Array.from(boxes.flat()),
    labels: Int32Array.of(0, 1, 1),
    masks,
    iscrowd: Uint8Array.of(0, 0, 1),
    areas: Float32Array.from(masks, (mask) => mask.reduce((a, b) => a + b, 0)),
  };
}
const dataset: SceneDataset = {
  name: "squares",
  length: 4,
  categories: ["square", "corner"],
  classes: [],
  title: (index) => `scene ${index}`,
  get: async (index) => sceneOf(index),
};
const transform: SceneTransform = {
  size: [96, 96],
  channels: 3,
  mean: [0.4, 0.4, 0.4],
  std: [0.3, 0.3, 0.3],
  interpolation: "bilinear",
  scale: [1, 1],
  hflip: 0,
  mostOfOneClass: 1,
};
const small = {
  ...smallDetector,
  numClasses: 2,
  neckChannels: 16,
  boxChannels: 16,
  maskChannels: 8,
  maskConvs: 1,
  regions: { count: 16 },
} as const;

const before = defaultDevice();
let wasm: Device;
beforeAll(async () => {
  wasm = await device("wasm");
  setDefaultDevice(wasm);
});
afterAll(async () => {
  setDefaultDevice(before);
  await wasm.close();
});

describe("truths", () => {
  it("are the instances of a batch, in its pixels, without crowds", async () => {
    const loader = new SceneLoader(dataset, { batchSize: 2, transform, masks: true, maxInstances: 5 });
    const { value } = await loader.epoch().next();
    const host = (value as { host: HostScenes }).host;
    const truths = truthsOf(host);
    expect(truths.map(({ labels }) => [...labels])).toEqual([
      [0, 1],
      [0, 1],
    ]);
    // 64 × 48 just fits into 96 × 96 at one and a half times its size.
    expect(truths[1].picture).toEqual({ height: 72, width: 96 });
    expect([...truths[1].boxes]).toEqual([13.5, 9, 43.5, 39, 60, 45, 90, 66]);
    const [mask] = truths[1].masks;
    expect(mask.length).toBe(96 * 96);
    expect([mask[96 * 20 + 30], mask[96 * 60 + 80], mask[96 * 5 + 30]]).toEqual([1, 0, 0]);
  });
});

describe("a step of detection", () => {
  it("measures its five losses, over several batches too, and leaves everything where a loss is no number", async () => {
    for (const accumulates of [false, true]) {
      manualSeed(1);
      const model = maskRCNN({ ...small, generator: new Generator(1) });
      const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
      const step = detectionStep(model, optimizer, { guard: true, accumulates });
      const loader = new SceneLoader(dataset, { batchSize: 2, transform, masks: true, maxInstances: 5 });
      const batches = [];
      for await (const batch of loader.epoch()) batches.push(batch);
      const { loss, measures, samples, finite } = await step(accumulates ? batches : [batches[0]]);
      expect([samples, finite, Object.keys(measures)]).toEqual([accumulates ? 4 : 2, true, [...lossNames]]);
      expect(loss).toBeCloseTo(
        lossNames.reduce((sum, name) => sum + measures[name], 0),
        4,
      );
      const before = await model.rpnHead.rpnConv.weight.data();
      const broken = {
        ...batches[0],
        images: fromHost(new Float32Array(2 * 3 * 96 * 96).fill(Number.NaN), [2, 3, 96, 96], "float32", optimizer.device),
      };
      expect((await step(accumulates ? [broken, batches[1]] : [broken])).finite).toBe(false);
      expect(await model.rpnHead.rpnConv.weight.data()).toEqual(before);
      expect(optimizer.steps).toBe(1);
    }
  });
});

describe("evaluation", () => {
  it("shows each picture with what was found in its own pixels, and measures both kinds", async () => {
    const loader = new SceneLoader(dataset, { batchSize: 3, transform });
    const model = maskRCNN({ ...small, generator: new Generator(1), scoreThreshold: 0, maxPerImage: 4 });
    const seen: [Scene, Detections][] = [];
    const result = await evaluateDetector(new Detector(model), loader, { onScene: (scene, found) => seen.push([scene, found]) });
    expect(seen.map(([scene, found]) => [scene.imageId, found.imageId])).toEqual([10, 11, 12, 13].map((id) => [id, id]));
    for (const [, { boxes, masks }] of seen) {
      expect(Math.max(...boxes.filter((_, i) => i % 2 === 0))).toBeLessThanOrEqual(64);
      expect(Math.max(...boxes.filter((_, i) => i % 2 === 1))).toBeLessThanOrEqual(48);
      expect(masks?.every((mask) => mask.length === 64 * 48)).toBe(true);
    }
    for (const lines of [result.bbox, result.segm]) expect(lines.AP).toBeGreaterThanOrEqual(0);
  });
});
