/**
 * Masks between pictures and regions: cut out and resized as what a head learns, pasted back where it has spoken.
 *
 * Original: mmdet's `BitmapMasks.crop_and_resize` (RoIAlign of the bitmap, from ½ on) and `_do_paste_mask` (bilinear, zeros around).
 */
import type { Extent } from "./box-coder.js";

/** What a few neighbouring elements count in one bin. */
interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

/**
 * RoIAlign along one axis: what each of `length` elements counts in each of `bins` bins between `from` and `to`. A bin has ⌈its length⌉
 * samples; those further than one element outside count 0.
 */
function binTaps(from: number, to: number, bins: number, length: number): Taps[] {
  const bin = (to - from) / bins;
  const samples = Math.ceil(bin);
  return Array.from({ length: bins }, (_, i) => {
    let first = 0;
    const weights: number[] = [];
    // Positions rise, so that an element is reached from the one before it.
    for (let s = 0; s < samples; s++) {
      const position = from - 0.5 + i * bin + ((s + 0.5) * bin) / samples;
      if (position < -1 || position > length) continue;
      const inside = Math.min(Math.max(position, 0), length - 1);
      const low = Math.floor(inside);
      if (weights.length === 0) first = low;
      for (const element of inside === low ? [low] : [low, low + 1])
        weights[element - first] = (weights[element - first] ?? 0) + (1 - Math.abs(inside - element)) / samples;
    }
    return { first, weights };
  });
}

/** The part of a bitmap (height × width) inside a box, as `size` × `size` zeros and ones, written to `into` from `at` on. */
export function cropMask(
  mask: Uint8Array,
  { height, width }: Extent,
  box: ArrayLike<number>,
  size: number,
  into: Float32Array,
  at = 0,
): void {
  const down = binTaps(box[1], box[3], size, height);
  const across = binTaps(box[0], box[2], size, width);
  for (let i = 0; i < size; i++) {
    const rows = down[i];
    for (let j = 0; j < size; j++) {
      const columns = across[j];
      let sum = 0;
      for (let y = 0; y < rows.weights.length; y++) {
        const line = (rows.first + y) * width + columns.first;
        let along = 0;
        for (let x = 0; x < columns.weights.length; x++) along += columns.weights[x] * mask[line + x];
        sum += rows.weights[y] * along;
      }
      into[at + i * size + j] = sum >= 0.5 ? 1 : 0;
    }
  }
}

/** Where the centres of pixels lie between `from` and `to`, in elements of a line of `size`: pixels that are touched, and their positions. */
function pixelsOf(from: number, to: number, size: number, length: number): { readonly start: number; readonly positions: number[] } {
  const scale = size / (to - from);
  const position = (pixel: number): number => (pixel + 0.5 - from) * scale - 0.5;
  const start = Math.max(0, Math.floor(from - 0.5 / scale - 0.5));
  const end = Math.min(length, Math.ceil(to + 0.5 / scale + 0.5));
  return { start, positions: Array.from({ length: Math.max(0, end - start) }, (_, i) => position(start + i)) };
}

/** Probabilities (`size` × `size`, from `at` on) of a box as a bitmap of the picture: 1 where they are `threshold` or more. */
export function pasteMask(
  values: ArrayLike<number>,
  size: number,
  box: ArrayLike<number>,
  { height, width }: Extent,
  { at = 0, threshold = 0.5 }: { readonly at?: number; readonly threshold?: number } = {},
): Uint8Array {
  const bitmap = new Uint8Array(height * width);
  if (!(box[2] > box[0] && box[3] > box[1])) return bitmap;
  const across = pixelsOf(box[0], box[2], size, width);
  const down = pixelsOf(box[1], box[3], size, height);
  const value = (y: number, x: number): number => (y < 0 || x < 0 || y >= size || x >= size ? 0 : values[at + y * size + x]);
  down.positions.forEach((v, i) => {
    const [y, dy] = [Math.floor(v), v - Math.floor(v)];
    across.positions.forEach((u, j) => {
      const [x, dx] = [Math.floor(u), u - Math.floor(u)];
      const upper = (1 - dx) * value(y, x) + dx * value(y, x + 1);
      const lower = (1 - dx) * value(y + 1, x) + dx * value(y + 1, x + 1);
      if ((1 - dy) * upper + dy * lower >= threshold) bitmap[(down.start + i) * width + across.start + j] = 1;
    });
  });
  return bitmap;
}
