/** What the recipes draw: against hand-computed cases and statistics. */
import { describe, expect, it } from "vitest";
import {
  applyTransform,
  blank,
  Draws,
  drawCutBox,
  drawMix,
  frame,
  increasingOperations,
  mixImages,
  mixTargets,
  noAugmentation,
  type Picture,
  parseRandAugment,
  plainOperations,
  randAugment,
  randomBox,
  randomErase,
  type Transform,
} from "../../../train/augment/index.js";
import { epochOrder } from "../../../train/data/index.js";

const stream = (index: number): Draws => new Draws(7, "sample", 0, index);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
function variance(values: readonly number[]): number {
  const centre = mean(values);
  return mean(values.map((value) => (value - centre) ** 2));
}

describe("draws", () => {
  const of = (sample: (draws: Draws) => number): number[] => Array.from({ length: 4000 }, (_, i) => sample(stream(i)));

  it("have the moments of their distributions", () => {
    // Tolerances are four standard errors of 4000 samples.
    expect(mean(of((draws) => draws.uniform(2, 4)))).toBeCloseTo(3, 1);
    const normal = of((draws) => draws.normal(1, 2));
    expect(Math.abs(mean(normal) - 1)).toBeLessThan(0.13);
    expect(Math.abs(variance(normal) - 4)).toBeLessThan(0.36);
    for (const a of [0.8, 1, 3]) {
      const beta = of((draws) => draws.beta(a, a));
      expect(Math.abs(mean(beta) - 0.5)).toBeLessThan(0.02);
      expect(Math.abs(variance(beta) - 1 / (4 * (2 * a + 1)))).toBeLessThan(0.006);
    }
    const counts = [0, 0, 0];
    for (const value of of((draws) => draws.integer(3))) counts[value]++;
    for (const count of counts) expect(Math.abs(count - 4000 / 3)).toBeLessThan(120);
  });

  it("differ by seed, purpose, epoch and index, and by nothing else", () => {
    const first = (...args: ConstructorParameters<typeof Draws>): number => new Draws(...args).bits();
    const all = [
      first(7, "sample", 0, 0),
      first(8, "sample", 0, 0),
      first(7, "batch", 0, 0),
      first(7, "sample", 1, 0),
      first(7, "sample", 0, 1),
    ];
    expect(new Set(all).size).toBe(5);
    expect(first(7, "sample", 0, 0)).toBe(all[0]);
    expect(first(2 ** 40 + 7, "sample", 0, 0)).not.toBe(all[0]);
  });
});

describe("random boxes", () => {
  it("have the shares and ratios that were asked for, and fit", () => {
    const boxes = Array.from({ length: 2000 }, (_, i) => randomBox(300, 200, [0.08, 1], [3 / 4, 4 / 3], stream(i)));
    for (const { left, top, width, height } of boxes) {
      expect(left >= 0 && top >= 0 && left + width <= 300 && top + height <= 200).toBe(true);
      expect(width / height).toBeGreaterThan(0.7);
      expect(width / height).toBeLessThan(1.43);
    }
    const shares = boxes.map(({ width, height }) => (width * height) / 60_000);
    expect(Math.min(...shares)).toBeGreaterThan(0.075);
    expect(Math.min(...shares)).toBeLessThan(0.1);
    // Boxes that do not fit are drawn again: the mean share is that over all shares and ratios which do.
    const fitting: number[] = [];
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 200; j++) {
        const share = 0.08 + (0.92 * (i + 0.5)) / 200;
        const ratio = (3 / 4) * (16 / 9) ** ((j + 0.5) / 200);
        if (Math.sqrt(share * 60_000 * ratio) <= 300 && Math.sqrt((share * 60_000) / ratio) <= 200) fitting.push(share);
      }
    }
    expect(Math.abs(mean(shares) - mean(fitting))).toBeLessThan(0.02);
  });
  it("that cannot fit become the largest centred one", () => {
    expect(randomBox(100, 10, [1, 1], [3 / 4, 4 / 3], stream(0))).toEqual({ left: 43, top: 0, width: 13, height: 10 });
    expect(randomBox(10, 100, [1, 1], [3 / 4, 4 / 3], stream(0))).toEqual({ left: 0, top: 43, width: 10, height: 13 });
  });
});

describe("RandAugment", () => {
  it("reads timm's notation", () => {
    expect(parseRandAugment("rand-m9-mstd0.5-inc1")).toEqual({ layers: 2, magnitude: 9, std: 0.5, probability: 0.5, increasing: true });
    expect(parseRandAugment("rand-n3-p0.7")).toEqual({ layers: 3, magnitude: 10, std: 0, probability: 0.7, increasing: false });
    expect(() => parseRandAugment("rand-x3")).toThrow("rand-x3: x3 is not one of n, m, mstd, p and inc with a number after it");
    expect(() => parseRandAugment("original")).toThrow("expected rand-…");
  });

  it("has timm's fifteen operations, at timm's levels", () => {
    expect(Object.keys(increasingOperations).length).toBe(15);
    expect(Object.keys(plainOperations).length).toBe(15);
    const grey: Picture = { width: 2, height: 1, channels: 1, data: Uint8Array.of(100, 200) };
    const at = (name: string, magnitude: number, plain = false): number[] => {
      const context = { draws: stream(1), interpolation: "bicubic", fill: [0] } as const;
      return [...(plain ? plainOperations : increasingOperations)[name](grey, magnitude, context).data];
    };
    // Magnitude 9: solarize from 256 − 230 = 26 up, posterize to 4 − 3 = 1 bit, add 99, brightness 1 ± 0.81.
    expect(at("Solarize", 9)).toEqual([155, 55]);
    expect(at("Posterize", 9)).toEqual([0, 128]);
    expect(at("SolarizeAdd", 9)).toEqual([199, 200]);
    expect([
      [19, 38],
      [181, 255],
    ]).toContainEqual(at("Brightness", 9).map((value, i) => value + (value === [18, 37][i] ? 1 : 0)));
    // Plain: solarize from 230, posterize to 3 bits, brightness 1.72.
    expect(at("Solarize", 9, true)).toEqual([100, 200]);
    expect(at("Posterize", 9, true)).toEqual([96, 192]);
    expect(at("Brightness", 9, true)).toEqual([172, 255]);
  });

  it("leaves a quarter alone with two operations at one half, and draws all of them evenly", () => {
    const picture = { width: 8, height: 8, channels: 3, data: Uint8Array.from({ length: 192 }, (_, i) => (i * 37) % 251) } as const;
    const settings = parseRandAugment("rand-m9-mstd0.5-inc1");
    let same = 0;
    for (let i = 0; i < 2000; i++) {
      const out = randAugment(picture, settings, { draws: stream(i), interpolation: "bilinear", fill: [124, 116, 104] });
      if (out === picture) same++;
    }
    // 2000 / 4 ± four deviations.
    expect(Math.abs(same - 500)).toBeLessThan(80);
  });
});

describe("random erasing", () => {
  const planes = { channels: 3, height: 40, width: 30 };

  it("erases the share of images that was asked for, 2 to 33 per cent of each, with normal noise", () => {
    let erased = 0;
    const noise: number[] = [];
    for (let i = 0; i < 400; i++) {
      const image = new Float32Array(3600).fill(100);
      const boxes = randomErase(image, 0, planes, { probability: 0.25, mode: "pixel", count: 1 }, stream(i));
      const changed = image.filter((value) => value !== 100);
      erased += boxes;
      expect(boxes === 0 ? 0 : 1).toBe(changed.length > 0 ? 1 : 0);
      if (boxes > 0) {
        expect(changed.length / 3600).toBeGreaterThan(0.015);
        expect(changed.length / 3600).toBeLessThan(0.36);
        noise.push(...changed);
      }
    }
    expect(Math.abs(erased - 100)).toBeLessThan(35);
    expect(Math.abs(mean(noise))).toBeLessThan(0.05);
    expect(Math.abs(variance(noise) - 1)).toBeLessThan(0.05);
  });

  it("erases with 0, or with one value a channel", () => {
    for (const mode of ["const", "rand"] as const) {
      const image = new Float32Array(3600).fill(100);
      expect(randomErase(image, 0, planes, { probability: 1, mode, count: 1 }, stream(3))).toBe(1);
      const values = new Set(image);
      values.delete(100);
      expect(values.size).toBe(mode === "const" ? 1 : 3);
    }
  });
});

describe("repeated augmentation", () => {
  it("shows each picture several times in a row, and as many fewer pictures", () => {
    const order = epochOrder(10, 3, { shuffle: true, seed: 1, repeats: 3 });
    const plain = epochOrder(10, 3, { shuffle: true, seed: 1, repeats: 1 });
    expect([...order]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3].map((i) => plain[i]));
    expect([...plain].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});

describe("mixing", () => {
  it("spreads labels as timm does", () => {
    // Two images of classes 0 and 2 of 4, λ = 0.75, smoothing 0.2: off 0.05, on 0.85.
    const targets = mixTargets(Int32Array.of(0, 2), 4, 0.75, 0.2);
    const wanted = [
      0.85 * 0.75 + 0.05 * 0.25,
      0.05,
      0.85 * 0.25 + 0.05 * 0.75,
      0.05,
      0.85 * 0.25 + 0.05 * 0.75,
      0.05,
      0.85 * 0.75 + 0.05 * 0.25,
      0.05,
    ];
    targets.forEach((value, i) => expect(value).toBeCloseTo(wanted[i], 6));
    // The middle of an odd batch is mixed with itself.
    expect([...mixTargets(Int32Array.of(0, 1, 0), 2, 0.25, 0)]).toEqual([1, 0, 0, 1, 1, 0]);
  });

  it("adds images by their shares, or swaps boxes", () => {
    const planes = { channels: 1, height: 2, width: 2 };
    const images = Float32Array.of(0, 0, 0, 0, 8, 8, 8, 8);
    mixImages(images, 2, planes, { lambda: 0.75, box: null });
    expect([...images]).toEqual([2, 2, 2, 2, 6, 6, 6, 6]);
    mixImages(images, 2, planes, { lambda: 0.75, box: { top: 0, bottom: 1, left: 1, right: 2 } });
    expect([...images]).toEqual([2, 6, 2, 2, 6, 2, 6, 6]);
  });

  it("cuts boxes whose share is what the labels say", () => {
    for (let i = 0; i < 500; i++) {
      const { box, lambda } = drawCutBox(32, 24, (i + 0.5) / 500, stream(i));
      expect(box.top >= 0 && box.left >= 0 && box.bottom <= 32 && box.right <= 24).toBe(true);
      expect(lambda).toBeCloseTo(1 - ((box.bottom - box.top) * (box.right - box.left)) / 768, 12);
      // Cut off at the edges, a box is never larger than its λ.
      expect(lambda).toBeGreaterThanOrEqual((i + 0.5) / 500 - 1e-9);
    }
  });

  it("takes cutmix half the time, always one of the two, and none with probability 0", () => {
    const planes = { channels: 3, height: 32, width: 32 };
    const both = { mixup: 0.8, cutmix: 1, probability: 1, switchProbability: 0.5, offEpoch: 0 };
    const mixes = Array.from({ length: 1000 }, (_, i) => drawMix(both, planes, stream(i)));
    expect(Math.abs(mixes.filter(({ box }) => box !== null).length - 500)).toBeLessThan(64);
    expect(Math.abs(mean(mixes.filter(({ box }) => box === null).map(({ lambda }) => lambda)) - 0.5)).toBeLessThan(0.07);
    expect(drawMix({ ...both, probability: 0 }, planes, stream(0))).toEqual({ lambda: 1, box: null });
    expect(drawMix({ ...both, mixup: 0 }, planes, stream(0)).box).not.toBeNull();
    expect(drawMix({ ...both, cutmix: 0 }, planes, stream(0)).box).toBeNull();
  });
});

describe("transforms", () => {
  const format = { size: 4, channels: 1, mean: [0.5], std: [0.25], interpolation: "bilinear" } as const;
  const ramp: Picture = { width: 8, height: 4, channels: 1, data: Uint8Array.from({ length: 32 }, (_, i) => (i % 8) * 10) };

  it("frame the centre, the whole, or with black around", () => {
    const centre = frame(ramp, { ...format, framing: { kind: "crop", share: 1 } });
    expect([...centre.data.subarray(0, 4)]).toEqual([20, 30, 40, 50]);
    expect([...frame(ramp, { ...format, framing: { kind: "squash" } }).data.subarray(0, 4)].length).toBe(4);
    const padded = frame(blank(2, 2, 1, [9]), { ...format, framing: { kind: "pad", inner: 2 } });
    expect([...padded.data]).toEqual([0, 0, 0, 0, 0, 9, 9, 0, 0, 9, 9, 0, 0, 0, 0, 0]);
    expect(() => frame(ramp, { ...format, framing: { kind: "pad", inner: 5 } })).toThrow("pictures of 5 pixels do not fit into 4");
  });

  it("mirror as often as asked, and say what is seen", () => {
    const transform: Transform = { ...format, framing: { kind: "squash" }, augmentation: { ...noAugmentation, hflip: 0.3, vflip: 0.7 } };
    let [mirrored, upsideDown] = [0, 0];
    const out = new Float32Array(16);
    for (let i = 0; i < 400; i++) {
      const view = applyTransform(ramp, transform, stream(i), out, 0);
      expect(out[0] > out[3]).toBe(view.mirrored);
      mirrored += Number(view.mirrored);
      upsideDown += Number(view.upsideDown);
    }
    // 400 · p ± four deviations.
    expect(Math.abs(mirrored - 120)).toBeLessThan(37);
    expect(Math.abs(upsideDown - 280)).toBeLessThan(37);
    // Four of eight pixels' width; and two pixels with one around them.
    const centre = applyTransform(ramp, { ...format, framing: { kind: "crop", share: 1 }, augmentation: null }, stream(0), out, 0);
    expect(centre).toEqual({ left: 0.25, top: 0, right: 0.75, bottom: 1, mirrored: false, upsideDown: false });
    const padded = applyTransform(blank(2, 2, 1), { ...format, framing: { kind: "pad", inner: 2 }, augmentation: null }, stream(0), out, 0);
    expect([padded.left, padded.right]).toEqual([-0.5, 1.5]);
  });

  it("normalise, and do the same for the same draws", () => {
    const transform: Transform = {
      ...format,
      framing: { kind: "crop", share: 1 },
      augmentation: {
        ...noAugmentation,
        box: { scale: [0.2, 1], ratio: [0.5, 2] },
        hflip: 0.5,
        colourJitter: 0.4,
        erasing: { probability: 0.5, mode: "pixel", count: 1 },
      },
    };
    const out = new Float32Array(16);
    applyTransform(ramp, { ...transform, augmentation: null }, stream(0), out, 0);
    expect(out[0]).toBeCloseTo((20 / 255 - 0.5) / 0.25, 6);
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const again = [new Float32Array(16), new Float32Array(16)];
      for (const image of again) applyTransform(ramp, transform, stream(i), image, 0);
      expect(again[0]).toEqual(again[1]);
      seen.add(again[0].join());
    }
    expect(seen.size).toBeGreaterThan(15);
  });
});
