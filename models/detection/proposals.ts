/** What the region proposal network proposes, from its raw outputs for one picture. On the host. */
import { suppress } from "../../engine/functional/suppress.js";
import type { Anchors } from "./anchors.js";
import type { BoxCoder, Extent } from "./box-coder.js";
import { ranked, rows } from "./rank.js";

export interface ProposalOptions {
  /** Best anchors of each level that are looked at. */
  readonly nmsPre: number;
  /** Overlap above which the lesser of two proposals of a level goes. */
  readonly nmsIou: number;
  /** Proposals of a picture at the most. */
  readonly maxPerImage: number;
  /** Proposals no larger than this, in pixels, go. */
  readonly minSize: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * Proposals of one picture, best first: boxes [n, 4], n ≤ maxPerImage. `logits` [anchors], `deltas` [anchors, 4]; anchors whose `valid`
 * is 0 propose nothing.
 */
export function propose(
  anchors: Anchors,
  coder: BoxCoder,
  logits: Float32Array,
  deltas: Float32Array,
  picture: Extent,
  valid: Uint8Array,
  { nmsPre, nmsIou, maxPerImage, minSize }: ProposalOptions,
): Float32Array {
  const scores = logits.map((logit, i) => (valid[i] === 0 ? -1 : sigmoid(logit)));
  const best = Int32Array.from(anchors.levels.flatMap(({ start, count }) => [...ranked(scores, start, count, nmsPre)]));
  const levelOf = (anchor: number): number => anchors.levels.findIndex(({ start, count }) => anchor < start + count);
  const boxes = coder.decode(rows(anchors.boxes, best), rows(deltas, best), picture);
  // Too small ones score below everything; what is left of the order goes by score over all levels, then by anchor.
  const shown = Float32Array.from(best, (anchor, i) => {
    const [width, height] = [boxes[4 * i + 2] - boxes[4 * i], boxes[4 * i + 3] - boxes[4 * i + 1]];
    return width > minSize && height > minSize ? scores[anchor] : -1;
  });
  const taken = suppress(boxes, ranked(shown), nmsIou, { groups: Int32Array.from(best, levelOf), most: maxPerImage });
  return rows(boxes, taken);
}

/**
 * The pyramid level that each region [n, 4] is read from: ⌊log₂(√area / finestScale)⌋, from 0 to levels − 1. Original: mmdet's
 * `SingleRoIExtractor.map_roi_levels`; Lin et al. (2017), eq. 1.
 */
export function regionLevels(boxes: Float32Array, levels: number, finestScale: number): Int32Array {
  return Int32Array.from({ length: boxes.length / 4 }, (_, i) => {
    const [x1, y1, x2, y2] = boxes.subarray(4 * i, 4 * i + 4);
    const scale = Math.sqrt(Math.max(0, (x2 - x1) * (y2 - y1)));
    return Math.min(Math.max(Math.floor(Math.log2(scale / finestScale + 1e-6)), 0), levels - 1);
  });
}
