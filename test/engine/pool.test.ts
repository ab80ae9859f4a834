import { describe, expect, it } from "vitest";
import {
  adaptiveAvgPool2d,
  arange,
  avgPool1d,
  avgPool2d,
  embedding,
  gradcheck,
  gridSample,
  interpolate,
  maxPool2d,
  oneHot,
  pixelShuffle,
  pixelUnshuffle,
  type Tensor,
  tensor,
  zeros,
} from "../../index.js";

const image = (height: number, width: number): Tensor => arange(height * width, { dtype: "float64" }).reshape([1, 1, height, width]);

describe("pooling", () => {
  it("averages, with and without padding and partial windows", async () => {
    expect(await avgPool2d(image(4, 4), 2).tolist()).toEqual([
      [
        [
          [2.5, 4.5],
          [10.5, 12.5],
        ],
      ],
    ]);
    expect(await avgPool2d(image(2, 2), 2, { padding: 1, stride: 2 }).tolist()).toEqual([
      [
        [
          [0, 0.25],
          [0.5, 0.75],
        ],
      ],
    ]);
    expect(await avgPool2d(image(2, 2), 2, { padding: 1, stride: 2, countIncludePad: false }).tolist()).toEqual([
      [
        [
          [0, 1],
          [2, 3],
        ],
      ],
    ]);
    expect(await avgPool1d(arange(5, { dtype: "float32" }).reshape([1, 5]), 2, { ceilMode: true }).tolist()).toEqual([[0.5, 2.5, 4]]);
    expect(await avgPool2d(image(2, 2), 2, { divisorOverride: 1 }).tolist()).toEqual([[[[6]]]]);
    expect(() => avgPool2d(image(2, 2), 3)).toThrow("windows of [3, 3] do not fit the input [1, 1, 2, 2]");
    expect(() => avgPool2d(image(9, 9), 3, { padding: 2 })).toThrow("padding [2, 2] is more than half of kernelSize [3, 3]");
  });

  it("takes the largest, and says where it was", async () => {
    const { values, indices } = maxPool2d(image(4, 4).neg(), 3, { stride: 1, padding: 1, dilation: 1, returnIndices: true });
    expect(await values.select(2, 3).tolist()).toEqual([[[-8, -8, -9, -10]]]);
    expect(await indices.select(2, 3).tolist()).toEqual([[[8, 8, 9, 10]]]);
    expect(maxPool2d(image(5, 5), 2, { ceilMode: true }).shape).toEqual([1, 1, 3, 3]);
    expect(maxPool2d(image(5, 5), 2, { dilation: 2, stride: 1 }).shape).toEqual([1, 1, 3, 3]);
  });

  it("adapts to a size", async () => {
    expect(await adaptiveAvgPool2d(image(4, 4), 2).tolist()).toEqual(await avgPool2d(image(4, 4), 2).tolist());
    const [row] = ((await adaptiveAvgPool2d(image(1, 5), [1, 3]).tolist()) as number[][][][]).flat(2);
    [0.5, 2, 3.5].forEach((value, i) => expect(row[i]).toBeCloseTo(value, 12)); // parts 0-1, 1-3, 3-4
    expect(adaptiveAvgPool2d(image(3, 5), [null, 2]).shape).toEqual([1, 1, 3, 2]);
    expect(adaptiveAvgPool2d(image(3, 3), 5).shape).toEqual([1, 1, 5, 5]);
  });

  it("has gradients", async () => {
    const x = image(5, 6).sin();
    expect(await gradcheck((v) => avgPool2d(v, 3, { stride: 2, padding: 1, ceilMode: true }), [x])).toBe(true);
    expect(await gradcheck((v) => maxPool2d(v, 3, { stride: 2, padding: 1 }), [x])).toBe(true);
    expect(await gradcheck((v) => adaptiveAvgPool2d(v, [3, 4]), [x])).toBe(true);
  });
});

describe("interpolate", () => {
  it("repeats, aligns corners, or edges", async () => {
    expect(await interpolate(image(1, 2), { scaleFactor: 2 }).tolist()).toEqual([
      [
        [
          [0, 0, 1, 1],
          [0, 0, 1, 1],
        ],
      ],
    ]);
    expect(await interpolate(image(1, 5), { size: [1, 3] }).tolist()).toEqual([[[[0, 1, 3]]]]);
    expect(await interpolate(image(1, 2), { size: [1, 3], mode: "bilinear", alignCorners: true }).tolist()).toEqual([[[[0, 0.5, 1]]]]);
    expect(await interpolate(image(1, 2), { size: [1, 4], mode: "bilinear" }).tolist()).toEqual([[[[0, 0.25, 0.75, 1]]]]);
    expect(await interpolate(image(2, 1), { size: 1, mode: "bilinear", alignCorners: true }).tolist()).toEqual([[[[0]]]]);
    const same = image(3, 4);
    expect(await interpolate(same, { size: [3, 4], mode: "bicubic" }).tolist()).toEqual(await same.tolist());
  });

  it("has gradients", async () => {
    for (const mode of ["nearest", "bilinear", "bicubic"] as const) {
      expect(await gradcheck((v) => interpolate(v, { size: [4, 7], mode }), [image(3, 5).sin()])).toBe(true);
    }
  });

  it("says what is missing", () => {
    expect(() => interpolate(image(2, 2))).toThrow("give either size or scaleFactor");
    expect(() => interpolate(image(2, 2), { size: [2] })).toThrow("size [2] must name 2 sizes");
    expect(() => interpolate(image(2, 2), { size: 3, mode: "linear" })).toThrow('mode "linear" takes [N, C, L]; got [1, 1, 2, 2]');
    expect(() => interpolate(image(2, 2), { size: 3, alignCorners: true })).toThrow('alignCorners has no meaning for mode "nearest"');
  });
});

describe("images and indices", () => {
  it("shuffle pixels there and back", async () => {
    const x = arange(2 * 8 * 3 * 2).reshape([2, 8, 3, 2]);
    const y = pixelShuffle(x, 2);
    expect(y.shape).toEqual([2, 2, 6, 4]);
    expect(await pixelUnshuffle(y, 2).tolist()).toEqual(await x.tolist());
    expect(() => pixelShuffle(zeros([6, 2, 2]), 2)).toThrow("6 channels do not divide by upscaleFactor² = 4");
  });

  it("sample at a grid", async () => {
    const grid = tensor(
      [
        [
          [
            [-1, -1],
            [0, 0],
            [1, 1],
            [3, 0],
          ],
        ],
      ],
      { dtype: "float64" },
    );
    expect(await gridSample(image(3, 3), grid, { alignCorners: true }).tolist()).toEqual([[[[0, 4, 8, 0]]]]);
    expect(await gridSample(image(3, 3), grid, { alignCorners: true, paddingMode: "border", mode: "nearest" }).tolist()).toEqual([
      [[[0, 4, 8, 5]]],
    ]);
    expect(await gradcheck((v, g) => gridSample(v, g), [image(3, 4).sin(), grid.mul(0.37).add(0.11)])).toBe(true);
  });

  it("look rows up", async () => {
    const table = tensor(
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      { requiresGrad: true },
    );
    const rows = embedding(
      tensor(
        [
          [2, 0],
          [1, 1],
        ],
        { dtype: "int32" },
      ),
      table,
      { paddingIdx: 1 },
    );
    expect(await rows.tolist()).toEqual([
      [
        [5, 6],
        [1, 2],
      ],
      [
        [3, 4],
        [3, 4],
      ],
    ]);
    rows.sum().backward();
    expect(await table.grad?.tolist()).toEqual([
      [1, 1],
      [0, 0],
      [1, 1],
    ]);
    expect(() => embedding(tensor([3], { dtype: "int32" }), table)).toThrow("index 3 is out of range");
    expect(await oneHot(tensor([1, 0], { dtype: "int32" })).tolist()).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect(() => oneHot(tensor([3], { dtype: "int32" }), { numClasses: 3 })).toThrow("class 3 is out of range");
  });
});
