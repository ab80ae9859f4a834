/**
 * Anchors: boxes of fixed sizes and shapes around every place of every level of a pyramid.
 *
 * Original: mmdet's `AnchorGenerator` (scales and ratios per level, centre offset 0).
 */
import { OpError } from "../../engine/errors.js";

export interface AnchorOptions {
  /** Sides of a square anchor, in strides. Default 8. */
  readonly scales?: readonly number[];
  /** Heights over widths. Default ½, 1, 2. */
  readonly ratios?: readonly number[];
  /** Pixels between two places of a level. Default 4, 8, 16, 32, 64. */
  readonly strides?: readonly number[];
}

/** A level of the pyramid among all anchors. */
export interface AnchorLevel {
  /** Its first anchor, and how many it has. */
  readonly start: number;
  readonly count: number;
  readonly stride: number;
  readonly height: number;
  readonly width: number;
}

/** All anchors of a pyramid: level by level, row by row, place by place; at a place ratios come before scales. */
export interface Anchors {
  /** Of shape [count, 4]: left, top, right, bottom in pixels. They may reach beyond the picture. */
  readonly boxes: Float32Array;
  readonly count: number;
  readonly perPlace: number;
  readonly levels: readonly AnchorLevel[];
}

export const defaultAnchors: Required<AnchorOptions> = { scales: [8], ratios: [0.5, 1, 2], strides: [4, 8, 16, 32, 64] };

/** Anchors of maps with these (height, width). Throws OpError where there are not as many maps as strides. */
export function makeAnchors(sizes: readonly (readonly [number, number])[], options: AnchorOptions = {}): Anchors {
  const { scales, ratios, strides } = { ...defaultAnchors, ...options };
  if (sizes.length !== strides.length)
    throw new OpError("makeAnchors", `${sizes.length} maps for ${strides.length} strides; give one stride for each map`);
  const perPlace = scales.length * ratios.length;
  const count = sizes.reduce((sum, [height, width]) => sum + height * width * perPlace, 0);
  const boxes = new Float32Array(4 * count);
  const levels: AnchorLevel[] = [];
  let at = 0;
  sizes.forEach(([height, width], i) => {
    const stride = strides[i];
    const halves = ratios.flatMap((ratio) =>
      scales.map((scale) => [(stride * scale) / Math.sqrt(ratio) / 2, (stride * scale * Math.sqrt(ratio)) / 2] as const),
    );
    levels.push({ start: at, count: height * width * perPlace, stride, height, width });
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (const [w, h] of halves) boxes.set([x * stride - w, y * stride - h, x * stride + w, y * stride + h], 4 * at++);
  });
  return { boxes, count, perPlace, levels };
}

/** 1 for anchors whose place lies on a picture of height × width in the upper left of the batch's, else 0: [count]. */
export function anchorsOnPicture({ count, perPlace, levels }: Anchors, height: number, width: number): Uint8Array {
  const valid = new Uint8Array(count);
  for (const level of levels) {
    const rows = Math.min(level.height, Math.ceil(height / level.stride));
    const columns = Math.min(level.width, Math.ceil(width / level.stride));
    for (let y = 0; y < rows; y++) {
      const from = level.start + y * level.width * perPlace;
      valid.fill(1, from, from + columns * perPlace);
    }
  }
  return valid;
}
