/**
 * Which object a box should learn.
 *
 * Original: mmdet's `MaxIoUAssigner`.
 */

/** Shared over joint area of every object [m, 4] with every box [n, 4]: [m, n]; 0 where both have no area. */
export function overlaps(objects: Float32Array, boxes: Float32Array): Float32Array {
  const [m, n] = [objects.length / 4, boxes.length / 4];
  const result = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    const [x1, y1, x2, y2] = objects.subarray(4 * i, 4 * i + 4);
    const area = (x2 - x1) * (y2 - y1);
    for (let j = 0, b = 0; j < n; j++, b += 4) {
      const width = Math.min(x2, boxes[b + 2]) - Math.max(x1, boxes[b]);
      const height = Math.min(y2, boxes[b + 3]) - Math.max(y1, boxes[b + 1]);
      if (!(width > 0 && height > 0)) continue;
      const shared = width * height;
      result[i * n + j] = shared / (area + (boxes[b + 2] - boxes[b]) * (boxes[b + 3] - boxes[b + 1]) - shared);
    }
  }
  return result;
}

export interface AssignOptions {
  /** Overlap from which a box learns the object that it overlaps most. */
  readonly posIou: number;
  /** Overlap below which it is ground. In between it learns nothing. */
  readonly negIou: number;
  /** Whether the boxes that overlap an object most learn it even below `posIou`, from `minPosIou` on. */
  readonly matchLowQuality: boolean;
  /** See `matchLowQuality`. */
  readonly minPosIou: number;
}

export const ground = -1;
export const ignored = -2;

/**
 * The object of each of n boxes, `ground` or `ignored`, from overlaps [m, n]. Where several objects claim a box as their best, the last
 * one has it, as published. Boxes whose `valid` is 0 are ignored, and are nobody's best.
 */
export function assign(overlap: Float32Array, n: number, options: AssignOptions, valid: Uint8Array | null = null): Int32Array {
  const { posIou, negIou, matchLowQuality, minPosIou } = options;
  const assigned = new Int32Array(n).fill(ignored);
  const m = n === 0 ? 0 : overlap.length / n;
  const isValid = (j: number): boolean => valid === null || valid[j] !== 0;
  for (let j = 0; j < n; j++) {
    if (!isValid(j)) continue;
    let [best, most] = [ground, 0];
    for (let i = 0; i < m; i++) if (overlap[i * n + j] > most) [best, most] = [i, overlap[i * n + j]];
    if (best !== ground && most >= posIou) assigned[j] = best;
    else if (most < negIou) assigned[j] = ground;
  }
  if (!matchLowQuality) return assigned;
  for (let i = 0; i < m; i++) {
    const row = overlap.subarray(i * n, (i + 1) * n);
    let most = 0;
    for (let j = 0; j < n; j++) if (row[j] > most && isValid(j)) most = row[j];
    if (most === 0 || most < minPosIou) continue;
    for (let j = 0; j < n; j++) if (row[j] === most && isValid(j)) assigned[j] = i;
  }
  return assigned;
}
