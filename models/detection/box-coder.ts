/**
 * Boxes as what a head predicts: shifts and scales of another box.
 *
 * Paper: Girshick et al., "Rich feature hierarchies …", CVPR 2014, appendix C. Original: mmdet's `DeltaXYWHBBoxCoder`.
 */
import { OpError } from "../../engine/errors.js";

export interface BoxCoderOptions {
  /** Subtracted from shifts and scales. Default 0. */
  readonly means?: readonly number[];
  /** What they are then divided by. Default 1. */
  readonly stds?: readonly number[];
}

/** Height and width of a picture. */
export interface Extent {
  readonly height: number;
  readonly width: number;
}

/** A box is at most so many times, or one of so many parts, as large as the one it is predicted from. */
const mostScale = Math.log(1000 / 16);

/** Shifts of the centre in sizes of the box, and logarithms of scales, normalised: (dx, dy, dw, dh). All arrays are [n, 4]. */
export class BoxCoder {
  readonly #means: readonly number[];
  readonly #stds: readonly number[];

  constructor({ means = [0, 0, 0, 0], stds = [1, 1, 1, 1] }: BoxCoderOptions = {}) {
    if (means.length !== 4 || stds.length !== 4 || stds.some((std) => !(std > 0)))
      throw new OpError("BoxCoder", `four means and four stds above 0; got ${means.join(", ")} and ${stds.join(", ")}`);
    this.#means = means;
    this.#stds = stds;
  }

  /** What takes each box to its target. Both must have an area. */
  encode(boxes: Float32Array, targets: Float32Array): Float32Array {
    const deltas = new Float32Array(boxes.length);
    for (let i = 0; i < boxes.length; i += 4) {
      const [width, height] = [boxes[i + 2] - boxes[i], boxes[i + 3] - boxes[i + 1]];
      const [toWidth, toHeight] = [targets[i + 2] - targets[i], targets[i + 3] - targets[i + 1]];
      const raw = [
        (targets[i] + targets[i + 2] - boxes[i] - boxes[i + 2]) / 2 / width,
        (targets[i + 1] + targets[i + 3] - boxes[i + 1] - boxes[i + 3]) / 2 / height,
        Math.log(toWidth / width),
        Math.log(toHeight / height),
      ];
      for (let d = 0; d < 4; d++) deltas[i + d] = (raw[d] - this.#means[d]) / this.#stds[d];
    }
    return deltas;
  }

  /** The boxes that shifts and scales lead to, cut off at the edges of the picture where one is given. */
  decode(boxes: Float32Array, deltas: Float32Array, picture: Extent | null = null): Float32Array {
    const decoded = new Float32Array(boxes.length);
    const value = (i: number, d: number): number => deltas[i + d] * this.#stds[d] + this.#means[d];
    const scale = (by: number): number => Math.exp(Math.min(Math.max(by, -mostScale), mostScale));
    const [right, bottom] = picture === null ? [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] : [picture.width, picture.height];
    const least = picture === null ? Number.NEGATIVE_INFINITY : 0;
    const inside = (x: number, most: number): number => Math.min(Math.max(x, least), most);
    for (let i = 0; i < boxes.length; i += 4) {
      const [width, height] = [boxes[i + 2] - boxes[i], boxes[i + 3] - boxes[i + 1]];
      const x = (boxes[i] + boxes[i + 2]) / 2 + value(i, 0) * width;
      const y = (boxes[i + 1] + boxes[i + 3]) / 2 + value(i, 1) * height;
      const [w, h] = [(width * scale(value(i, 2))) / 2, (height * scale(value(i, 3))) / 2];
      decoded[i] = inside(x - w, right);
      decoded[i + 1] = inside(y - h, bottom);
      decoded[i + 2] = inside(x + w, right);
      decoded[i + 3] = inside(y + h, bottom);
    }
    return decoded;
  }
}
