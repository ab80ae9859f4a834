/** Images made up from a seed, for tests and trials without files: each class is a pattern of its own, under noise. */
import { Generator, hostNormal } from "../../engine/random.js";
import type { Dataset } from "./dataset.js";

export interface SyntheticOptions {
  readonly length?: number;
  readonly imageShape?: readonly [number, number, number];
  readonly numClasses?: number;
  readonly seed?: number;
  /** Deviation of the noise, where the pattern's is 1. */
  readonly noise?: number;
}

/** Sample i has label i mod numClasses; equal options give equal images. */
export function synthetic({
  length = 256,
  imageShape = [1, 32, 32],
  numClasses = 10,
  seed = 0,
  noise = 0.5,
}: SyntheticOptions = {}): Dataset {
  const pixels = imageShape[0] * imageShape[1] * imageShape[2];
  const patterns = hostNormal(new Generator(seed), numClasses * pixels);
  const generator = new Generator(seed);
  const label = (index: number): number => index % numClasses;
  return {
    name: "synthetic",
    length,
    imageShape,
    numClasses,
    label,
    read: (index, out, offset) => {
      generator.counter = index + 1;
      const drawn = hostNormal(generator, pixels);
      const pattern = label(index) * pixels;
      for (let i = 0; i < pixels; i++) out[offset + i] = patterns[pattern + i] + noise * drawn[i];
    },
  };
}
