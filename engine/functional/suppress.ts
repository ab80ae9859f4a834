/** Greedy suppression of boxes, on the host. */
import type { TypedArray } from "../dtype.js";

export interface SuppressOptions {
  /** Boxes of different groups do not suppress one another: a number for each box. */
  readonly groups?: TypedArray | null;
  /** Ends once so many are kept. Default: none. */
  readonly most?: number;
}

/**
 * Takes the boxes [n, 4] (left, top, right, bottom) in `order`; drops each that overlaps one taken before, of its group, by more than the
 * threshold. Returns the numbers of those taken.
 */
export function suppress(boxes: TypedArray, order: ArrayLike<number>, threshold: number, options: SuppressOptions = {}): number[] {
  const { groups = null, most = Number.POSITIVE_INFINITY } = options;
  const area = (i: number): number => (boxes[4 * i + 2] - boxes[4 * i]) * (boxes[4 * i + 3] - boxes[4 * i + 1]);
  const shared = (i: number, j: number, d: number): number =>
    Math.max(0, Math.min(boxes[4 * i + d + 2], boxes[4 * j + d + 2]) - Math.max(boxes[4 * i + d], boxes[4 * j + d]));
  const taken: number[] = [];
  const suppresses = (i: number, j: number): boolean => {
    if (groups !== null && groups[i] !== groups[j]) return false;
    const common = shared(i, j, 0) * shared(i, j, 1);
    return common / (area(i) + area(j) - common) > threshold;
  };
  for (let at = 0; at < order.length && taken.length < most; at++) {
    const j = order[at];
    if (!taken.some((i) => suppresses(i, j))) taken.push(j);
  }
  return taken;
}
