/** Orders by score that no rounding of a device can change. */

/** Scores closer than this are equal, and go by their number. */
const resolution = 1e-4;

/** The numbers of `count` scores (0 to 1) from `start` on, best first, at most `most` of them and none below `least`. */
export function ranked(scores: Float32Array, start = 0, count = scores.length, most = count, least = 0): Int32Array {
  const keys = new Float64Array(count);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const score = scores[start + i];
    // One number to sort by: the score above, the number below.
    if (score >= least) keys[kept++] = (1 / resolution - Math.round(score / resolution)) * count + i;
  }
  return Int32Array.from(keys.subarray(0, kept).sort().subarray(0, most), (key) => start + (key % count));
}

/** Rows [n, 4] of an array of boxes. */
export function rows(boxes: Float32Array, at: ArrayLike<number>): Float32Array {
  const chosen = new Float32Array(4 * at.length);
  for (let i = 0; i < at.length; i++) for (let d = 0; d < 4; d++) chosen[4 * i + d] = boxes[4 * at[i] + d];
  return chosen;
}
