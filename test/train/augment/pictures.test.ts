/** Resizing, maps, colours: against values computed by hand from Pillow's definitions. */
import { describe, expect, it } from "vitest";
import {
  applyAffine,
  autoContrast,
  blank,
  brightness,
  contrast,
  crop,
  equalize,
  flipHorizontally,
  flipVertically,
  invert,
  type Picture,
  posterize,
  resize,
  rotation,
  saturation,
  sharpness,
  solarize,
  solarizeAdd,
  withChannels,
} from "../../../train/augment/index.js";

const grey = (width: number, ...data: number[]): Picture => ({
  width,
  height: data.length / width,
  channels: 1,
  data: Uint8Array.from(data),
});
const rgb = (width: number, ...data: number[]): Picture => ({
  width,
  height: data.length / 3 / width,
  channels: 3,
  data: Uint8Array.from(data),
});
const bytes = ({ data }: Picture): number[] => [...data];

describe("pictures", () => {
  it("are cropped, with a margin where the box is larger", () => {
    const picture = grey(3, 1, 2, 3, 4, 5, 6);
    expect(bytes(crop(picture, 1, 0, 2, 2))).toEqual([2, 3, 5, 6]);
    expect(bytes(crop(picture, -1, 1, 3, 2, [9]))).toEqual([9, 4, 5, 9, 9, 9]);
    expect(bytes(crop(picture, 5, 5, 1, 1))).toEqual([0]);
  });
  it("are mirrored", () => {
    expect(bytes(flipHorizontally(rgb(2, 1, 2, 3, 4, 5, 6)))).toEqual([4, 5, 6, 1, 2, 3]);
    expect(bytes(flipVertically(grey(2, 1, 2, 3, 4)))).toEqual([3, 4, 1, 2]);
  });
  it("change between grey and colour", () => {
    // (255 · 19595 + 32768) >> 16 = 76, and so on.
    expect(bytes(withChannels(rgb(3, 255, 0, 0, 0, 255, 0, 0, 0, 255), 1))).toEqual([76, 150, 29]);
    expect(bytes(withChannels(grey(2, 7, 8), 3))).toEqual([7, 7, 7, 8, 8, 8]);
  });
});

describe("resize", () => {
  it("widens the triangle when it shrinks", () => {
    // Half the width: weights (3, 3, 1) / 7 and (1, 3, 3) / 7 over the pixels within reach.
    expect(bytes(resize(grey(4, 10, 20, 40, 80), 2, 1, "bilinear"))).toEqual([
      Math.round((30 + 60 + 40) / 7),
      Math.round((20 + 120 + 240) / 7),
    ]);
  });
  it("interpolates along the cubic when it grows", () => {
    // Twice the width. Place 1.25 of a ramp: Keys's cubic keeps lines, so inner values lie on it; 8 and 88 are where the edge cuts the filter.
    const out = bytes(resize(grey(6, 0, 20, 40, 60, 80, 100), 12, 1, "bicubic"));
    expect(out.slice(3, 9)).toEqual([25, 35, 45, 55, 65, 75]);
  });
  it("keeps an even picture even, in any size", () => {
    for (const how of ["bilinear", "bicubic"] as const)
      for (const size of [1, 3, 7, 16, 40])
        expect(new Set(resize(blank(9, 5, 3, [10, 20, 30]), size, size, how).data)).toEqual(new Set([10, 20, 30]));
  });
  it("of a box uses its surroundings for the filter, as Pillow does", () => {
    const picture = grey(4, 0, 100, 200, 0);
    expect(bytes(resize(picture, 2, 1, "bilinear", { left: 1, top: 0, width: 2, height: 1 }))).toEqual([100, 200]);
  });
});

describe("affine maps", () => {
  it("shift by whole pixels, and fill what comes from outside", () => {
    for (const how of ["bilinear", "bicubic"] as const)
      expect(bytes(applyAffine(grey(3, 1, 2, 3, 4, 5, 6), [1, 0, 1, 0, 1, 0], how, [9]))).toEqual([2, 3, 9, 5, 6, 9]);
  });
  it("shift by half a pixel: the mean of neighbours", () => {
    expect(bytes(applyAffine(grey(4, 0, 10, 20, 30), [1, 0, 0.5, 0, 1, 0], "bilinear", [9]))).toEqual([5, 15, 25, 9]);
  });
  it("turn counter-clockwise by quarters", () => {
    const picture = grey(2, 1, 2, 3, 4);
    expect(bytes(applyAffine(picture, rotation(90, 2, 2), "bilinear", [0]))).toEqual([2, 4, 1, 3]);
    expect(bytes(applyAffine(picture, rotation(180, 2, 2), "bicubic", [0]))).toEqual([4, 3, 2, 1]);
  });
});

describe("colours", () => {
  it("go through tables", () => {
    const picture = grey(4, 0, 100, 130, 255);
    expect(bytes(invert(picture))).toEqual([255, 155, 125, 0]);
    expect(bytes(solarize(picture, 128))).toEqual([0, 100, 125, 0]);
    expect(bytes(solarizeAdd(picture, 110))).toEqual([110, 210, 130, 255]);
    expect(bytes(posterize(picture, 2))).toEqual([0, 64, 128, 192]);
    expect(bytes(posterize(picture, 0))).toEqual([0, 0, 0, 0]);
    expect(bytes(posterize(picture, 8))).toEqual(bytes(picture));
  });
  it("are stretched", () => {
    // 255 / (150 − 50) = 2.55: 100 → 127.5, cut off.
    expect(bytes(autoContrast(grey(3, 50, 100, 150)))).toEqual([0, 127, 255]);
    expect(bytes(autoContrast(grey(2, 7, 7)))).toEqual([7, 7]);
    expect(bytes(autoContrast(rgb(2, 0, 10, 5, 255, 20, 5)))).toEqual([0, 0, 5, 255, 255, 5]);
  });
  it("are made equally frequent", () => {
    // 512 pixels of 256 values, each twice: step = (512 − 2) / 255 = 2, so value v goes to (1 + 2 v) / 2.
    const even = grey(512, ...Array.from({ length: 512 }, (_, i) => i >> 1));
    expect(bytes(equalize(even))).toEqual(bytes(even));
    // 510 of value 3 and 255 of 9: step 510 / 255 = 2; 3 → 0, 9 → (1 + 510) / 2 = 255.
    const two = grey(765, ...Array<number>(510).fill(3), ...Array<number>(255).fill(9));
    expect([equalize(two).data[0], equalize(two).data[600]]).toEqual([0, 255]);
    expect(bytes(equalize(grey(2, 4, 9)))).toEqual([4, 9]);
  });
  it("are blended with what the factor leaves out", () => {
    const picture = rgb(2, 200, 100, 0, 40, 40, 40);
    expect(bytes(brightness(picture, 0.5))).toEqual([100, 50, 0, 20, 20, 20]);
    expect(bytes(brightness(picture, 1.5))).toEqual([255, 150, 0, 60, 60, 60]);
    // Greys 118 and 40: mean 79; halves are cut off.
    expect(bytes(contrast(picture, 0.5))).toEqual([139, 89, 39, 59, 59, 59]);
    expect(bytes(saturation(picture, 0))).toEqual([118, 118, 118, 40, 40, 40]);
    expect(bytes(saturation(picture, 2))).toEqual([255, 82, 0, 40, 40, 40]);
  });
  it("are sharpened within the edges", () => {
    const dot = grey(3, 0, 0, 0, 0, 130, 0, 0, 0, 0);
    // 130 · 5 / 13 = 50, and twice the difference on top: 210.
    expect(bytes(sharpness(dot, 0))).toEqual([0, 0, 0, 0, 50, 0, 0, 0, 0]);
    expect(bytes(sharpness(dot, 2))).toEqual([0, 0, 0, 0, 210, 0, 0, 0, 0]);
  });
});
