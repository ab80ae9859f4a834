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
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      for (let j = first; j <= last; j++) {
        const line = clamp(row - 1 + j, height - 1) * width;
        for (let i = first; i <= last; i++) {
          const weight = wy[j] * wx[i];
          const at = (line + clamp(column - 1 + i, width - 1)) * channels;
          s0 += weight * data[at];
          if (channels === 3) {
            s1 += weight * data[at + 1];
            s2 += weight * data[at + 2];
          }
        }
      }
      out[to] = s0;
      if (channels === 3) {
        out[to + 1] = s1;
        out[to + 2] = s2;
      }
    }
  }
  return { width, height, channels, data: new Uint8Array(out.buffer) };
}
