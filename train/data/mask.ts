/**
 * Masks of instances as COCO writes them: run lengths down the columns, plain or as text, and polygons. Everything here gives the bits that
 * pycocotools gives.
 *
 * Original: cocoapi's `common/maskApi.c`.
 */

/** Lengths of runs down the columns, column after column: off, on, off, … */
export interface Rle {
  readonly height: number;
  readonly width: number;
  readonly counts: ArrayLike<number>;
}

/** A bitmap [height, width], row by row, as run lengths. */
export function encodeRle(mask: Uint8Array, height: number, width: number): Rle {
  const counts: number[] = [];
  let [value, run] = [0, 0];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const here = mask[y * width + x] === 0 ? 0 : 1;
      if (here !== value) {
        counts.push(run);
        run = 0;
        value = here;
      }
      run++;
    }
  }
  if (height * width > 0) counts.push(run);
  return { height, width, counts };
}

/** The bitmap [height, width], row by row. Throws where the runs do not fill it. */
export function decodeRle(rle: Rle): Uint8Array {
  const { height, width, counts } = rle;
  const wrong = rleProblem(rle);
  if (wrong !== null) throw new Error(wrong);
  const mask = new Uint8Array(height * width);
  let at = 0;
  for (let i = 0; i < counts.length; i++) {
    const end = at + counts[i];
    if (i % 2 === 0) at = end;
    else for (; at < end; at++) mask[(at % height) * width + Math.floor(at / height)] = 1;
  }
  return mask;
}

/** What is wrong with run lengths; null: nothing. */
export function rleProblem({ height, width, counts }: Rle): string | null {
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    const run = counts[i];
    if (!Number.isInteger(run) || run < 0) return `run ${i} is ${run}; expected a whole number from 0 up`;
    sum += run;
  }
  return sum === height * width ? null : `the runs make ${sum} pixels; expected ${height} × ${width} = ${height * width}`;
}

/** Runs as COCO's text: differences from the run before the last, five bits a character. */
export function rleToString({ counts }: Rle): string {
  let text = "";
  for (let i = 0; i < counts.length; i++) {
    let value = counts[i] - (i > 2 ? counts[i - 2] : 0);
    for (let more = true; more; ) {
      let bits = value & 0x1f;
      value >>= 5;
      more = bits & 0x10 ? value !== -1 : value !== 0;
      if (more) bits |= 0x20;
      text += String.fromCharCode(bits + 48);
    }
  }
  return text;
}

/** Runs from COCO's text. Throws for characters that it does not have, and for text that ends within a run. */
export function rleFromString(text: string, height: number, width: number): Rle {
  const counts: number[] = [];
  for (let at = 0; at < text.length; ) {
    let [value, shift] = [0, 0];
    for (let more = true; more; shift += 5) {
      if (at >= text.length) throw new Error("the text ends within a run");
      const bits = text.charCodeAt(at) - 48;
      if (!(bits >= 0 && bits < 64) || shift > 30)
        throw new Error(`character ${at} is ${JSON.stringify(text[at])}, which no run has there`);
      value |= (bits & 0x1f) << shift;
      more = (bits & 0x20) !== 0;
      if (!more && bits & 0x10 && shift < 27) value |= -1 << (shift + 5);
      at++;
    }
    counts.push(value + (counts.length > 2 ? counts[counts.length - 2] : 0));
  }
  return { height, width, counts };
}

/** Pixels that are on. */
export function rleArea({ counts }: Rle): number {
  let area = 0;
  for (let i = 1; i < counts.length; i += 2) area += counts[i];
  return area;
}

/** Pixels that are on in both. */
function rleOverlap(a: Rle, b: Rle): number {
  let overlap = 0;
  let [i, j] = [0, 0];
  let [leftA, leftB] = [a.counts[0] ?? 0, b.counts[0] ?? 0];
  while (i < a.counts.length && j < b.counts.length) {
    const run = Math.min(leftA, leftB);
    if (i % 2 === 1 && j % 2 === 1) overlap += run;
    leftA -= run;
    leftB -= run;
    if (leftA === 0) leftA = a.counts[++i] ?? 0;
    if (leftB === 0) leftB = b.counts[++j] ?? 0;
  }
  return overlap;
}

/** Overlap over union; where `truth` is a crowd, over what was found. */
export function rleIou(found: Rle, truth: Rle, crowd: boolean): number {
  const overlap = rleOverlap(found, truth);
  if (overlap === 0) return 0;
  const area = rleArea(found);
  return overlap / (crowd ? area : area + rleArea(truth) - overlap);
}

/** Left, top, right, bottom of what is on, right and bottom exclusive; null where nothing is. */
export function maskBox(mask: Uint8Array, height: number, width: number): readonly [number, number, number, number] | null {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (mask[at] === 0) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right === 0 ? null : [left, top, right, bottom];
}

/** Sub-pixels along a pixel's side. */
const fine = 5;

/** All of a polygon's border in sub-pixels, edge after edge. */
function border(polygon: ArrayLike<number>): { readonly u: number[]; readonly v: number[] } {
  const n = polygon.length / 2;
  const at = (i: number, axis: 0 | 1): number => Math.trunc(fine * polygon[2 * (i % n) + axis] + 0.5);
  const u: number[] = [];
  const v: number[] = [];
  for (let i = 0; i < n; i++) {
    let [xs, ys, xe, ye] = [at(i, 0), at(i, 1), at(i + 1, 0), at(i + 1, 1)];
    const [dx, dy] = [Math.abs(xe - xs), Math.abs(ye - ys)];
    const flat = dx >= dy;
    const flip = flat ? xs > xe : ys > ye;
    if (flip) [xs, ys, xe, ye] = [xe, ye, xs, ys];
    const length = flat ? dx : dy;
    const slope = length === 0 ? 0 : (flat ? ye - ys : xe - xs) / length;
    for (let d = 0; d <= length; d++) {
      const t = flip ? length - d : d;
      u.push(flat ? t + xs : Math.trunc(xs + slope * t + 0.5));
      v.push(flat ? Math.trunc(ys + slope * t + 0.5) : t + ys);
    }
  }
  return { u, v };
}

/** A polygon x₀, y₀, x₁, y₁, … as run lengths. */
export function polygonRle(polygon: ArrayLike<number>, height: number, width: number): Rle {
  const { u, v } = border(polygon);
  // Where the border crosses the middle of a column, the runs change.
  const changes: number[] = [];
  for (let j = 1; j < u.length; j++) {
    if (u[j] === u[j - 1]) continue;
    const x = ((u[j] < u[j - 1] ? u[j] : u[j] - 1) + 0.5) / fine - 0.5;
    if (!Number.isInteger(x) || x < 0 || x > width - 1) continue;
    const y = (Math.min(v[j], v[j - 1]) + 0.5) / fine - 0.5;
    changes.push(x * height + Math.ceil(Math.min(Math.max(y, 0), height)));
  }
  changes.push(height * width);
  changes.sort((a, b) => a - b);
  const runs = changes.map((change, i) => change - (i === 0 ? 0 : changes[i - 1]));
  // A change twice at one place is none.
  const counts = [runs[0]];
  for (let j = 1; j < runs.length; j++) {
    if (runs[j] > 0) counts.push(runs[j]);
    else if (++j < runs.length) counts[counts.length - 1] += runs[j];
  }
  return { height, width, counts };
}

/** The bitmap [height, width] that polygons cover together. */
export function polygonMask(polygons: readonly ArrayLike<number>[], height: number, width: number): Uint8Array {
  const mask = new Uint8Array(height * width);
  for (const polygon of polygons) {
    const one = decodeRle(polygonRle(polygon, height, width));
    for (let i = 0; i < mask.length; i++) mask[i] |= one[i];
  }
  return mask;
}
