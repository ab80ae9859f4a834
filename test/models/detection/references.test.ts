/** Suppression, RoIAlign, regions of a pyramid, box decoding and proposals against plain definitions, on random boxes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nms, roiAlign, tensor } from "../../../index.js";
import { makeAnchors } from "../../../models/detection/anchors.js";
import { BoxCoder } from "../../../models/detection/box-coder.js";
import { readRegions } from "../../../models/detection/heads.js";
import { propose } from "../../../models/detection/proposals.js";

type Box = readonly [number, number, number, number];
const boxOf = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }))
  .map(([x, y, w, h]): Box => [x / 2, y / 2, x / 2 + w, y / 2 + h]);

function iou(a: Box, b: Box): number {
  const side = (d: 0 | 1): number => Math.max(0, Math.min(a[d + 2], b[d + 2]) - Math.max(a[d], b[d]));
  const area = (box: Box): number => (box[2] - box[0]) * (box[3] - box[1]);
  const shared = side(0) * side(1);
  return shared / (area(a) + area(b) - shared);
}

/** Takes the best, drops what overlaps it, and so on. */
function keptPlainly(boxes: readonly Box[], scores: readonly number[], threshold: number): number[] {
  let left = boxes.map((_, i) => i).sort((i, j) => scores[j] - scores[i] || i - j);
  const kept: number[] = [];
  while (left.length > 0) {
    const [best] = left;
    kept.push(best);
    left = left.slice(1).filter((i) => iou(boxes[best], boxes[i]) <= threshold);
  }
  return kept;
}

describe("suppression", () => {
  it("keeps what the definition keeps", async () => {
    const scored = fc.array(fc.tuple(boxOf, fc.integer({ min: 0, max: 8 })), { minLength: 1, maxLength: 25 });
    await fc.assert(
      // Thresholds that no overlap of these boxes lies at exactly.
      fc.asyncProperty(scored, fc.constantFrom(0.3017, 0.5003, 0.7013), async (list, threshold) => {
        const [boxes, scores] = [list.map(([box]) => box), list.map(([, score]) => score / 8)];
        const got = await nms(tensor(boxes.map((box) => [...box])), tensor(scores), threshold);
        expect(await got.tolist()).toEqual(keptPlainly(boxes, scores, threshold));
      }),
      { numRuns: 60 },
    );
  });
});

/** Samples one by one. */
function alignedPlainly(map: Float64Array, height: number, width: number, [x1, y1, x2, y2]: Box, size: number, ratio: number): number[] {
  const at = (y: number, x: number): number => map[Math.min(y, height - 1) * width + Math.min(x, width - 1)];
  const sample = (y: number, x: number): number => {
    if (y < -1 || y > height || x < -1 || x > width) return 0;
    const [v, u] = [Math.min(Math.max(y, 0), height - 1), Math.min(Math.max(x, 0), width - 1)];
    const [top, left] = [Math.floor(v), Math.floor(u)];
    const [dy, dx] = [v - top, u - left];
    return (
      (1 - dy) * ((1 - dx) * at(top, left) + dx * at(top, left + 1)) + dy * ((1 - dx) * at(top + 1, left) + dx * at(top + 1, left + 1))
    );
  };
  const [h, w] = [(y2 - y1) / size, (x2 - x1) / size];
  return Array.from({ length: size * size }, (_, bin) => {
    const [i, j] = [Math.floor(bin / size), bin % size];
    let sum = 0;
    for (let a = 0; a < ratio; a++)
      for (let b = 0; b < ratio; b++) sum += sample(y1 - 0.5 + (i + (a + 0.5) / ratio) * h, x1 - 0.5 + (j + (b + 0.5) / ratio) * w);
    return sum / ratio ** 2;
  });
}

const mapOf = (height: number, width: number, n: number): Float64Array =>
  Float64Array.from({ length: height * width }, (_, i) => Math.sin(1.7 * i + n));

describe("RoIAlign", () => {
  it("is the mean of bilinear samples", async () => {
    const [height, width] = [9, 12];
    await fc.assert(
      fc.asyncProperty(boxOf, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), async (even, size, samplingRatio) => {
        // Off the lattice, where a sample may lie on the very edge of what counts.
        const box = even.map((side, d) => side / 2 - 2 + 0.0131 * (d + 1)) as unknown as Box;
        const map = mapOf(height, width, size);
        const regions = tensor(Float64Array.of(0, ...box), { shape: [1, 5] });
        const got = await roiAlign(tensor(map, { shape: [1, 1, height, width] }), regions, size, { samplingRatio, aligned: true }).data();
        alignedPlainly(map, height, width, box, size, samplingRatio).forEach((value, i) => {
          expect(got[i]).toBeCloseTo(value, 9);
        });
      }),
      { numRuns: 40 },
    );
  });

  it("reads each region from its own level alone", async () => {
    const placed = fc.array(fc.tuple(boxOf, fc.constantFrom(0, 1)), { minLength: 3, maxLength: 3 });
    const sides = [12, 6];
    const maps = sides.map((side, level) => mapOf(side, side, level));
    await fc.assert(
      fc.asyncProperty(placed, async (list) => {
        const boxes = tensor(Float64Array.from(list.flatMap(([box]) => box.map((side) => side + 0.013))), { shape: [1, 3, 4] });
        const levels = tensor(
          list.map(([, level]) => level),
          { dtype: "int32", shape: [1, 3] },
        );
        const tensors = maps.map((map, level) => tensor(map, { shape: [1, 1, sides[level], sides[level]] }));
        const got = await readRegions(tensors, [4, 8], boxes, levels, 2, 2).data();
        list.forEach(([box, level], k) => {
          const own = box.map((side) => (side + 0.013) / [4, 8][level]) as unknown as Box;
          alignedPlainly(maps[level], sides[level], sides[level], own, 2, 2).forEach((value, i) => {
            expect(got[4 * k + i]).toBeCloseTo(value, 9);
          });
        });
      }),
      { numRuns: 25 },
    );
  });
});

/** mmdet's `delta2bbox`. */
function decodedPlainly(
  [x1, y1, x2, y2]: Box,
  deltas: readonly number[],
  stds: readonly number[],
  height: number,
  width: number,
): number[] {
  const most = Math.abs(Math.log(16 / 1000));
  const [dx, dy, dw, dh] = deltas.map((delta, d) => Math.fround(delta) * stds[d]);
  const [w, h] = [(x2 - x1) * Math.exp(Math.min(Math.max(dw, -most), most)), (y2 - y1) * Math.exp(Math.min(Math.max(dh, -most), most))];
  const [x, y] = [(x1 + x2) / 2 + (x2 - x1) * dx, (y1 + y2) / 2 + (y2 - y1) * dy];
  const inside = (value: number, limit: number): number => Math.min(Math.max(value, 0), limit);
  return [inside(x - w / 2, width), inside(y - h / 2, height), inside(x + w / 2, width), inside(y + h / 2, height)];
}

const stds = [0.1, 0.1, 0.2, 0.2];
const delta = fc.integer({ min: -100, max: 100 }).map((value) => value / 20);

describe("decoding", () => {
  it("is that of the published coder", () => {
    fc.assert(
      fc.property(boxOf, fc.tuple(delta, delta, delta, delta), (box, deltas) => {
        const picture = { height: 40, width: 30 };
        const got = new BoxCoder({ stds }).decode(Float32Array.from(box), Float32Array.from(deltas), picture);
        decodedPlainly(box, deltas, stds, 40, 30).forEach((value, d) => {
          expect(got[d]).toBeCloseTo(value, 3);
        });
      }),
    );
  });
});

describe("proposals", () => {
  it("are the best of each level, decoded, without what overlaps a better one of its level", () => {
    const anchors = makeAnchors(
      [
        [3, 3],
        [2, 2],
      ],
      { strides: [8, 16], scales: [2], ratios: [1] },
    );
    const outputs = fc.array(fc.tuple(fc.integer({ min: -30, max: 30 }), delta, delta), {
      minLength: anchors.count,
      maxLength: anchors.count,
    });
    fc.assert(
      fc.property(outputs, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 8 }), (said, nmsPre, maxPerImage) => {
        const [picture, coder] = [{ height: 24, width: 24 }, new BoxCoder()];
        const logits = Float32Array.from(said, ([logit]) => logit / 10);
        const deltas = Float32Array.from(said.flatMap(([, a, b]) => [a / 8, b / 8, b / 20, a / 20]));
        const valid = new Uint8Array(anchors.count).fill(1);
        const options = { nmsPre, nmsIou: 0.7003, maxPerImage, minSize: 0 };
        const got = propose(anchors, coder, logits, deltas, picture, valid, options);
        const all = coder.decode(anchors.boxes, deltas, picture);
        const boxOfAnchor = (i: number): Box => [...all.subarray(4 * i, 4 * i + 4)] as unknown as Box;
        const step = (i: number): number => Math.round(Math.fround(1 / (1 + Math.exp(-logits[i]))) * 10_000);
        const byScore = (i: number, j: number): number => step(j) - step(i) || i - j;
        const levels = anchors.levels.map(({ start, count }) => Array.from({ length: count }, (_, i) => start + i));
        const best = levels.map((level) => level.sort(byScore).slice(0, nmsPre));
        const kept = best.flatMap((level) => {
          const sized = level.filter((i) => boxOfAnchor(i)[2] > boxOfAnchor(i)[0] && boxOfAnchor(i)[3] > boxOfAnchor(i)[1]);
          return keptPlainly(sized.map(boxOfAnchor), sized.map(step), options.nmsIou).map((k) => sized[k]);
        });
        const want = kept.sort(byScore).slice(0, maxPerImage).flatMap(boxOfAnchor);
        expect([...got]).toEqual(want);
      }),
      { numRuns: 200 },
    );
  });
});
