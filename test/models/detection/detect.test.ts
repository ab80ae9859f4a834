/** A detector in use: what it finds after it has learnt, how it filters, where its masks come to lie. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile, type Device, device, fromHost, Generator, type Tensor } from "../../../index.js";
import { Detector, type Found, inPicture, lossNames, maskRCNN, overlaps, smallDetector } from "../../../models/index.js";
import { AdamW } from "../../../train/index.js";
import { blocks } from "./scenes.js";

const side = 64;
const options = {
  ...smallDetector,
  numClasses: 2,
  anchors: { scales: [4] },
  neckChannels: 16,
  rpn: { count: 64 },
  regions: { count: 24 },
  proposals: { nmsPre: 50, maxPerImage: 32 },
  testProposals: { nmsPre: 50, maxPerImage: 24 },
  boxChannels: 32,
  maskRegions: 6,
  maskChannels: 8,
  maskConvs: 1,
} as const;

let wasm: Device;
beforeAll(async () => {
  wasm = await device("wasm");
});
afterAll(() => wasm.close());

describe("a detector", () => {
  it("finds what it has seen: box, class and mask", async () => {
    const model = maskRCNN({ ...options, device: wasm, generator: new Generator(1) });
    const optimizer = new AdamW(model.parameters(), { lr: 3e-3, weightDecay: 0.01 });
    const { images, truths } = blocks(4, side, 9);
    const batch = fromHost(images, [4, 3, side, side], "float32", wasm);
    const generator = new Generator(2);
    const step = compile((x: Tensor) => {
      const losses = model.losses(x, () => truths, { generator });
      const total = lossNames.map((name) => losses[name]).reduce((sum, loss) => sum.add(loss));
      total.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return total.detach();
    });
    const detector = new Detector(model);
    const before = await detector.detect(batch);
    for (let i = 0; i < 120; i++) {
      optimizer.setLr(i < 90 ? 3e-3 : 5e-4);
      await (await step(batch)).item();
    }
    const found = await detector.detect(batch);
    expect(found).not.toEqual(before);
    expect(model.training).toBe(true);
    const score = (index: number, least: number): number => {
      const { boxes, scores, labels, masks } = inPicture(found[index], { height: side, width: side }, [1, 1]);
      const truth = truths[index];
      return [...truth.labels].filter((label, i) => {
        const shares = overlaps(boxes, truth.boxes.slice(4 * i, 4 * i + 4));
        return labels.some((own, j) => {
          if (own !== label || scores[j] < 0.5 || shares[j] < least) return false;
          const both = masks[j].reduce((sum, v, at) => sum + (v & truth.masks[i][at]), 0);
          return both / masks[j].reduce((sum, v, at) => sum + (v | truth.masks[i][at]), 0) > 0.6;
        });
      }).length;
    };
    const objects = truths.reduce((sum, { labels }) => sum + labels.length, 0);
    expect([0, 1, 2, 3].reduce((sum, i) => sum + score(i, 0.6), 0)).toBeGreaterThanOrEqual(objects - 1);
    for (const { boxes, scores, labels } of found) {
      expect(scores.every((s, i) => s >= 0.05 && (i === 0 || s <= scores[i - 1] + 1e-4))).toBe(true);
      const shares = overlaps(boxes, boxes);
      labels.forEach((a, i) => {
        labels.forEach((b, j) => {
          if (i !== j && a === b) expect(shares[i * labels.length + j]).toBeLessThanOrEqual(0.5);
        });
      });
    }
  });

  it("stays within the pictures of a batch, finds nothing where nothing scores, and no more than wanted", async () => {
    const { images } = blocks(2, side, 4);
    const batch = fromHost(images, [2, 3, side, side], "float32", wasm);
    const make = (more: object) => new Detector(maskRCNN({ ...options, ...more, device: wasm, generator: new Generator(1) }));
    const all = await make({ scoreThreshold: 0, maxPerImage: 7 }).detect(batch, [
      { height: 40, width: 64 },
      { height: 64, width: 33 },
    ]);
    expect(all.map(({ labels }) => labels.length)).toEqual([7, 7]);
    const most = (boxes: Float32Array, d: number): number => Math.max(...boxes.filter((_, i) => i % 4 === d));
    expect(most(all[0].boxes, 3)).toBeLessThanOrEqual(40);
    expect(most(all[1].boxes, 2)).toBeLessThanOrEqual(33);
    const none = await make({ scoreThreshold: 0.999 }).detect(batch);
    expect(none.map(({ labels, masks }) => [labels.length, masks.length])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
});

describe("what was found", () => {
  it("is led back to the original picture", () => {
    const found: Found = {
      boxes: Float32Array.of(10, 20, 50, 100),
      scores: Float32Array.of(0.9),
      labels: Int32Array.of(1),
      masks: Float32Array.of(0.9, 0.9, 0, 0),
      side: 2,
    };
    const { boxes, masks } = inPicture(found, { height: 40, width: 20 }, [2, 2]);
    expect([...boxes]).toEqual([5, 10, 20, 40]);
    const rowsOn = Array.from({ length: 40 }, (_, y) => masks[0].subarray(20 * y, 20 * y + 20).some((v) => v === 1));
    // 0.9 (1 − |v|) is ½ or more where |v| ≤ 4/9, and row y lies at v = (y + ½ − 10) / 15 − ½.
    expect([rowsOn.indexOf(true), rowsOn.lastIndexOf(true)]).toEqual([11, 23]);
    expect(inPicture(found, { height: 40, width: 20 }, [2, 2], { masks: false }).masks).toEqual([]);
  });
});
