/** Anchors, coding, assignment, sampling, ranking, masks: against plain definitions, on random boxes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { roiAlign, tensor } from "../../../index.js";
import { anchorsOnPicture, makeAnchors } from "../../../models/detection/anchors.js";
import { assign, ground, ignored, overlaps } from "../../../models/detection/assign.js";
import { BoxCoder } from "../../../models/detection/box-coder.js";
import { cropMask, pasteMask } from "../../../models/detection/masks.js";
import { ranked } from "../../../models/detection/rank.js";
import { sample } from "../../../models/detection/sample.js";

type Box = readonly [number, number, number, number];
const boxOf = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 24 }))
  .map(([x, y, w, h]): Box => [x / 2, y / 2, x / 2 + w, y / 2 + h]);
const boxesOf = (minLength: number, maxLength: number) => fc.array(boxOf, { minLength, maxLength });
const flat = (boxes: readonly Box[]): Float32Array => Float32Array.from(boxes.flat());

function iou(a: Box, b: Box): number {
  const side = (d: 0 | 1): number => Math.max(0, Math.min(a[d + 2], b[d + 2]) - Math.max(a[d], b[d]));
  const area = (box: Box): number => (box[2] - box[0]) * (box[3] - box[1]);
  const shared = side(0) * side(1);
  return Math.fround(shared / (area(a) + area(b) - shared));
}

describe("anchors", () => {
  it("are those of the published generator", () => {
    const { boxes, count, perPlace, levels } = makeAnchors(
      [
        [2, 3],
        [1, 2],
      ],
      { strides: [4, 8] },
    );
    expect([count, perPlace, levels.map((level) => level.start)]).toEqual([24, 3, [0, 18]]);
    // The first place of stride 4: 32 pixels, as 45 × 23, 32 × 32, 23 × 45 around (0, 0).
    const [long, short] = [32 * Math.SQRT2, 32 / Math.SQRT2];
    const expected = [-long / 2, -short / 2, long / 2, short / 2, -16, -16, 16, 16, -short / 2, -long / 2, short / 2, long / 2];
    expected.forEach((value, i) => {
      expect(boxes[i]).toBeCloseTo(value, 4);
    });
    // Second row, third place, square; second level, second place, square.
    expect([...boxes.subarray(4 * 16, 4 * 17)]).toEqual([-8, -12, 24, 20]);
    expect([...boxes.subarray(4 * 22, 4 * 23)]).toEqual([-24, -32, 40, 32]);
    expect(() => makeAnchors([[2, 2]])).toThrow("makeAnchors: 1 maps for 5 strides");
  });

  it("know which of them lie on a smaller picture", () => {
    const anchors = makeAnchors([[3, 4]], { strides: [8], ratios: [1] });
    expect([...anchorsOnPicture(anchors, 17, 16)]).toEqual([1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]);
    expect([...anchorsOnPicture(anchors, 8, 32)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe("box coding", () => {
  it("finds the way back", () => {
    fc.assert(
      fc.property(boxOf, boxOf, (box, target) => {
        const coder = new BoxCoder({ means: [0.1, -0.1, 0, 0.2], stds: [0.1, 0.1, 0.2, 0.2] });
        const decoded = coder.decode(flat([box]), coder.encode(flat([box]), flat([target])));
        target.forEach((value, d) => {
          expect(decoded[d]).toBeCloseTo(value, 3);
        });
      }),
    );
  });

  it("follows the formulas, clips to the picture, and bounds the scale", () => {
    const coder = new BoxCoder({ stds: [0.1, 0.1, 0.2, 0.2] });
    const deltas = coder.encode(Float32Array.of(0, 0, 10, 20), Float32Array.of(5, 0, 25, 10));
    [(15 - 5) / 10 / 0.1, (5 - 10) / 20 / 0.1, Math.log(2) / 0.2, Math.log(0.5) / 0.2].forEach((value, d) => {
      expect(deltas[d]).toBeCloseTo(value, 5);
    });
    const wide = new BoxCoder().decode(Float32Array.of(0, 0, 16, 16), Float32Array.of(0, 0, 100, 0));
    expect(wide[2] - wide[0]).toBeCloseTo(1000, 3);
    expect([...coder.decode(Float32Array.of(0, 0, 16, 16), Float32Array.of(0, 0, 9, 9), { height: 20, width: 12 })]).toEqual([
      0, 0, 12, 20,
    ]);
  });
});

/** mmdet's MaxIoUAssigner, step by step. */
function assignedPlainly(objects: readonly Box[], boxes: readonly Box[], pos: number, neg: number, low: number | null): number[] {
  const table = objects.map((object) => boxes.map((box) => iou(object, box)));
  const result = boxes.map((_, j) => {
    const column = table.map((row) => row[j]);
    const most = Math.max(0, ...column);
    return most >= pos && most > 0 ? column.indexOf(most) : most < neg ? ground : ignored;
  });
  if (low !== null) {
    table.forEach((row, i) => {
      const most = Math.max(...row);
      if (most === 0 || most < low) return;
      row.forEach((value, j) => {
        if (value === most) result[j] = i;
      });
    });
  }
  return result;
}

describe("assignment", () => {
  it.each([
    { posIou: 0.7, negIou: 0.3, minPosIou: 0.3, matchLowQuality: true },
    { posIou: 0.5, negIou: 0.5, minPosIou: 0.5, matchLowQuality: false },
  ])("with $posIou and $negIou", (options) => {
    const { posIou, negIou, minPosIou, matchLowQuality } = options;
    fc.assert(
      fc.property(boxesOf(0, 4), boxesOf(1, 30), (objects, boxes) => {
        const got = assign(overlaps(flat(objects), flat(boxes)), boxes.length, options);
        expect([...got]).toEqual(assignedPlainly(objects, boxes, posIou, negIou, matchLowQuality ? minPosIou : null));
      }),
      { numRuns: 300 },
    );
  });

  it("leaves out what is not on the picture, also as the best match", () => {
    const boxes: Box[] = [
      [0, 0, 10, 10],
      [0, 0, 10, 6],
      [30, 30, 40, 40],
    ];
    const options = { posIou: 0.7, negIou: 0.3, minPosIou: 0.3, matchLowQuality: true };
    const overlap = overlaps(flat([[0, 0, 10, 10]]), flat(boxes));
    expect([...assign(overlap, 3, options)]).toEqual([0, ignored, ground]);
    expect([...assign(overlap, 3, options, Uint8Array.of(0, 1, 1))]).toEqual([ignored, 0, ground]);
  });
});

describe("sampling", () => {
  it("takes no more than wanted, from the right ones, each once, the same for the same key", () => {
    const kinds = fc.array(fc.constantFrom(0, 1, ground, ignored), { maxLength: 80 });
    fc.assert(
      fc.property(kinds, fc.integer({ min: 1, max: 40 }), fc.constantFrom(0.25, 0.5), fc.integer(), (list, count, posFraction, word) => {
        const assigned = Int32Array.from(list);
        const { positives, negatives } = sample(assigned, { count, posFraction }, [word, 7]);
        const [withObject, onGround] = [list.filter((v) => v >= 0).length, list.filter((v) => v === ground).length];
        expect(positives.length).toBe(Math.min(withObject, Math.floor(count * posFraction)));
        expect(negatives.length).toBe(Math.min(onGround, count - positives.length));
        expect(positives.every((i) => assigned[i] >= 0) && negatives.every((i) => assigned[i] === ground)).toBe(true);
        expect(new Set([...positives, ...negatives]).size).toBe(positives.length + negatives.length);
        expect(sample(assigned, { count, posFraction }, [word, 7])).toEqual({ positives, negatives });
      }),
    );
  });

  it("draws all alike", () => {
    const drawn = new Float64Array(20);
    const assigned = new Int32Array(20).fill(ground);
    for (let key = 0; key < 2000; key++) for (const i of sample(assigned, { count: 5, posFraction: 0.5 }, [key, 1]).negatives) drawn[i]++;
    // A quarter of 2,000 draws each, with deviation 19.4: five of them.
    for (const count of drawn) expect(Math.abs(count - 500)).toBeLessThan(97);
  });
});

describe("ranking", () => {
  it("goes by rounded score, then by number", () => {
    expect([...ranked(Float32Array.of(0.5, 0.50001, 0.9, 0.2))]).toEqual([2, 0, 1, 3]);
    expect([...ranked(Float32Array.of(9, 0.1, 0.3, 0.2, 9), 1, 3, 2)]).toEqual([2, 3]);
    expect([...ranked(Float32Array.of(0.04, 0.06, 0.05), 0, 3, 3, 0.05)]).toEqual([1, 2]);
  });
});

describe("masks", () => {
  const [height, width] = [14, 18];
  const bitmapOf = fc.array(fc.integer({ min: 0, max: 1 }), { minLength: height * width, maxLength: height * width });

  it("are cut out as roiAlign does it", async () => {
    await fc.assert(
      fc.asyncProperty(bitmapOf, boxOf, async (bitmap, even) => {
        // Off the lattice, where a sample may lie on the very edge of what counts.
        const box = even.map((side, d) => side + 0.0131 * (d + 1));
        const mask = Uint8Array.from(bitmap);
        const cut = new Float32Array(36);
        cropMask(mask, { height, width }, box, 6, cut);
        const map = tensor(Float64Array.from(bitmap), { shape: [1, 1, height, width] });
        const want = await roiAlign(map, tensor(Float64Array.of(0, ...box), { shape: [1, 5] }), 6, { aligned: true }).data();
        // What is exactly half may be rounded either way.
        want.forEach((value, i) => void (Math.abs(value - 0.5) > 1e-9 && expect(cut[i]).toBe(value > 0.5 ? 1 : 0)));
      }),
      { numRuns: 25 },
    );
  });

  it("are pasted as the definition says", () => {
    const values = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 25, maxLength: 25 });
    fc.assert(
      fc.property(values, boxOf, (percent, box) => {
        const mask = percent.map((v) => v / 100);
        const got = pasteMask(mask, 5, box, { height, width });
        const at = (y: number, x: number): number => (y < 0 || x < 0 || y > 4 || x > 4 ? 0 : mask[5 * y + x]);
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++) {
            const v = ((y + 0.5 - box[1]) / (box[3] - box[1])) * 5 - 0.5;
            const u = ((x + 0.5 - box[0]) / (box[2] - box[0])) * 5 - 0.5;
            let sum = 0;
            for (const i of [Math.floor(v), Math.floor(v) + 1])
              for (const j of [Math.floor(u), Math.floor(u) + 1]) sum += (1 - Math.abs(v - i)) * (1 - Math.abs(u - j)) * at(i, j);
            if (Math.abs(sum - 0.5) > 1e-9) expect(got[y * width + x]).toBe(sum > 0.5 ? 1 : 0);
          }
      }),
    );
  });

  it("come back much as they were", () => {
    const disc = Uint8Array.from({ length: 60 * 60 }, (_, i) => (((i % 60) - 30) ** 2 + (Math.floor(i / 60) - 28) ** 2 < 18 ** 2 ? 1 : 0));
    const box: Box = [12, 10, 49, 47];
    const cut = new Float32Array(28 * 28);
    cropMask(disc, { height: 60, width: 60 }, box, 28, cut);
    const back = pasteMask(cut, 28, box, { height: 60, width: 60 });
    const count = (keep: (i: number) => boolean): number => disc.reduce((n, _, i) => n + (keep(i) ? 1 : 0), 0);
    const both = count((i) => disc[i] === 1 && back[i] === 1);
    expect(both / count((i) => disc[i] === 1 || back[i] === 1)).toBeGreaterThan(0.95);
  });
});
