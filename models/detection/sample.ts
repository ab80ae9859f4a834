/**
 * Which of the assigned boxes a step learns from.
 *
 * Original: mmdet's `RandomSampler`. Here a box is drawn by a hash of the step's key and its number, so that the choice follows from seed,
 * step and numbering alone, on every device.
 */
import { threefry2x32 } from "../../engine/kernel/scalar.js";
import { ground } from "./assign.js";

/** Two words that a step's choices are drawn from. */
export type Key = readonly [number, number];

export interface SampleOptions {
  /** Boxes wanted. */
  readonly count: number;
  /** Greatest share of those that have an object. */
  readonly posFraction: number;
}

/** Numbers of the boxes drawn: with an object, and of the ground, each in random order; fewer than wanted where there are not as many. */
export interface Sample {
  readonly positives: Int32Array;
  readonly negatives: Int32Array;
}

export function sample(assigned: Int32Array, { count, posFraction }: SampleOptions, key: Key): Sample {
  const positives = draw(assigned, (object) => object >= 0, Math.floor(count * posFraction), key);
  return { positives, negatives: draw(assigned, (object) => object === ground, count - positives.length, key) };
}

/** Up to `most` of the candidates, by the least hashes. */
function draw(assigned: Int32Array, isCandidate: (object: number) => boolean, most: number, [a, b]: Key): Int32Array {
  const candidates: number[] = [];
  for (let i = 0; i < assigned.length; i++) if (isCandidate(assigned[i])) candidates.push(i);
  // One number to sort by: the hash above, the box below. Both together are exact up to 2^53.
  const keys = Float64Array.from(candidates, (i) => (threefry2x32(a, b, i, 0)[0] >>> 0) * 2 ** 21 + i).sort();
  return Int32Array.from(keys.subarray(0, most), (value) => value % 2 ** 21);
}
