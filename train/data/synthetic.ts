/** Pictures made up from a seed, for tests and trials without files: each class is a pattern of its own, under noise. */
import { Generator, hostNormal } from "../../engine/random.js";
import type { Dataset, SyntheticSource } from "./dataset.js";

/** Bytes a deviation of the pattern; 128 is its mean. */
const contrast = 40;

/** Sample i has label i mod numClasses; equal options give equal pictures. */
export function synthetic(options: Partial<Omit<SyntheticSource, "kind">> = {}): Dataset {
  const source: SyntheticSource = {
    kind: "synthetic",
    length: 256,
    side: 32,
    channels: 1,
    numClasses: 10,
    seed: 0,
    noise: 0.5,
    first: 0,
    ...options,
  };
  const { length, side, channels, numClasses, seed, noise, first } = source;
  const size = side * side * channels;
  const patterns = hostNormal(new Generator(seed), numClasses * size);
  const generator = new Generator(seed);
  const label = (index: number): number => (first + index) % numClasses;
  return {
    name: "synthetic",
    length,
    numClasses,
    classNames: Array.from({ length: numClasses }, (_, i) => `pattern ${i}`),
    channels,
    mean: Array<number>(channels).fill(128 / 255),
    std: Array<number>(channels).fill(contrast / 255),
    side,
    source,
    title: (index) => `synthetic ${first + index}`,
    label,
    picture: (index) => {
      generator.counter = first + index + 1;
      const drawn = hostNormal(generator, size);
      const pattern = label(index) * size;
      const data = Uint8ClampedArray.from(drawn, (value, i) => 128 + contrast * (patterns[pattern + i] + noise * value));
      return { width: side, height: side, channels, data: new Uint8Array(data.buffer) };
    },
  };
}
