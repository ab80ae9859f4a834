/**
 * Which of the assigned boxes a step learns from.
 *
 * Original: mmdet's `RandomSampler`. Here a box is drawn by a hash of the step's key and its number, so that the choice follows from seed,
 * step and numbering alone, on every device.
 */
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

/** Draws from what boxes were assigned ([n], as `assign` gives it); the same key gives the same boxes. */
export function sample(assigned: Int32Array, { count, posFraction }: SampleOptions, key: Key): Sample {
  const positives = draw(assigned, (object) => object >= 0, Math.floor(count * posFraction), key);
  return { positives, negatives: draw(assigned, (object) => object === ground, count - positives.length, key) };
}

/** Up to `most` of the candidates, by the least hashes. */
function draw(assigned: Int32Array, isCandidate: (object: number) => boolean, most: number, [a, b]: Key): Int32Array {
  let count = 0;
  for (let i = 0; i < assigned.length; i++) if (isCandidate(assigned[i])) count++;
  // One number to sort by: the hash above, the box below. Both together are exact up to 2^53.
  const hashed = (below: number): Float64Array => {
    const keys = new Float64Array(count);
    let kept = 0;
    for (let i = 0; i < assigned.length; i++) {
      if (!isCandidate(assigned[i])) continue;
      const hash = mixed(mixed(i ^ a) ^ b) >>> 0;
      if (hash < below) keys[kept++] = hash * 2 ** 21 + i;
    }
    return keys.subarray(0, kept);
  };
  // Few of many: those below a hash that half as many again as are wanted should be below.
  const few = hashed(2 ** 32 * ((1.5 * most + 16) / Math.max(count, 1)));
  const keys = (few.length >= most ? few : hashed(2 ** 32)).sort();
  return Int32Array.from(keys.subarray(0, most), (key) => key % 2 ** 21);
}

/** MurmurHash3's last step: each bit of the result depends on every bit of the word. */
function mixed(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}
