/** Boxes as rows of four numbers: areas, overlaps, and the suppression of those that overlap better ones. */
import { isFloating, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { checkTensor } from "../ops/check.js";
import { hostCall } from "../ops/host.js";
import { showShape } from "../shape.js";
import { fromHost, type Tensor } from "../tensor.js";
import { add, clamp, div, maximum, minimum, mul, sub } from "./elementwise.js";
import { narrow, select, stack, unsqueeze } from "./movement.js";
import { suppress } from "./suppress.js";

function checkBoxes(op: string, boxes: Tensor, name = "boxes"): void {
  checkTensor(op, boxes, name);
  if (boxes.ndim !== 2 || boxes.shape[1] !== 4)
    throw new OpError(op, `${name} has shape ${showShape(boxes.shape)}; expected [N, 4], rows of (x1, y1, x2, y2)`);
  if (!isFloating(boxes.dtype))
    throw new OpError(op, `${name} has dtype ${boxes.dtype}; expected float32 or float64; cast it with to(dtype)`);
}

/** (x2 − x1) · (y2 − y1) of rows (x1, y1, x2, y2): [N, 4] → [N]. Reference: torchvision.ops.box_area. */
export function boxArea(boxes: Tensor): Tensor {
  checkBoxes("boxArea", boxes);
  const side = (d: number): Tensor => sub(select(boxes, 1, d + 2), select(boxes, 1, d));
  return mul(side(0), side(1));
}

/** Widths times heights of corners [N, M, 2], where negative ones count as 0. */
function extent(low: Tensor, high: Tensor): Tensor {
  const sides = clamp(sub(high, low), { min: 0 });
  return mul(select(sides, 2, 0), select(sides, 2, 1));
}

/** Corners of every box of one list beside those of the other: lower [N, 1, 2] and [1, M, 2], upper likewise. */
function corners(a: Tensor, b: Tensor): { low: [Tensor, Tensor]; high: [Tensor, Tensor] } {
  const part = (start: number): [Tensor, Tensor] => [unsqueeze(narrow(a, 1, start, 2), 1), unsqueeze(narrow(b, 1, start, 2), 0)];
  return { low: part(0), high: part(2) };
}

function overlap(op: string, a: Tensor, b: Tensor): { iou: Tensor; union: Tensor } {
  checkBoxes(op, a, "boxes1");
  checkBoxes(op, b, "boxes2");
  const { low, high } = corners(a, b);
  const shared = extent(maximum(...low), minimum(...high));
  const union = sub(add(unsqueeze(boxArea(a), 1), unsqueeze(boxArea(b), 0)), shared);
  return { iou: div(shared, union), union };
}

/** Shared area over joint area of every pair: [N, 4], [M, 4] → [N, M]; NaN for two boxes without area. Reference: torchvision.ops.box_iou. */
export function boxIou(boxes1: Tensor, boxes2: Tensor): Tensor {
  return overlap("boxIou", boxes1, boxes2).iou;
}

/**
 * `boxIou` less the part of the smallest box around both that neither covers, −1 to 1: [N, 4], [M, 4] → [N, M].
 * Reference: torchvision.ops.generalized_box_iou; Rezatofighi et al. (2019).
 */
export function generalizedBoxIou(boxes1: Tensor, boxes2: Tensor): Tensor {
  const { iou, union } = overlap("generalizedBoxIou", boxes1, boxes2);
  const { low, high } = corners(boxes1, boxes2);
  const around = extent(minimum(...low), maximum(...high));
  return sub(iou, div(sub(around, union), around));
}

/** Corners; corner and size; centre and size. */
export type BoxFormat = "xyxy" | "xywh" | "cxcywh";

/** Boxes [..., 4] in another format. Reference: torchvision.ops.box_convert. */
export function boxConvert(boxes: Tensor, inFmt: BoxFormat, outFmt: BoxFormat): Tensor {
  checkTensor("boxConvert", boxes, "boxes");
  if (boxes.ndim === 0 || boxes.shape[boxes.ndim - 1] !== 4)
    throw new OpError("boxConvert", `boxes has shape ${showShape(boxes.shape)}; expected [..., 4]`);
  for (const format of [inFmt, outFmt]) {
    if (!["xyxy", "xywh", "cxcywh"].includes(format))
      throw new OpError("boxConvert", `"${String(format)}" is no format; expected "xyxy", "xywh" or "cxcywh"`);
  }
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => select(boxes, -1, i));
  const both = (x: [Tensor, Tensor], y: [Tensor, Tensor]): Tensor => stack([x[0], y[0], x[1], y[1]], { dim: -1 });
  const along = (first: Tensor, second: Tensor): [Tensor, Tensor] => {
    const low = inFmt === "cxcywh" ? sub(first, div(second, 2)) : first;
    const high = inFmt === "xyxy" ? second : inFmt === "xywh" ? add(first, second) : add(first, div(second, 2));
    if (outFmt === "xyxy") return [low, high];
    return [outFmt === "xywh" ? low : div(add(low, high), 2), sub(high, low)];
  };
  return inFmt === outFmt ? add(boxes, 0) : both(along(a, c), along(b, d));
}

/** Boxes kept, in order of falling scores: the first `count` of the indices are meant, the others are -1. */
interface Kept {
  readonly indices: Tensor;
  readonly count: Tensor;
}

/** Numbers of the scores from the best to the worst, NaN first; among equal ones the first goes first. */
function bestFirst(scores: TypedArray): number[] {
  const better = (a: number, b: number): boolean => !Number.isNaN(b) && (Number.isNaN(a) || a > b);
  return Array.from(scores, (_, i) => i).sort((i, j) => (better(scores[i], scores[j]) ? -1 : better(scores[j], scores[i]) ? 1 : i - j));
}

function keptOf(op: string, boxes: Tensor, scores: Tensor, groups: Tensor | null, iouThreshold: number): Kept {
  checkBoxes(op, boxes);
  const n = boxes.shape[0];
  checkTensor(op, scores, "scores");
  for (const [name, list] of [["scores", scores] as const, ...(groups === null ? [] : [["idxs", groups] as const])]) {
    if (list.ndim !== 1 || list.shape[0] !== n)
      throw new OpError(
        op,
        `${name} has shape ${showShape(list.shape)}; expected [${n}], one for each of the boxes ${showShape(boxes.shape)}`,
      );
  }
  if (typeof iouThreshold !== "number" || Number.isNaN(iouThreshold))
    throw new OpError(op, `iouThreshold must be a number; got ${String(iouThreshold)}`);
  const [indices, count] = hostCall(
    ([b, s, g]) => {
      const taken = suppress(b, bestFirst(s), iouThreshold, { groups: g ?? null });
      const padded = new Int32Array(n).fill(-1);
      padded.set(taken);
      return [padded, Int32Array.of(taken.length)];
    },
    [boxes, scores, ...(groups === null ? [] : [groups])],
    [
      { shape: [n], dtype: "int32" },
      { shape: [], dtype: "int32" },
    ],
    { name: op },
  );
  return { indices, count };
}

async function read({ indices, count }: Kept): Promise<Tensor> {
  const [values, [n]] = await Promise.all([indices.data(), count.data()]);
  return fromHost(Int32Array.from(values.subarray(0, n)), [n], "int32", indices.device);
}

/**
 * Indices (int32) of the boxes [N, 4] that stay when every box that overlaps a better one by more than `iouThreshold` goes, in order of
 * falling scores; among equal scores the first goes first. How many stay depends on the values, so that it is a promise; inside a graph
 * use `nmsPadded`. Reference: torchvision.ops.nms.
 */
export async function nms(boxes: Tensor, scores: Tensor, iouThreshold: number): Promise<Tensor> {
  return read(keptOf("nms", boxes, scores, null, iouThreshold));
}

/** `nms` among the boxes of one group (`idxs`, [N]) each. Reference: torchvision.ops.batched_nms. */
export async function batchedNms(boxes: Tensor, scores: Tensor, idxs: Tensor, iouThreshold: number): Promise<Tensor> {
  checkTensor("batchedNms", idxs, "idxs");
  return read(keptOf("batchedNms", boxes, scores, idxs, iouThreshold));
}

/** `nms`, or with `idxs` `batchedNms`, with a shape known beforehand: [N] indices, of which the first `count` (rank 0) are meant; the others are -1. */
export function nmsPadded(boxes: Tensor, scores: Tensor, iouThreshold: number, options?: { readonly idxs?: Tensor | null }): Kept {
  const idxs = options?.idxs ?? null;
  if (idxs !== null) checkTensor("nmsPadded", idxs, "idxs");
  return keptOf("nmsPadded", boxes, scores, idxs, iouThreshold);
}
