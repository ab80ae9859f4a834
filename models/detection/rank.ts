/** Orders by score that no rounding of a device can change. */

/** Scores are told apart in so many steps from 0 to 1; those of one step are equal, and go by their number. */
const steps = 10_000;

/** The numbers of `count` scores (0 to 1) from `start` on, best first, at most `most` of them and none below `least`. */
export function ranked(scores: Float32Array, start = 0, count = scores.length, most = count, least = 0): Int32Array {
  // Sorted by counting: how many scores each step has, then where the first of each comes to stand.
  const stepOf = new Int32Array(count);
  const places = new Int32Array(steps + 1);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const score = scores[start + i];
    stepOf[i] = score >= least ? Math.round(score * steps) : -1;
    if (stepOf[i] < 0) continue;
    places[stepOf[i]]++;
    kept++;
  }
  for (let step = steps, before = 0; step >= 0; step--) {
    const here = places[step];
    places[step] = before;
    before += here;
  }
  const order = new Int32Array(Math.min(kept, most));
  for (let i = 0; i < count; i++) {
    if (stepOf[i] < 0) continue;
    const place = places[stepOf[i]]++;
    if (place < order.length) order[place] = start + i;
  }
  return order;
}

/** Rows [n, 4] of an array of boxes. */
export function rows(boxes: Float32Array, at: ArrayLike<number>): Float32Array {
  const chosen = new Float32Array(4 * at.length);
  for (let i = 0; i < at.length; i++) for (let d = 0; d < 4; d++) chosen[4 * i + d] = boxes[4 * at[i] + d];
  return chosen;
}
