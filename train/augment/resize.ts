/** Resizing with a filter as wide as the pixels of the result, as Pillow does it: nothing aliases. */
import type { Picture } from "./picture.js";

export type Interpolation = "bilinear" | "bicubic";

interface Filter {
  /** Half its width, in pixels of the result where that is the smaller picture. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const filters: Readonly<Record<Interpolation, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys's cubic with a = −0.5.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
};

/** For each place of the result: where its pixels begin, and their weights, which sum to 1. */
interface Taps {
  readonly from: Int32Array;
  readonly width: number;
  readonly weights: Float32Array;
}

/** The taps of `size` places over the stretch [start, end) of a line of `length` pixels. */
export function taps(length: number, start: number, end: number, size: number, interpolation: Interpolation): Taps {
  const { support, weight } = filters[interpolation];
  const scale = (end - start) / size;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const width = Math.ceil(reach) * 2 + 1;
  const from = new Int32Array(size);
  const weights = new Float32Array(size * width);
  for (let i = 0; i < size; i++) {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(length, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let x = first; x < last; x++) {
      const value = weight((x - centre + 0.5) / stretch);
      weights[i * width + x - first] = value;
      sum += value;
    }
    for (let k = 0; k < last - first; k++) weights[i * width + k] /= sum;
    from[i] = first;
  }
  return { from, width, weights };
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A picture, or a box of it, at another size. Both passes round to bytes. */
export function resize(picture: Picture, width: number, height: number, interpolation: Interpolation, box?: Box): Picture {
  const { left, top, width: boxWidth, height: boxHeight } = box ?? { left: 0, top: 0, width: picture.width, height: picture.height };
  const same = left === 0 && top === 0 && boxWidth === picture.width && boxHeight === picture.height;
  if (same && width === picture.width && height === picture.height) return picture;
  const { channels } = picture;
  // The rows that the second pass reads are the only ones that the first makes.
  const down = taps(picture.height, top, top + boxHeight, height, interpolation);
  const firstRow = down.from[0];
  const rows = Math.min(picture.height, down.from[height - 1] + down.width) - firstRow;
  const narrow = new Uint8ClampedArray(width * rows * channels);
  acrossRows(picture, taps(picture.width, left, left + boxWidth, width, interpolation), narrow, width, firstRow, rows);
  const data = new Uint8ClampedArray(width * height * channels);
  const line = width * channels;
  const sums = new Float32Array(line);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let k = 0; k < down.width; k++) {
      const weight = down.weights[y * down.width + k];
      if (weight === 0) continue;
      const at = (down.from[y] - firstRow + k) * line;
      for (let x = 0; x < line; x++) sums[x] += weight * narrow[at + x];
    }
    data.set(sums, y * line);
  }
  return { width, height, channels, data: new Uint8Array(data.buffer) };
}

function acrossRows(
  { width: stride, channels, data }: Picture,
  across: Taps,
  out: Uint8ClampedArray,
  width: number,
  first: number,
  rows: number,
): void {
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < width; x++) {
      const weightAt = x * across.width;
      const begin = across.from[x];
      const count = Math.min(across.width, stride - begin);
      let at = ((first + y) * stride + begin) * channels;
      const to = (y * width + x) * channels;
      if (channels === 1) {
        let sum = 0;
        for (let k = 0; k < count; k++) sum += across.weights[weightAt + k] * data[at + k];
        out[to] = sum;
        continue;
      }
      let r = 0;
      let g = 0;
      let b = 0;
      for (let k = 0; k < count; k++, at += 3) {
        const weight = across.weights[weightAt + k];
        r += weight * data[at];
        g += weight * data[at + 1];
        b += weight * data[at + 2];
      }
      out[to] = r;
      out[to + 1] = g;
      out[to + 2] = b;
    }
  }
}
