/**
 * COCO's measures of detection: average precision and recall of boxes and masks, by the rules of pycocotools.
 *
 * Original: cocoapi's `PythonAPI/pycocotools/cocoeval.py`.
 */
import { OpError } from "../engine/errors.js";
import { encodeRle, type Rle, rleArea, rleIou } from "./data/mask.js";
import type { Detections, Scene } from "./data/scene.js";

/** The twelve lines that pycocotools prints; −1 where there is nothing to find. */
export interface CocoLines {
  /** Average precision over ten thresholds of overlap, from 0.5 to 0.95, and at two of them. */
  readonly AP: number;
  readonly AP50: number;
  readonly AP75: number;
  /** Of small (up to 32²), medium and large (from 96² pixels) instances. */
  readonly APs: number;
  readonly APm: number;
  readonly APl: number;
  /** Average recall with up to 1, 10 and 100 detections a picture. */
  readonly AR1: number;
  readonly AR10: number;
  readonly AR100: number;
  readonly ARs: number;
  readonly ARm: number;
  readonly ARl: number;
}

/** The lines, and the first two of each category. */
export interface CocoResult extends CocoLines {
  /** By category: AP and AP50. */
  readonly perClass: readonly { readonly AP: number; readonly AP50: number }[];
}

/** What is compared: boxes or masks. */
export type CocoKind = "bbox" | "segm";

/** What the lines are called in print. */
export const cocoLineNames: readonly (readonly [keyof CocoLines, string])[] = [
  ["AP", "AP @ IoU 0.50:0.95"],
  ["AP50", "AP @ IoU 0.50"],
  ["AP75", "AP @ IoU 0.75"],
  ["APs", "AP small"],
  ["APm", "AP medium"],
  ["APl", "AP large"],
  ["AR1", "AR, 1 detection"],
  ["AR10", "AR, 10 detections"],
  ["AR100", "AR, 100 detections"],
  ["ARs", "AR small"],
  ["ARm", "AR medium"],
  ["ARl", "AR large"],
];

/** NumPy's `linspace`. */
const linspace = (from: number, to: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i === count - 1 ? to : from + i * ((to - from) / (count - 1))));

const thresholds = linspace(0.5, 0.95, 10);
const recalls = linspace(0, 1, 101);
const most = [1, 10, 100] as const;
const areaRanges = [
  [0, 1e10],
  [0, 32 ** 2],
  [32 ** 2, 96 ** 2],
  [96 ** 2, 1e10],
] as const;

interface Truth {
  readonly area: number;
  readonly crowd: boolean;
}

/** Detections of one category in one picture, best first, matched within one range of areas. */
interface Matched {
  readonly imageId: number;
  readonly scores: readonly number[];
  /** For each threshold and detection: 1 where it has found something, and where it does not count. */
  readonly found: Uint8Array;
  readonly ignored: Uint8Array;
  /** Instances that are to be found. */
  readonly wanted: number;
}

/** Overlap over union of boxes x₀ y₀ x₁ y₁; where the second is a crowd, over the first. */
function boxIou(a: ArrayLike<number>, b: ArrayLike<number>, crowd: boolean): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const overlap = width * height;
  return overlap / (crowd ? boxArea(a) : boxArea(a) + boxArea(b) - overlap);
}

const boxArea = (box: ArrayLike<number>): number => (box[2] - box[0]) * (box[3] - box[1]);

/** Matches each detection with the instance that it overlaps most and that is still free, at each threshold. */
function match(
  imageId: number,
  truths: readonly Truth[],
  scores: readonly number[],
  areas: readonly number[],
  ious: readonly (readonly number[])[],
  [least, greatest]: readonly [number, number],
): Matched {
  const outside = (area: number): boolean => area < least || area > greatest;
  const ignore = truths.map(({ area, crowd }) => crowd || outside(area));
  // Instances that do not count come last.
  const order = [...truths.keys()].sort((a, b) => Number(ignore[a]) - Number(ignore[b]) || a - b);
  const n = scores.length;
  const found = new Uint8Array(thresholds.length * n);
  const ignored = new Uint8Array(thresholds.length * n);
  thresholds.forEach((threshold, t) => {
    const taken = new Uint8Array(truths.length);
    for (let d = 0; d < n; d++) {
      let best = Math.min(threshold, 1 - 1e-10);
      let chosen = -1;
      for (const g of order) {
        // A crowd may be found any number of times.
        if (taken[g] === 1 && !truths[g].crowd) continue;
        if (chosen > -1 && !ignore[chosen] && ignore[g]) break;
        if (ious[d][g] < best) continue;
        best = ious[d][g];
        chosen = g;
      }
      if (chosen > -1) {
        taken[chosen] = 1;
        found[t * n + d] = 1;
      }
      if (chosen > -1 ? ignore[chosen] : outside(areas[d])) ignored[t * n + d] = 1;
    }
  });
  return { imageId, scores, found, ignored, wanted: ignore.filter((left) => !left).length };
}

/** Gathers detections beside the truth, picture by picture. */
export class CocoEvaluator {
  readonly #categories: number;
  readonly #kinds: readonly CocoKind[];
  /** [kind][category][range of areas] */
  readonly #matched: ReadonlyMap<CocoKind, Matched[][][]>;
  readonly #seen = new Set<number>();

  constructor(categories: number, { kinds = ["bbox"] }: { readonly kinds?: readonly CocoKind[] } = {}) {
    this.#categories = categories;
    this.#kinds = kinds;
    this.#matched = new Map(kinds.map((kind) => [kind, Array.from({ length: categories }, () => areaRanges.map(() => []))]));
  }

  /** A picture, in the pixels of which both are. Throws OpError for a picture that was added, unknown categories, and missing masks. */
  add(truth: Scene, found: Detections): void {
    const { imageId } = truth;
    const refuse = (why: string): OpError => new OpError("CocoEvaluator", `image ${imageId}: ${why}`);
    if (found.imageId !== imageId) throw refuse(`the detections are of image ${found.imageId}`);
    if (this.#seen.has(imageId)) throw refuse("it was added before");
    this.#seen.add(imageId);
    const strange = [...truth.labels, ...found.labels].find((label) => !(label >= 0 && label < this.#categories));
    if (strange !== undefined) throw refuse(`there is no category ${strange} of ${this.#categories}`);
    for (const kind of this.#kinds) {
      if (kind === "segm" && found.masks === undefined && found.labels.length > 0) throw refuse("the detections have no masks");
      const shapes = kind === "bbox" ? boxShapes(truth, found) : maskShapes(truth, found);
      for (const label of new Set([...truth.labels, ...found.labels])) {
        const gt = [...truth.labels.keys()].filter((i) => truth.labels[i] === label);
        const dt = [...found.labels.keys()]
          .filter((i) => found.labels[i] === label)
          .sort((a, b) => found.scores[b] - found.scores[a] || a - b)
          .slice(0, most[most.length - 1]);
        const truths = gt.map((i) => ({ area: truth.areas[i], crowd: truth.iscrowd[i] === 1 }));
        const ious = dt.map((d) => gt.map((g, i) => shapes.iou(d, g, truths[i].crowd)));
        const [scores, areas] = [dt.map((d) => found.scores[d]), dt.map(shapes.area)];
        areaRanges.forEach((range, a) => {
          this.#matched.get(kind)?.[label][a].push(match(imageId, truths, scores, areas, ious, range));
        });
      }
    }
  }

  /** The lines over all pictures that were added. */
  result(kind: CocoKind): CocoResult {
    const matched = this.#matched.get(kind);
    if (matched === undefined) throw new OpError("CocoEvaluator", `it was made for ${this.#kinds.join(" and ")}, not for ${kind}`);
    // [category][range][greatest number of detections]
    const curves = matched.map((ranges) => ranges.map((pictures) => most.map((limit) => curve(pictures, limit))));
    const precision = (a: number, of = curves, threshold: number | null = null): number =>
      mean(
        of.flatMap((ranges) => {
          const found = ranges[a][2];
          if (found === null) return [];
          return threshold === null ? found.precision.flat() : found.precision[threshold];
        }),
      );
    const recall = (a: number, m: number): number => mean(curves.flatMap((ranges) => ranges[a][m]?.recall ?? []));
    return {
      AP: precision(0),
      AP50: precision(0, curves, 0),
      AP75: precision(0, curves, 5),
      APs: precision(1),
      APm: precision(2),
      APl: precision(3),
      AR1: recall(0, 0),
      AR10: recall(0, 1),
      AR100: recall(0, 2),
      ARs: recall(1, 2),
      ARm: recall(2, 2),
      ARl: recall(3, 2),
      perClass: curves.map((own) => ({ AP: precision(0, [own]), AP50: precision(0, [own], 0) })),
    };
  }
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? -1 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** How shapes of detections and truths are measured. */
interface Shapes {
  readonly iou: (detection: number, truth: number, crowd: boolean) => number;
  readonly area: (detection: number) => number;
}

function boxShapes(truth: Scene, found: Detections): Shapes {
  const box = (boxes: Float32Array, i: number): Float32Array => boxes.subarray(4 * i, 4 * i + 4);
  return {
    iou: (d, g, crowd) => boxIou(box(found.boxes, d), box(truth.boxes, g), crowd),
    area: (d) => boxArea(box(found.boxes, d)),
  };
}

function maskShapes(truth: Scene, found: Detections): Shapes {
  const { width, height } = truth.image;
  const encoded = (masks: readonly Uint8Array[]): ((i: number) => Rle) => {
    const known = new Map<number, Rle>();
    return (i) => {
      const rle = known.get(i) ?? encodeRle(masks[i], height, width);
      known.set(i, rle);
      return rle;
    };
  };
  const [detections, truths] = [encoded(found.masks ?? []), encoded(truth.masks)];
  return { iou: (d, g, crowd) => rleIou(detections(d), truths(g), crowd), area: (d) => rleArea(detections(d)) };
}

interface Curve {
  /** [threshold][recall] */
  readonly precision: number[][];
  /** [threshold] */
  readonly recall: number[];
}

/** Precision at 101 recalls, with at most `limit` detections a picture; null where there is nothing to find. */
function curve(pictures: readonly Matched[], limit: number): Curve | null {
  const sorted = [...pictures].sort((a, b) => a.imageId - b.imageId);
  const wanted = sorted.reduce((sum, picture) => sum + picture.wanted, 0);
  if (wanted === 0) return null;
  const all = sorted.flatMap((picture) => picture.scores.slice(0, limit).map((score, d) => ({ picture, score, d })));
  const order = [...all.keys()].sort((a, b) => all[b].score - all[a].score || a - b);
  const precision: number[][] = [];
  const recall: number[] = [];
  thresholds.forEach((_, t) => {
    let [right, wrong] = [0, 0];
    const [recalled, precise] = [new Float64Array(order.length), new Float64Array(order.length)];
    order.forEach((k, i) => {
      const { picture, d } = all[k];
      const at = t * picture.scores.length + d;
      if (picture.ignored[at] === 0) {
        if (picture.found[at] === 1) right++;
        else wrong++;
      }
      recalled[i] = right / wanted;
      precise[i] = right / (right + wrong + Number.EPSILON);
    });
    recall.push(order.length === 0 ? 0 : recalled[order.length - 1]);
    for (let i = order.length - 1; i > 0; i--) precise[i - 1] = Math.max(precise[i - 1], precise[i]);
    let i = 0;
    precision.push(
      recalls.map((least) => {
        while (i < order.length && recalled[i] < least) i++;
        return i < order.length ? precise[i] : 0;
      }),
    );
  });
  return { precision, recall };
}
