/** Pictures composed of MNIST's digits on a textured ground, with exact boxes and masks. */
import { Draws } from "../augment/draws.js";
import { blank, luma, type Picture } from "../augment/picture.js";
import type { Dataset, Split } from "./dataset.js";
import { maskBox } from "./mask.js";
import type { Scene } from "./scene.js";

export interface DigitScenesOptions {
  /** Side of the pictures. Default 128. */
  readonly size?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Fewest and most digits of a picture. Default 1 to 3; where there is no room for one, a picture has fewer. */
  readonly digits?: readonly [number, number];
}

/** Least share of a digit that others leave to be seen. */
const leastSeen = 0.7;
/** Most of a digit's box that is another's too: no digit stands within another. */
const mostShared = 0.25;
/** Side of a digit's box of 28 × 28 pixels, as a share of the picture's. */
const sides = [0.32, 0.66] as const;
const mostTurn = Math.PI / 6;
/** By how much a digit is brighter than its ground at least, of 255. */
const leastContrast = 60;

/** A digit where it stands, as shares of its colour: what of it is drawn, and which pixels are on it. */
interface Placed {
  readonly label: number;
  readonly alpha: Float32Array;
  readonly mask: Uint8Array;
  /** Pixels of it. */
  readonly area: number;
  /** Left, top, right, bottom. */
  readonly box: readonly number[];
  readonly colour: readonly number[];
}

/** Scene `index` of a half: a function of the options and these alone. Digits of the halves of MNIST do not mix. */
export function digitScene(digits: Dataset, split: Split, index: number, options: DigitScenesOptions = {}): Scene {
  const { size = 128, seed = 0, digits: [fewest, most] = [1, 3] } = options;
  const draws = new Draws(seed, "scene", split === "train" ? 0 : 1, index);
  const ground = texture(size, draws);
  const wanted = fewest + draws.integer(most - fewest + 1);
  const placed: Placed[] = [];
  // For each pixel the number of the digit on top, from 1.
  let top = new Uint8Array(size * size);
  for (let tries = 0; placed.length < wanted && tries < 20 * wanted; tries++) {
    const digit = place(digits, draws.integer(digits.length), ground, sides, draws);
    if (digit === null) continue;
    const next = top.slice();
    for (let at = 0; at < next.length; at++) if (digit.mask[at] === 1) next[at] = placed.length + 1;
    const seen = areas(next, placed.length + 1);
    if (!placed.every(({ area, box }, i) => seen[i] >= leastSeen * area && shared(box, digit.box) <= mostShared)) continue;
    placed.push(digit);
    top = next;
  }
  const masks = placed.map((_, i) => top.map((number) => (number === i + 1 ? 1 : 0)));
  return {
    image: paint(ground, placed, draws),
    imageId: index + 1,
    boxes: Float32Array.from(masks.flatMap((mask) => [...(maskBox(mask, size, size) ?? [])])),
    labels: Int32Array.from(placed, ({ label }) => label),
    masks,
    iscrowd: new Uint8Array(placed.length),
    areas: areas(top, placed.length),
    semantic: top.map((number) => (number === 0 ? 0 : placed[number - 1].label + 1)),
  };
}

/**
 * One digit as it stands in scenes of 128 pixels: turned, in some colour, on a textured ground, and as large as there, or smaller in pictures
 * of less than 64 pixels. A function of the arguments alone.
 */
export function digitPicture(
  digits: Dataset,
  split: Split,
  index: number,
  { size = 64, seed = 0 }: { size?: number; seed?: number } = {},
): Picture {
  const draws = new Draws(seed, "digit", split === "train" ? 0 : 1, index);
  const share = Math.min(2, 128 / size);
  const [least, greatest] = sides;
  const cells = [4, 14].map((cells) => Math.round(cells / share)) as [number, number];
  for (;;) {
    // A ground that is hard to tell from any digit gives way to another.
    const ground = texture(size, draws, cells);
    for (let tries = 0; tries < 20; tries++) {
      const digit = place(digits, index, ground, [least * share, greatest * share], draws);
      if (digit !== null) return paint(ground, [digit], draws);
    }
  }
}

/** Of the smaller of two boxes, what is in the other. */
function shared(a: readonly number[], b: readonly number[]): number {
  const area = ([left, top, right, bottom]: readonly number[]): number => Math.max(0, right - left) * Math.max(0, bottom - top);
  const both = a.map((side, i) => (i < 2 ? Math.max(side, b[i]) : Math.min(side, b[i])));
  return area(both) / Math.min(area(a), area(b));
}

/** How many pixels have each number from 1 to n. */
function areas(numbers: Uint8Array, n: number): Float32Array {
  const found = new Float32Array(n + 1);
  for (let at = 0; at < numbers.length; at++) found[numbers[at]]++;
  return found.subarray(1);
}

/**
 * A digit of some size, turned, somewhere within the picture; null where it would stand out of it, or could not be told from the ground.
 * `sides`: least and greatest side of its box, as a share of the picture's.
 */
function place(digits: Dataset, index: number, ground: Picture, sides: readonly [number, number], draws: Draws): Placed | null {
  const { width: side, data } = digits.picture(index) as Picture;
  const size = ground.width;
  const scale = (draws.uniform(...sides) * size) / side;
  const turn = draws.uniform(-mostTurn, mostTurn);
  const reach = (scale * side) / 2;
  const [cx, cy] = [draws.uniform(0.6 * reach, size - 0.6 * reach), draws.uniform(0.6 * reach, size - 0.6 * reach)];
  const colour = [0, 1, 2].map(() => draws.uniform(80, 255));
  const [cos, sin] = [Math.cos(turn) / scale, Math.sin(turn) / scale];
  const value = (x: number, y: number): number => (x >= 0 && y >= 0 && x < side && y < side ? data[y * side + x] : 0);
  const alpha = new Float32Array(size * size);
  const mask = new Uint8Array(size * size);
  let [brightness, pixels] = [0, 0];
  // The corners of the digit's box are no farther from its middle.
  const from = (middle: number): number => Math.max(0, Math.floor(middle - 1.5 * reach));
  const to = (middle: number): number => Math.min(size, Math.ceil(middle + 1.5 * reach));
  for (let y = from(cy); y < to(cy); y++) {
    for (let x = from(cx); x < to(cx); x++) {
      const [dx, dy] = [x + 0.5 - cx, y + 0.5 - cy];
      const [u, v] = [cos * dx + sin * dy + side / 2 - 0.5, cos * dy - sin * dx + side / 2 - 0.5];
      if (u <= -1 || v <= -1 || u >= side || v >= side) continue;
      const [left, top] = [Math.floor(u), Math.floor(v)];
      const [right, bottom] = [u - left, v - top];
      const above = value(left, top) * (1 - right) + value(left + 1, top) * right;
      const below = value(left, top + 1) * (1 - right) + value(left + 1, top + 1) * right;
      const at = y * size + x;
      alpha[at] = (above * (1 - bottom) + below * bottom) / 255;
      if (alpha[at] < 0.5) continue;
      // On the very border it might go on outside.
      if (x === 0 || y === 0 || x === size - 1 || y === size - 1) return null;
      mask[at] = 1;
      brightness += luma(ground.data[3 * at], ground.data[3 * at + 1], ground.data[3 * at + 2]);
      pixels++;
    }
  }
  const box = maskBox(mask, size, size);
  if (box === null) return null;
  const own = luma(Math.round(colour[0]), Math.round(colour[1]), Math.round(colour[2]));
  return own - brightness / pixels < leastContrast ? null : { label: digits.label(index), alpha, mask, area: pixels, box, colour };
}

/** A ground of two colours that pass into one another in patches of two sizes; `cells`: patches along a side. */
function texture(size: number, draws: Draws, cells: readonly [number, number] = [4, 14]): Picture {
  const picture = blank(size, size, 3);
  const colours = [0, 1].map(() => [0, 1, 2].map(() => draws.uniform(0, 130)));
  const grids = [
    { cells: cells[0], weight: 0.7 },
    { cells: cells[1], weight: 0.3 },
  ].map((grid) => ({ ...grid, values: Float32Array.from({ length: (grid.cells + 1) ** 2 }, () => draws.uniform()) }));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let share = 0;
      for (const { cells: across, values, weight } of grids) {
        const u = (x / size) * across;
        const v = (y / size) * across;
        const i = Math.floor(u);
        const j = Math.floor(v);
        const at = j * (across + 1) + i;
        const above = values[at] + (values[at + 1] - values[at]) * (u - i);
        const below = values[at + across + 1] + (values[at + across + 2] - values[at + across + 1]) * (u - i);
        share += weight * (above + (below - above) * (v - j));
      }
      for (let c = 0; c < 3; c++)
        picture.data[3 * (y * size + x) + c] = Math.round(colours[0][c] + (colours[1][c] - colours[0][c]) * share);
    }
  }
  return picture;
}

/** Ground and digits, under a little noise. */
function paint(ground: Picture, placed: readonly Placed[], draws: Draws): Picture {
  const values = Float32Array.from(ground.data);
  for (const { alpha, colour } of placed) {
    for (let at = 0; at < alpha.length; at++) {
      if (alpha[at] === 0) continue;
      for (let c = 0; c < 3; c++) values[3 * at + c] += (colour[c] - values[3 * at + c]) * alpha[at];
    }
  }
  const noise = draws.uniform(0, 24);
  const data = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i += 3) {
    // One draw gives the noise of all three channels.
    const bits = draws.bits();
    for (let c = 0; c < 3; c++) data[i + c] = values[i + c] + (((bits >>> (8 * c)) & 255) / 255 - 0.5) * noise;
  }
  return { ...ground, data: new Uint8Array(data.buffer) };
}
