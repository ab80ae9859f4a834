/** Made-up pictures with blocks of light in them, for tests of detectors. */
import { Generator, hostUniform } from "../../../engine/random.js";
import type { Truth } from "../../../models/index.js";

/** Pictures [count, 3, side, side]; each has up to three squares or bars (classes 0 and 1) on noise. */
export function blocks(count: number, side: number, seed: number): { readonly images: Float32Array; readonly truths: Truth[] } {
  const images = new Float32Array(count * 3 * side * side);
  const generator = new Generator(seed);
  const truths = Array.from({ length: count }, (_, n): Truth => {
    const noise = hostUniform(generator, 3 * side * side);
    const draws = hostUniform(generator, 16);
    noise.forEach((value, i) => {
      images[n * 3 * side * side + i] = 0.3 * (value - 0.5);
    });
    const objects = 1 + Math.floor(draws[15] * 3);
    const boxes = new Float32Array(4 * objects);
    const labels = new Int32Array(objects);
    const masks = Array.from({ length: objects }, (_, k) => {
      labels[k] = draws[4 * k] < 0.5 ? 0 : 1;
      const height = Math.round(side * (0.2 + 0.2 * draws[4 * k + 1]));
      const width = Math.max(4, labels[k] === 0 ? height : Math.round(height / 2));
      const [x, y] = [Math.floor(draws[4 * k + 2] * (side - width)), Math.floor(draws[4 * k + 3] * (side - height))];
      boxes.set([x, y, x + width, y + height], 4 * k);
      const mask = new Uint8Array(side * side);
      for (let i = y; i < y + height; i++) {
        mask.fill(1, i * side + x, i * side + x + width);
        for (let c = 0; c < 3; c++)
          images.fill(c === labels[k] ? 1 : -0.5, ((n * 3 + c) * side + i) * side + x, ((n * 3 + c) * side + i) * side + x + width);
      }
      return mask;
    });
    return { picture: { height: side, width: side }, boxes, labels, masks };
  });
  return { images, truths };
}
