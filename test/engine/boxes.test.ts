/** Boxes and regions against plain loops. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const boxes = c.tensor([
  [0, 0, 10, 10],
  [1, 1, 10, 10],
  [20, 20, 30, 30],
  [0, 0, 10, 10],
  [21, 20, 30, 31],
]);
const scores = c.tensor([0.5, 0.9, 0.3, 0.9, 0.3]);

describe("suppression", () => {
  it("keeps the best of what overlaps, the first among equal scores", async () => {
    expect(await (await c.nms(boxes, scores, 0.5)).tolist()).toEqual([1, 2]);
    expect(await (await c.nms(boxes, scores, 0.99)).tolist()).toEqual([1, 3, 2, 4]);
    expect((await c.nms(c.zeros([0, 4]), c.zeros([0]), 0.5)).shape).toEqual([0]);
  });

  it("stays within groups", async () => {
    const groups = c.tensor([0, 0, 1, 2, 1], { dtype: "int32" });
    expect(await (await c.batchedNms(boxes, scores, groups, 0.5)).tolist()).toEqual([1, 3, 2]);
  });

  it("has a form of fixed shape for graphs, also compiled ones", async () => {
    const best = c.compile((b: c.Tensor, s: c.Tensor) => {
      const { indices, count } = c.nmsPadded(b, s, 0.5);
      return [c.indexSelect(b, 0, c.maximum(indices, 0)).mul(c.ge(indices, 0).unsqueeze(1)), count] as const;
    });
    for (const shift of [0, 5]) {
      const [kept, count] = await best(boxes.add(shift), scores);
      expect(await count.item()).toBe(2);
      expect((await kept.tolist()) as number[][]).toEqual([
        [1 + shift, 1 + shift, 10 + shift, 10 + shift],
        [20 + shift, 20 + shift, 30 + shift, 30 + shift],
        ...Array.from({ length: 3 }, () => [0, 0, 0, 0]),
      ]);
    }
  });
});

describe("formats", () => {
  it("lead there and back", async () => {
    for (const format of ["xywh", "cxcywh", "xyxy"] as const) {
      const there = c.boxConvert(boxes, "xyxy", format);
      expect(await c.boxConvert(there, format, "xyxy").tolist()).toEqual(await boxes.tolist());
    }
    expect(await c.boxConvert(c.tensor([2, 4, 6, 10]), "xyxy", "cxcywh").tolist()).toEqual([4, 7, 4, 6]);
  });
});

/** The definition: samples one by one. */
function alignedRegion(image: number[][], [x1, y1, x2, y2]: number[], [rows, columns]: number[], ratio: number, shift: number): number[][] {
  const [height, width] = [image.length, image[0].length];
  const least = shift === 0 ? 1 : Number.NEGATIVE_INFINITY;
  const [h, w] = [Math.max(y2 - y1, least), Math.max(x2 - x1, least)];
  const [nh, nw] = ratio > 0 ? [ratio, ratio] : [Math.ceil(h / rows), Math.ceil(w / columns)];
  const sample = (y: number, x: number): number => {
    if (y < -1 || y > height || x < -1 || x > width) return 0;
    const [v, u] = [Math.min(Math.max(y, 0), height - 1), Math.min(Math.max(x, 0), width - 1)];
    const [top, left] = [Math.min(Math.floor(v), height - 1), Math.min(Math.floor(u), width - 1)];
    const [bottom, right] = [Math.min(top + 1, height - 1), Math.min(left + 1, width - 1)];
    const [dy, dx] = [v - top, u - left];
    return (
      (1 - dy) * ((1 - dx) * image[top][left] + dx * image[top][right]) + dy * ((1 - dx) * image[bottom][left] + dx * image[bottom][right])
    );
  };
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => {
      let sum = 0;
      for (let a = 0; a < nh; a++)
        for (let b = 0; b < nw; b++)
          sum += sample(
            y1 - shift + (i * h) / rows + ((a + 0.5) * h) / rows / nh,
            x1 - shift + (j * w) / columns + ((b + 0.5) * w) / columns / nw,
          );
      return sum / Math.max(nh * nw, 1);
    }),
  );
}

describe("roiAlign", () => {
  const image = Array.from({ length: 2 }, (_, n) =>
    Array.from({ length: 6 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(n + 5 * i + 2 * j))),
  );
  const input = c.tensor(Float64Array.from(image.flat(2)), { shape: [2, 1, 6, 9] });
  const regions = [
    [0, 0, 0, 8, 5],
    [1, 1.3, 2.2, 1.4, 2.3],
    [0, -3, -4, 20, 30],
    [1, 4.5, 1, 8.5, 5.1],
    [1, 3, 3, 2, 1],
  ];
  const rois = c.tensor(Float64Array.from(regions.flat()), { shape: [5, 5] });

  it.each([
    [0, true],
    [0, false],
    [2, true],
    [3, false],
  ])("with samplingRatio %s, aligned %s", async (samplingRatio, aligned) => {
    for (const size of [
      [2, 3],
      [5, 1],
    ]) {
      const got = await c.roiAlign(input, rois, size, { samplingRatio, aligned }).data();
      const want = regions.flatMap(([n, ...box]) => alignedRegion(image[n], box, size, samplingRatio, aligned ? 0.5 : 0).flat());
      want.forEach((value, i) => {
        expect(got[i]).toBeCloseTo(value, 9);
      });
    }
  });

  it("takes a list of boxes for each image, and none at all", async () => {
    const list = [rois.getItem([[0, 2], { start: 1 }]), rois.getItem([[1, 3, 4], { start: 1 }])];
    const got = await c.roiAlign(input, list, 2).tolist();
    expect(got).toEqual(await c.roiAlign(input, rois.getItem([[0, 2, 1, 3, 4]]), 2).tolist());
    const none = c.tensor(new Float64Array(0), { shape: [0, 5] });
    const x = input.detach().requiresGrad_();
    const empty = c.roiAlign(x, none, [2, 3]).add(c.roiPool(x, none, [2, 3]));
    expect(empty.shape).toEqual([0, 1, 2, 3]);
    empty.sum().backward();
    expect((await x.grad?.data())?.every((v) => v === 0)).toBe(true);
  });

  it("takes as many boxes for each image, with the same result and gradient", async () => {
    const each = c.tensor(Float64Array.from([regions[0], regions[2], regions[1], regions[3]].flatMap((row) => row.slice(1))), {
      shape: [2, 2, 4],
    });
    const [x, y] = [0, 1].map(() => input.detach().requiresGrad_());
    const even = c.roiAlign(x, each, 3, { aligned: true, spatialScale: 0.5 });
    const named = c.roiAlign(y, rois.getItem([[0, 2, 1, 3]]), 3, { aligned: true, spatialScale: 0.5 });
    expect(even.shape).toEqual([4, 1, 3, 3]);
    for (const out of [even, named]) out.mul(out).sum().backward();
    for (const [a, b] of [
      [even, named],
      [x.grad as c.Tensor, y.grad as c.Tensor],
    ]) {
      const [got, want] = await Promise.all([a.data(), b.data()]);
      want.forEach((value, i) => {
        expect(got[i]).toBeCloseTo(value, 12);
      });
    }
    expect(() => c.roiAlign(input, c.zeros([3, 2, 4], { dtype: "float64" }), 2)).toThrow("expected [2, L, 4], L boxes for each image");
  });

  it("refuses boxes of images that are not there, at the call or on reading", async () => {
    const wrong = c.tensor([[2, 0, 0, 1, 1]], { dtype: "float64" });
    expect(() => c.roiAlign(input, wrong, 2)).toThrow("roiAlign: box 0 belongs to image 2, but the batch has 2; valid are 0 to 1");
    await expect(c.roiAlign(input, wrong.add(0), 2).data()).rejects.toThrow("roiAlign: an index computed on the device is out of range");
  });
});

describe("roiPool", () => {
  it("takes the largest of each bin, and 0 outside", async () => {
    const input = c.arange(20).reshape([1, 1, 4, 5]).to("float32");
    const rois = c.tensor([
      [0, 0, 0, 4, 3],
      [0, 2.6, 0.4, 3.4, 1.4],
      [0, 10, 10, 12, 12],
    ]);
    expect(await c.roiPool(input, rois, 2).tolist()).toEqual([
      [
        [
          [7, 9],
          [17, 19],
        ],
      ],
      [
        [
          [3, 3],
          [8, 8],
        ],
      ],
      [
        [
          [0, 0],
          [0, 0],
        ],
      ],
    ]);
  });
});
