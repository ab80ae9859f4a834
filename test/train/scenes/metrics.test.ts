/** COCO's lines and the table of classes: cases by hand, edges, and a literal reading of pycocotools beside them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../../../index.js";
import type { Detections, Scene } from "../../../train/data/index.js";
import { CocoEvaluator, type CocoLines, SemanticEvaluator } from "../../../train/index.js";

type Box = readonly [number, number, number, number];
interface Thing {
  readonly box: Box;
  readonly label?: number;
  readonly crowd?: boolean;
  readonly area?: number;
}
interface Found {
  readonly box: Box;
  readonly score: number;
  readonly label?: number;
}

const side = 160;
const areaOf = ([x0, y0, x1, y1]: Box): number => (x1 - x0) * (y1 - y0);

function bitmap([x0, y0, x1, y1]: Box): Uint8Array {
  const mask = new Uint8Array(side * side);
  for (let y = y0; y < y1; y++) mask.fill(1, y * side + x0, y * side + x1);
  return mask;
}

function scene(imageId: number, things: readonly Thing[]): Scene {
  return {
    image: { width: side, height: side, channels: 3, data: new Uint8Array(0) },
    imageId,
    boxes: Float32Array.from(things.flatMap(({ box }) => [...box])),
    labels: Int32Array.from(things, ({ label = 0 }) => label),
    get masks() {
      return things.map(({ box }) => bitmap(box));
    },
    iscrowd: Uint8Array.from(things, ({ crowd = false }) => Number(crowd)),
    areas: Float32Array.from(things, ({ box, area }) => area ?? areaOf(box)),
  };
}

function detections(imageId: number, found: readonly Found[]): Detections {
  return {
    imageId,
    boxes: Float32Array.from(found.flatMap(({ box }) => [...box])),
    scores: Float32Array.from(found, ({ score }) => score),
    labels: Int32Array.from(found, ({ label = 0 }) => label),
    masks: found.map(({ box }) => bitmap(box)),
  };
}

/** pycocotools adds a rounding error to what precision is divided by, so that 1 is a little less. */
const rounded = (values: CocoLines): CocoLines =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value.toFixed(12))])) as unknown as CocoLines;

/** The lines of boxes, which those of masks have to equal. */
function lines(pictures: readonly { things: readonly Thing[]; found: readonly Found[] }[]): CocoLines {
  const evaluator = new CocoEvaluator(1, { kinds: ["bbox", "segm"] });
  pictures.forEach(({ things, found }, i) => {
    evaluator.add(scene(i + 1, things), detections(i + 1, found));
  });
  const { perClass: _, ...box } = evaluator.result("bbox");
  const { perClass: __, ...mask } = evaluator.result("segm");
  // Boxes of whole pixels and their masks overlap alike.
  for (const [name, value] of Object.entries(box)) expect(mask[name as keyof CocoLines], name).toBeCloseTo(value, 12);
  return rounded(box);
}

const a: Box = [10, 10, 50, 50]; // 1600 pixels: medium
const b: Box = [60, 60, 100, 100];
const far: Box = [110, 110, 150, 150];
const all = (value: number) => ({ AP: value, AP50: value, AP75: value, AR1: value, AR10: value, AR100: value });

describe("CocoEvaluator", () => {
  it("gives 1 for what is found exactly, and −1 for sizes that there are none of", () => {
    expect(lines([{ things: [{ box: a }], found: [{ box: a, score: 0.9 }] }])).toEqual({
      ...all(1),
      APs: -1,
      APm: 1,
      APl: -1,
      ARs: -1,
      ARm: 1,
      ARl: -1,
    });
  });

  it("gives 0 where nothing is found, and −1 where there is nothing to find", () => {
    expect(lines([{ things: [{ box: a }], found: [] }])).toMatchObject(all(0));
    expect(lines([{ things: [], found: [{ box: a, score: 0.9 }] }])).toMatchObject(all(-1));
    expect(lines([{ things: [], found: [] }])).toMatchObject(all(-1));
    expect(new CocoEvaluator(2).result("bbox")).toMatchObject(all(-1));
  });

  it("measures overlap at ten thresholds", () => {
    // 40 × 30 of 40 × 40: 0.75, reached at 0.5, 0.55, … 0.75.
    const found = [{ box: [10, 10, 50, 40] as const, score: 0.9 }];
    expect(lines([{ things: [{ box: a }], found }])).toMatchObject({ AP50: 1, AP75: 1, AP: 0.6, AR100: 0.6 });
    expect(lines([{ things: [{ box: a }], found: [{ box: [10, 10, 50, 29], score: 0.9 }] }])).toMatchObject({ AP: 0, AP50: 0 });
  });

  it("takes precision at 101 recalls, each the best from there on", () => {
    // Right, wrong, right of two: precision 1 up to recall 0.5 (51 places), then 2/3.
    const found = [
      { box: a, score: 0.9 },
      { box: far, score: 0.8 },
      { box: b, score: 0.7 },
    ];
    expect(lines([{ things: [{ box: a }, { box: b }], found }]).AP50).toBeCloseTo((51 + (50 * 2) / 3) / 101, 12);
    // Wrong first: precision 1/2, then 2/3, which holds for lower recalls as well.
    const late = [{ box: far, score: 0.95 }, ...found.filter(({ score }) => score !== 0.8)];
    expect(lines([{ things: [{ box: a }, { box: b }], found: late }]).AP50).toBeCloseTo(2 / 3, 12);
  });

  it("counts a second detection of the same thing as wrong", () => {
    const found = [
      { box: a, score: 0.9 },
      { box: a, score: 0.8 },
      { box: b, score: 0.7 },
    ];
    const { AP50, AR1, AR10 } = lines([{ things: [{ box: a }, { box: b }], found }]);
    expect(AP50).toBeCloseTo((51 + (50 * 2) / 3) / 101, 12);
    expect([AR1, AR10]).toEqual([0.5, 1]);
  });

  it("does not count what is found in a crowd, any number of times", () => {
    const crowd: Thing = { box: [60, 60, 140, 140], crowd: true };
    const inside: Found[] = [
      { box: [70, 70, 90, 90], score: 0.95 },
      { box: [100, 100, 130, 130], score: 0.9 },
    ];
    const found = [...inside, { box: a, score: 0.5 }];
    expect(lines([{ things: [crowd, { box: a }], found }])).toMatchObject({ AP: 1, AR100: 1 });
    // A thing that counts goes before the crowd around it.
    const things: Thing[] = [crowd, { box: [70, 70, 90, 90] }];
    expect(lines([{ things, found: [inside[0]] }])).toMatchObject({ AP: 1 });
    expect(lines([{ things: [crowd], found: inside }])).toMatchObject({ AP: -1 });
  });

  it("leaves out what is of another size, found or not", () => {
    const small: Box = [0, 0, 10, 10];
    const things: Thing[] = [{ box: small }, { box: a }, { box: [0, 0, 150, 150], area: 22500 }];
    const found: Found[] = [
      { box: [0, 0, 150, 150], score: 0.9 },
      { box: a, score: 0.8 },
      // A small one that is nowhere: wrong among all and among the small, of no account among the others.
      { box: [120, 120, 130, 130], score: 0.85 },
    ];
    const result = lines([{ things, found }]);
    expect([result.APs, result.APm, result.APl]).toEqual([0, 1, 1]);
    expect([result.ARs, result.ARm, result.ARl]).toEqual([0, 1, 1]);
    expect(result.AP50).toBeCloseTo((34 + (33 * 2) / 3) / 101, 12);
    // The annotation's area decides, not the box's.
    expect(lines([{ things: [{ box: a, area: 900 }], found: [{ box: a, score: 1 }] }])).toMatchObject({ APs: 1, APm: -1 });
  });

  it("averages over the categories that there are, and has each by itself", () => {
    const evaluator = new CocoEvaluator(3);
    evaluator.add(
      scene(1, [{ box: a }, { box: b, label: 2 }]),
      detections(1, [
        { box: a, score: 0.9 },
        { box: a, score: 0.9, label: 1 },
        { box: far, score: 0.9, label: 2 },
      ]),
    );
    const { AP, perClass } = evaluator.result("bbox");
    expect(AP).toBeCloseTo(0.5, 12);
    expect(perClass.map((own) => Number(own.AP.toFixed(12)))).toEqual([1, -1, 0]);
  });

  it("puts equal scores in the order of pictures, then of detections", () => {
    const right = { things: [{ box: a }], found: [{ box: a, score: 0.5 }] };
    const wrong = { things: [{ box: b }], found: [{ box: a, score: 0.5 }] };
    const half = 51 / 101;
    expect(lines([right, wrong]).AP50).toBeCloseTo(half, 12);
    expect(lines([wrong, right]).AP50).toBeCloseTo(half / 2, 12);
    // Added in another order they are sorted by their numbers.
    const evaluator = new CocoEvaluator(1);
    evaluator.add(scene(9, right.things), detections(9, right.found));
    evaluator.add(scene(4, wrong.things), detections(4, wrong.found));
    expect(evaluator.result("bbox").AP50).toBeCloseTo(half / 2, 12);
  });

  it("looks at the hundred best of a category", () => {
    const noise = Array.from({ length: 100 }, (_, i) => ({ box: far, score: 0.9 - i * 1e-3 }));
    expect(lines([{ things: [{ box: a }], found: [...noise, { box: a, score: 0.1 }] }])).toMatchObject({ AP: 0, AR100: 0 });
    const result = lines([{ things: [{ box: a }], found: [...noise.slice(1), { box: a, score: 0.1 }] }]);
    expect([result.AR10, result.AR100]).toEqual([0, 1]);
    expect(result.AP).toBeCloseTo(0.01, 12);
  });

  it("refuses what does not belong together", () => {
    const evaluator = new CocoEvaluator(1, { kinds: ["segm"] });
    expect(() => evaluator.add(scene(1, []), detections(2, []))).toThrow("image 1: the detections are of image 2");
    expect(() => evaluator.add(scene(1, [{ box: a, label: 1 }]), detections(1, []))).toThrow("there is no category 1 of 1");
    const { masks: _, ...boxes } = detections(3, [{ box: a, score: 1 }]);
    expect(() => evaluator.add(scene(3, []), boxes)).toThrow("image 3: the detections have no masks");
    evaluator.add(scene(5, []), detections(5, []));
    expect(() => evaluator.add(scene(5, []), detections(5, []))).toThrow("image 5: it was added before");
    expect(() => evaluator.result("bbox")).toThrow("it was made for segm, not for bbox");
  });

  it("agrees with pycocotools read word by word", () => {
    const coordinate = fc.integer({ min: 0, max: 8 }).map((i) => 10 * i);
    const box = fc
      .tuple(coordinate, coordinate, fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 7 }))
      .map(([x, y, w, h]): Box => [x, y, x + 10 * w, y + 10 * h]);
    const thing = fc.record({ box, label: fc.integer({ min: 0, max: 1 }), crowd: fc.integer({ min: 0, max: 5 }).map((i) => i === 0) });
    const found = fc.record({ box, label: fc.integer({ min: 0, max: 1 }), score: fc.integer({ min: 1, max: 4 }).map((i) => i / 4) });
    const picture = fc.record({ things: fc.array(thing, { maxLength: 5 }), found: fc.array(found, { maxLength: 12 }) });
    fc.assert(
      fc.property(fc.array(picture, { minLength: 1, maxLength: 4 }), (pictures) => {
        const evaluator = new CocoEvaluator(2);
        pictures.forEach(({ things, found: said }, i) => {
          const { masks: _, ...boxes } = detections(i + 1, said);
          evaluator.add(scene(i + 1, things), boxes);
        });
        const given = evaluator.result("bbox");
        for (const [name, value] of Object.entries(reference(pictures, 2)))
          expect(given[name as keyof CocoLines], name).toBeCloseTo(value, 12);
      }),
      { numRuns: 60 },
    );
  });
});

/** cocoeval.py: evaluateImg, accumulate and summarize, in plain lists. */
function reference(
  pictures: readonly { things: readonly Required<Omit<Thing, "area">>[]; found: readonly Required<Found>[] }[],
  classes: number,
): CocoLines {
  const iouThrs = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95];
  const recThrs = Array.from({ length: 101 }, (_, i) => i * 0.01);
  const areaRng = { all: [0, 1e10], small: [0, 1024], medium: [1024, 9216], large: [9216, 1e10] } as const;
  const iouOf = (d: Box, g: Box, crowd: boolean): number => {
    const overlap = Math.max(0, Math.min(d[2], g[2]) - Math.max(d[0], g[0])) * Math.max(0, Math.min(d[3], g[3]) - Math.max(d[1], g[1]));
    return overlap / (crowd ? areaOf(d) : areaOf(d) + areaOf(g) - overlap);
  };
  const evaluateImg = (picture: (typeof pictures)[number], category: number, [low, high]: readonly [number, number]) => {
    const gt = picture.things
      .filter(({ label }) => label === category)
      .map((g) => ({ ...g, ignore: g.crowd || areaOf(g.box) < low || areaOf(g.box) > high }));
    const dt = picture.found.filter(({ label }) => label === category);
    if (gt.length === 0 && dt.length === 0) return null;
    gt.sort((x, y) => Number(x.ignore) - Number(y.ignore));
    dt.sort((x, y) => y.score - x.score);
    const dtm = iouThrs.map(() => dt.map(() => 0));
    const dtIg = iouThrs.map(() => dt.map(() => false));
    iouThrs.forEach((t, tind) => {
      const gtm = gt.map(() => 0);
      dt.forEach((d, dind) => {
        let iou = Math.min(t, 1 - 1e-10);
        let m = -1;
        for (const [gind, g] of gt.entries()) {
          if (gtm[gind] > 0 && !g.crowd) continue;
          if (m > -1 && !gt[m].ignore && g.ignore) break;
          if (iouOf(d.box, g.box, g.crowd) < iou) continue;
          iou = iouOf(d.box, g.box, g.crowd);
          m = gind;
        }
        if (m === -1) {
          dtIg[tind][dind] = areaOf(d.box) < low || areaOf(d.box) > high;
          return;
        }
        dtIg[tind][dind] = gt[m].ignore;
        dtm[tind][dind] = m + 1;
        gtm[m] = dind + 1;
      });
    });
    return { dtm, dtIg, scores: dt.map(({ score }) => score), gtIg: gt.map(({ ignore }) => ignore) };
  };
  const accumulate = (range: readonly [number, number], maxDet: number) => {
    const precision: number[][] = iouThrs.map(() => []);
    const recall: number[][] = iouThrs.map(() => []);
    for (let k = 0; k < classes; k++) {
      const E = pictures.flatMap((picture) => evaluateImg(picture, k, range) ?? []);
      const npig = E.flatMap(({ gtIg }) => gtIg).filter((ignored) => !ignored).length;
      if (npig === 0) continue;
      const scores = E.flatMap((e) => e.scores.slice(0, maxDet));
      const inds = [...scores.keys()].sort((x, y) => scores[y] - scores[x]);
      iouThrs.forEach((_, t) => {
        const dtm = E.flatMap((e) => e.dtm[t].slice(0, maxDet));
        const dtIg = E.flatMap((e) => e.dtIg[t].slice(0, maxDet));
        let [tp, fp] = [0, 0];
        const [rc, pr]: [number[], number[]] = [[], []];
        for (const i of inds) {
          if (dtm[i] > 0 && !dtIg[i]) tp++;
          if (dtm[i] === 0 && !dtIg[i]) fp++;
          rc.push(tp / npig);
          pr.push(tp / (fp + tp + 2.220446049250313e-16));
        }
        recall[t].push(rc.at(-1) ?? 0);
        for (let i = pr.length - 1; i > 0; i--) if (pr[i] > pr[i - 1]) pr[i - 1] = pr[i];
        for (const r of recThrs) {
          const at = rc.findIndex((value) => value >= r);
          precision[t].push(at === -1 ? 0 : pr[at]);
        }
      });
    }
    return { precision, recall };
  };
  const mean = (values: readonly number[]): number => (values.length === 0 ? -1 : values.reduce((x, y) => x + y, 0) / values.length);
  const ap = (range: keyof typeof areaRng, t?: number): number => {
    const { precision } = accumulate(areaRng[range], 100);
    return mean(t === undefined ? precision.flat() : precision[t]);
  };
  const ar = (range: keyof typeof areaRng, maxDet: number): number => mean(accumulate(areaRng[range], maxDet).recall.flat());
  return {
    AP: ap("all"),
    AP50: ap("all", 0),
    AP75: ap("all", 5),
    APs: ap("small"),
    APm: ap("medium"),
    APl: ap("large"),
    AR1: ar("all", 1),
    AR10: ar("all", 10),
    AR100: ar("all", 100),
    ARs: ar("small", 100),
    ARm: ar("medium", 100),
    ARl: ar("large", 100),
  };
}

describe("SemanticEvaluator", () => {
  it("gives overlap and accuracy of each class, and their means", () => {
    const evaluator = new SemanticEvaluator(3);
    // Class 0: four pixels of which three are told, one taken for 1; class 1: two, both told; class 2: two, one taken for 0.
    evaluator.add([0, 0, 0, 0, 1], [0, 0, 0, 1, 1]);
    evaluator.add(Uint8Array.of(1, 2, 2, 255), Uint8Array.of(1, 2, 0, 2));
    const { aAcc, mIoU, mAcc, perClass } = evaluator.result();
    expect(perClass).toEqual([
      { iou: 3 / 5, acc: 3 / 4 },
      { iou: 2 / 3, acc: 1 },
      { iou: 1 / 2, acc: 1 / 2 },
    ]);
    expect([aAcc, mIoU, mAcc]).toEqual([6 / 8, (3 / 5 + 2 / 3 + 1 / 2) / 3, (3 / 4 + 1 + 1 / 2) / 3]);
  });

  it("leaves classes out of the means that are nowhere", () => {
    const evaluator = new SemanticEvaluator(4);
    evaluator.add([0, 0, 1], [0, 0, 3]);
    // 3 was said and is not: its overlap is 0, its accuracy unknown; 2 is neither.
    const { mIoU, mAcc, perClass } = evaluator.result();
    expect(perClass[2]).toEqual({ iou: Number.NaN, acc: Number.NaN });
    expect(perClass[3]).toEqual({ iou: 0, acc: Number.NaN });
    expect([mIoU, mAcc]).toEqual([1 / 3, 1 / 2]);
    expect(new SemanticEvaluator(2).result().mIoU).toBeNaN();
  });

  it("refuses pixels that do not belong together", () => {
    expect(() => new SemanticEvaluator(2).add([0], [0, 1])).toThrow("1 pixels are known, of 2 something is said");
    expect(() => new SemanticEvaluator(2).add([0, 2], [0, 1])).toThrow("pixel 1 is of class 2 and called 1; there are 2 classes");
  });
});
