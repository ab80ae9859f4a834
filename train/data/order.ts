/** Which samples an epoch goes through, and in which order: a function of seed and epoch alone. */
import { Generator, hostPermutation } from "../../engine/random.js";

export interface OrderOptions {
  readonly shuffle: boolean;
  readonly seed: number;
  /** Each sample comes this many times in a row, and an epoch has as many fewer samples (Hoffer et al., 2020; Berman et al., 2019). */
  readonly repeats: number;
}

/** The numbers of an epoch's samples, in order: as many as the data set has. */
export function epochOrder(length: number, epoch: number, { shuffle, seed, repeats }: OrderOptions): Int32Array {
  let order: Int32Array = Int32Array.from({ length }, (_, i) => i);
  if (shuffle) {
    const generator = new Generator(seed);
    generator.counter = epoch;
    order = hostPermutation(generator, length);
  }
  return repeats === 1 ? order : order.map((_, i) => order[Math.floor(i / repeats)]);
}
