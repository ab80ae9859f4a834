/** Pictures seen through an affine map: shears, shifts and turns. */
import type { Picture } from "./picture.js";
import type { Interpolation } from "./resize.js";

/** Place (x, y) of the result shows place (a x + b y + c, d x + e y + f) of the picture; pixel centres are at halves. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Turns counter-clockwise around the centre. */
export function rotation(degrees: number, width: number, height: number): Affine {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [cx, cy] = [width / 2, height / 2];
  return [cos, -sin, cx - cos * cx + sin * cy, sin, cos, cy - sin * cx - cos * cy];
}

/** Weights of four neighbours at distance t from the second: Keys's cubic with a = −0.5. */
function cubicWeights(t: number, out: Float64Array): void {
  out[0] = ((-0.5 * t + 1) * t - 0.5) * t;
  out[1] = (1.5 * t - 2.5) * t * t + 1;
  out[2] = ((-1.5 * t + 2) * t + 0.5) * t;
  out[3] = (0.5 * t - 0.5) * t * t;
}

function linearWeights(t: number, out: Float64Array): void {
  out[0] = 0;
  out[1] = 1 - t;
  out[2] = t;
  out[3] = 0;
}

const clamp = (value: number, most: number): number => (value < 0 ? 0 : value > most ? most : value);

/** Applies the map; what comes from outside of the picture is `fill`, one value a channel. Beyond the edge, filters see the edge. */
export function applyAffine(picture: Picture, [a, b, c, d, e, f]: Affine, interpolation: Interpolation, fill: readonly number[]): Picture {
  const { width, height, channels, data } = picture;
  const out = new Uint8ClampedArray(data.length);
  const weights = interpolation === "bicubic" ? cubicWeights : linearWeights;
  const [first, last] = interpolation === "bicubic" ? [0, 3] : [1, 2];
  const isColour = channels === 3;
  const wx = new Float64Array(4);
  const wy = new Float64Array(4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * channels;
      const u = a * (x + 0.5) + b * (y + 0.5) + c;
      const v = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(u >= 0 && u < width && v >= 0 && v < height)) {
        for (let k = 0; k < channels; k++) out[to + k] = fill[k % fill.length];
        continue;
      }
      const column = Math.floor(u - 0.5);
      const row = Math.floor(v - 0.5);
      weights(u - 0.5 - column, wx);
      weights(v - 0.5 - row, wy);
      const w0 = wx[0];
      const w1 = wx[1];
      const w2 = wx[2];
      const w3 = wx[3];
      const x0 = clamp(column - 1, width - 1) * channels;
      const x1 = clamp(column, width - 1) * channels;
      const x2 = clamp(column + 1, width - 1) * channels;
      const x3 = clamp(column + 2, width - 1) * channels;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      for (let j = first; j <= last; j++) {
        const line = clamp(row - 1 + j, height - 1) * width * channels;
        const down = wy[j];
        const p0 = line + x0;
        const p1 = line + x1;
        const p2 = line + x2;
        const p3 = line + x3;
        s0 += down * (w0 * data[p0] + w1 * data[p1] + w2 * data[p2] + w3 * data[p3]);
        if (isColour) {
          s1 += down * (w0 * data[p0 + 1] + w1 * data[p1 + 1] + w2 * data[p2 + 1] + w3 * data[p3 + 1]);
          s2 += down * (w0 * data[p0 + 2] + w1 * data[p1 + 2] + w2 * data[p2 + 2] + w3 * data[p3 + 2]);
        }
      }
      out[to] = s0;
      if (isColour) {
        out[to + 1] = s1;
        out[to + 2] = s2;
      }
    }
  }
  return { width, height, channels, data: new Uint8Array(out.buffer) };
}
