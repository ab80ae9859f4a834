/** Pictures seen through an affine map: shears, shifts and turns. */
import type { Picture } from "./picture.js";
import type { Interpolation } from "./resize.js";

/** Place (x, y) of the result shows place (a x + b y + c, d x + e y + f) of the picture; pixel centres are at halves. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Turns counter-clockwise around the centre. */
export function rotation(degrees: number, width: number, height: number): Affine {
  const angle = (degrees * Math.PI) / 180;
  // To fifteen digits, so that quarters are exact.
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((value) => Math.round(value * 1e15) / 1e15);
  const [cx, cy] = [width / 2, height / 2];
  return [cos, -sin, cx - cos * cx + sin * cy, sin, cos, cy - sin * cx - cos * cy];
}

/**
 * What lies at distance `d` after the second of four values in a row: a cubic with a = −1, as Pillow has it for maps (its resizing has
 * −0.5), in Pillow's order of operations.
 */
function cubic(before: number, left: number, right: number, after: number, d: number): number {
  return left + d * (right - before + d * (2 * (before - left) + right - after + d * (left - before + after - right)));
}

const linear = (_before: number, left: number, right: number, _after: number, d: number): number => left + (right - left) * d;

const clamp = (value: number, most: number): number => (value < 0 ? 0 : value > most ? most : value);

/**
 * Applies the map; what comes from outside of the picture is `fill`, one value a channel. Beyond the edge, filters see the edge. Fractions of
 * a byte are cut off, so that every byte is Pillow's.
 */
export function applyAffine(picture: Picture, [a, b, c, d, e, f]: Affine, interpolation: Interpolation, fill: readonly number[]): Picture {
  const { width, height, channels, data } = picture;
  const out = new Uint8Array(data.length);
  const between = interpolation === "bicubic" ? cubic : linear;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += channels) {
      const u = a * (x + 0.5) + b * (y + 0.5) + c;
      const v = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(u >= 0 && u < width && v >= 0 && v < height)) {
        for (let k = 0; k < channels; k++) out[to + k] = fill[k % fill.length];
        continue;
      }
      const column = Math.floor(u - 0.5);
      const row = Math.floor(v - 0.5);
      const dx = u - 0.5 - column;
      const dy = v - 0.5 - row;
      const x0 = clamp(column - 1, width - 1) * channels;
      const x1 = clamp(column, width - 1) * channels;
      const x2 = clamp(column + 1, width - 1) * channels;
      const x3 = clamp(column + 2, width - 1) * channels;
      const stride = width * channels;
      const y0 = clamp(row - 1, height - 1) * stride;
      const y1 = clamp(row, height - 1) * stride;
      const y2 = clamp(row + 1, height - 1) * stride;
      const y3 = clamp(row + 2, height - 1) * stride;
      for (let k = 0; k < channels; k++) {
        const i0 = x0 + k;
        const i1 = x1 + k;
        const i2 = x2 + k;
        const i3 = x3 + k;
        let value: number;
        // Shears and shifts leave one direction as it is: at distance 0, the second value is all that counts.
        if (dx === 0) value = between(data[y0 + i1], data[y1 + i1], data[y2 + i1], data[y3 + i1], dy);
        else {
          const left = between(data[y1 + i0], data[y1 + i1], data[y1 + i2], data[y1 + i3], dx);
          if (dy === 0) value = left;
          else {
            const before = between(data[y0 + i0], data[y0 + i1], data[y0 + i2], data[y0 + i3], dx);
            const right = between(data[y2 + i0], data[y2 + i1], data[y2 + i2], data[y2 + i3], dx);
            const after = between(data[y3 + i0], data[y3 + i1], data[y3 + i2], data[y3 + i3], dx);
            value = between(before, left, right, after, dy);
          }
        }
        out[to + k] = value <= 0 ? 0 : value >= 255 ? 255 : value;
      }
    }
  }
  return { width, height, channels, data: out };
}
