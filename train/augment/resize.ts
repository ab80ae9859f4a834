/** Resizing with a filter as wide as the pixels of the result, as Pillow does it: nothing aliases. */
import type { Picture } from "./picture.js";

/** Filters of resizing and turning. */
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

/** Weights are whole numbers of this share, as Pillow has them for bytes. */
const bits = 22;
const half = 1 << (bits - 1);

/** For each place of the result, the pixels that it is made of. */
interface Taps {
  readonly from: Int32Array;
  /** How many there are for each place. Enlarging takes four at most; then all have four, and the loops need not count. */
  readonly count: number;
  /** [place × count + tap]; those of a place sum to 2^22, but for rounding. */
  readonly weights: Int32Array;
}

/** The taps of `size` places over the stretch [start, end) of a line of `length` pixels. */
function taps(length: number, start: number, end: number, size: number, interpolation: Interpolation): Taps {
  const { support, weight } = filters[interpolation];
  const scale = (end - start) / size;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const firstOf = (centre: number): number => Math.max(0, Math.trunc(centre - reach + 0.5));
  const endOf = (centre: number): number => Math.min(length, Math.trunc(centre + reach + 0.5));
  const centres = Float64Array.from({ length: size }, (_, i) => start + (i + 0.5) * scale);
  const longest = centres.reduce((most, centre) => Math.max(most, endOf(centre) - firstOf(centre)), 0);
  const count = Math.min(length, Math.max(longest, 4));
  const from = new Int32Array(size);
  const weights = new Int32Array(size * count);
  const exact = new Float64Array(longest);
  centres.forEach((centre, i) => {
    const first = firstOf(centre);
    const taken = endOf(centre) - first;
    let sum = 0;
    for (let k = 0; k < taken; k++) {
      exact[k] = weight((first + k - centre + 0.5) / stretch);
      sum += exact[k];
    }
    // At the far edge the taps begin earlier, with weights of 0.
    from[i] = Math.min(first, length - count);
    for (let k = 0; k < taken; k++) {
      const share = (exact[k] / sum) * 2 ** bits;
      weights[i * count + first - from[i] + k] = share < 0 ? share - 0.5 : share + 0.5;
    }
  });
  return { from, count, weights };
}

/** A part of a picture, in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A picture, or a box of it, at another size. Both passes round to bytes, so that every byte is Pillow's. */
export function resize(picture: Picture, width: number, height: number, interpolation: Interpolation, box?: Box): Picture {
  const { left, top, width: boxWidth, height: boxHeight } = box ?? { left: 0, top: 0, width: picture.width, height: picture.height };
  const same = left === 0 && top === 0 && boxWidth === picture.width && boxHeight === picture.height;
  if (same && width === picture.width && height === picture.height) return picture;
  const { channels } = picture;
  const across = taps(picture.width, left, left + boxWidth, width, interpolation);
  const down = taps(picture.height, top, top + boxHeight, height, interpolation);
  // The rows that the second pass reads are the only ones that the first makes.
  const first = down.from[0];
  const rows = down.from[height - 1] + down.count - first;
  const narrow = new Uint8ClampedArray(width * rows * channels);
  const pass = channels === 1 ? acrossGrey : across.count === 4 ? acrossByFour : acrossColour;
  pass(picture, across, narrow, width, first, rows);
  const data = new Uint8ClampedArray(width * height * channels);
  if (down.count === 4) downByFour(narrow, down, data, width * channels, height);
  else downAny(narrow, down, data, width * channels, height);
  return { width, height, channels, data: new Uint8Array(data.buffer) };
}

type Bytes = Uint8ClampedArray<ArrayBuffer>;

// Across, column by column, so that a place's weights are read once for all rows.

function acrossGrey({ width: stride, data }: Picture, across: Taps, out: Bytes, width: number, first: number, rows: number): void {
  const { from, count, weights } = across;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < rows; y++) {
      const at = (first + y) * stride + from[x];
      let sum = half;
      for (let k = 0; k < count; k++) sum += Math.imul(weights[x * count + k], data[at + k]);
      out[y * width + x] = sum >> bits;
    }
  }
}

function acrossColour({ width: stride, data }: Picture, across: Taps, out: Bytes, width: number, first: number, rows: number): void {
  const { from, count, weights } = across;
  const { imul } = Math;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < rows; y++) {
      let at = ((first + y) * stride + from[x]) * 3;
      let r = half;
      let g = half;
      let b = half;
      for (let k = x * count; k < (x + 1) * count; k++, at += 3) {
        const weight = weights[k];
        r += imul(weight, data[at]);
        g += imul(weight, data[at + 1]);
        b += imul(weight, data[at + 2]);
      }
      const to = (y * width + x) * 3;
      out[to] = r >> bits;
      out[to + 1] = g >> bits;
      out[to + 2] = b >> bits;
    }
  }
}

function acrossByFour(
  { width: stride, data }: Picture,
  { from, weights }: Taps,
  out: Bytes,
  width: number,
  first: number,
  rows: number,
): void {
  const { imul } = Math;
  for (let x = 0; x < width; x++) {
    const a = weights[4 * x];
    const b = weights[4 * x + 1];
    const c = weights[4 * x + 2];
    const d = weights[4 * x + 3];
    let at = (first * stride + from[x]) * 3;
    for (let y = 0, to = 3 * x; y < rows; y++, at += 3 * stride, to += 3 * width) {
      out[to] = (half + imul(a, data[at]) + imul(b, data[at + 3]) + imul(c, data[at + 6]) + imul(d, data[at + 9])) >> bits;
      out[to + 1] = (half + imul(a, data[at + 1]) + imul(b, data[at + 4]) + imul(c, data[at + 7]) + imul(d, data[at + 10])) >> bits;
      out[to + 2] = (half + imul(a, data[at + 2]) + imul(b, data[at + 5]) + imul(c, data[at + 8]) + imul(d, data[at + 11])) >> bits;
    }
  }
}

// Down, row by row of `line` bytes.

function downAny(narrow: Bytes, { from, count, weights }: Taps, out: Bytes, line: number, height: number): void {
  const sums = new Int32Array(line);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    let k = 0;
    // Two rows at a time, as far as there are two.
    for (; k + 1 < count; k += 2) {
      const a = weights[y * count + k];
      const b = weights[y * count + k + 1];
      const at = (from[y] - from[0] + k) * line;
      for (let x = 0; x < line; x++) sums[x] += Math.imul(a, narrow[at + x]) + Math.imul(b, narrow[at + line + x]);
    }
    if (k < count) {
      const weight = weights[y * count + k];
      const at = (from[y] - from[0] + k) * line;
      for (let x = 0; x < line; x++) sums[x] += Math.imul(weight, narrow[at + x]);
    }
    for (let x = 0, to = y * line; x < line; x++) out[to + x] = sums[x] >> bits;
  }
}

function downByFour(narrow: Bytes, { from, weights }: Taps, out: Bytes, line: number, height: number): void {
  const { imul } = Math;
  for (let y = 0; y < height; y++) {
    const a = weights[4 * y];
    const b = weights[4 * y + 1];
    const c = weights[4 * y + 2];
    const d = weights[4 * y + 3];
    let at = (from[y] - from[0]) * line;
    for (let to = y * line; to < (y + 1) * line; to++, at++)
      out[to] =
        (half + imul(a, narrow[at]) + imul(b, narrow[at + line]) + imul(c, narrow[at + 2 * line]) + imul(d, narrow[at + 3 * line])) >> bits;
  }
}
