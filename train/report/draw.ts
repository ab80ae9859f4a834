/** Boxes, masks, names and classes of pixels on pictures. */
import { labelColour } from "../../models/picture.js";
import { type Picture, withChannels } from "../augment/picture.js";
import { type Detections, ignoredClass, type Scene } from "../data/scene.js";
import { letterHeight, letterWidth, writeText } from "./font.js";

/** Pictures are enlarged by whole numbers until their longer side has this many pixels, so that names can be read. */
const legible = 256;

/** A picture that is drawn on, `scale` of its pixels for one of the original. */
interface Canvas {
  readonly picture: Picture;
  readonly scale: number;
}

function enlargedCanvas(original: Picture): Canvas {
  const { width, height, data } = withChannels(original, 3);
  const scale = Math.max(1, Math.round(legible / Math.max(width, height)));
  const [w, h] = [width * scale, height * scale];
  const out = new Uint8Array(3 * w * h);
  for (let y = 0, at = 0; y < h; y++) {
    for (let x = 0; x < w; x++, at += 3) {
      const from = 3 * (Math.floor(y / scale) * width + Math.floor(x / scale));
      out.set(data.subarray(from, from + 3), at);
    }
  }
  return { picture: { width: w, height: h, channels: 3, data: out }, scale };
}

function blend({ picture: { width, height, data } }: Canvas, x: number, y: number, colour: ArrayLike<number>, share: number): void {
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  const at = 3 * (y * width + x);
  for (let c = 0; c < 3; c++) data[at + c] = Math.round(data[at + c] * (1 - share) + colour[c] * share);
}

/** Blends colours by a map of the original's pixels; null: as it is. */
function tint(canvas: Canvas, colourOf: (pixel: number) => ArrayLike<number> | null, share: number): void {
  const { picture, scale } = canvas;
  const width = picture.width / scale;
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < picture.width; x++) {
      const colour = colourOf(Math.floor(y / scale) * width + Math.floor(x / scale));
      if (colour !== null) blend(canvas, x, y, colour, share);
    }
  }
}

function drawBox(canvas: Canvas, box: ArrayLike<number>, colour: ArrayLike<number>): void {
  const [left, top, right, bottom] = Array.from(box, (value) => Math.round(value * canvas.scale));
  const thickness = 2;
  for (let x = left; x < right; x++)
    for (let y = top; y < bottom; y++)
      if (x < left + thickness || x >= right - thickness || y < top + thickness || y >= bottom - thickness) blend(canvas, x, y, colour, 1);
}

/** White on the colour, above a point or, at the upper edge, below it. */
function drawName(canvas: Canvas, text: string, left: number, top: number, colour: ArrayLike<number>): void {
  const [width, height] = [text.length * letterWidth + 3, letterHeight + 4];
  const x0 = Math.max(0, Math.min(Math.round(left), canvas.picture.width - width));
  const y0 = top >= height ? Math.round(top) - height : Math.round(top);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) blend(canvas, x0 + x, y0 + y, colour, 0.85);
  writeText(text, (x, y) => blend(canvas, x0 + 2 + x, y0 + 2 + y, [255, 255, 255], 1));
}

/** Instances to draw. */
export interface Drawn {
  readonly boxes: Float32Array;
  readonly labels: Int32Array;
  readonly masks?: readonly Uint8Array[];
  /** Without: what is drawn is the truth. */
  readonly scores?: Float32Array;
}

/** Masks in the colours of their categories, boxes, and names with scores in per cent. Best last, so that it lies above. */
export function drawInstances(picture: Picture, { boxes, labels, masks, scores }: Drawn, categories: readonly string[]): Picture {
  const canvas = enlargedCanvas(picture);
  const order = [...labels.keys()].sort((a, b) => (scores?.[a] ?? 0) - (scores?.[b] ?? 0) || b - a);
  const colourOf = (i: number): readonly number[] => labelColour(labels[i]);
  for (const i of order) {
    const mask = masks?.[i];
    if (mask !== undefined) tint(canvas, (pixel) => (mask[pixel] === 1 ? colourOf(i) : null), 0.5);
  }
  for (const i of order) {
    const box = boxes.subarray(4 * i, 4 * i + 4);
    drawBox(canvas, box, colourOf(i));
    const name = categories[labels[i]] ?? String(labels[i]);
    const text = scores === undefined ? name : `${name} ${Math.round(100 * scores[i])}%`;
    drawName(canvas, text, box[0] * canvas.scale, box[1] * canvas.scale, colourOf(i));
  }
  return canvas.picture;
}

/** What a detector has found with at least `leastScore`. */
export function drawDetections(picture: Picture, found: Detections, categories: readonly string[], leastScore = 0.3): Picture {
  const kept = [...found.scores.keys()].filter((i) => found.scores[i] >= leastScore);
  const drawn: Drawn = {
    boxes: Float32Array.from(kept.flatMap((i) => [...found.boxes.subarray(4 * i, 4 * i + 4)])),
    labels: Int32Array.from(kept, (i) => found.labels[i]),
    scores: Float32Array.from(kept, (i) => found.scores[i]),
    ...(found.masks === undefined ? {} : { masks: kept.map((i) => (found.masks as readonly Uint8Array[])[i]) }),
  };
  return drawInstances(picture, drawn, categories);
}

/** The instances of a scene. */
export const drawTruth = ({ image, boxes, labels, masks }: Scene, categories: readonly string[]): Picture =>
  drawInstances(image, { boxes, labels, masks }, categories);

/** Classes of pixels as colours over the picture, with the names of those that are there; class 0 where it is `ground` stays as it is. */
export function drawClasses(picture: Picture, classes: ArrayLike<number>, names: readonly string[]): Picture {
  const canvas = enlargedCanvas(picture);
  const sums = new Map<number, { x: number; y: number; n: number }>();
  const plain = (label: number): boolean => label === ignoredClass || (label === 0 && /^(back)?ground$/.test(names[0] ?? ""));
  const colours = Array.from({ length: 256 }, (_, label) => (plain(label) ? null : labelColour(label)));
  tint(canvas, (pixel) => colours[classes[pixel]], 0.6);
  for (let pixel = 0; pixel < classes.length; pixel++) {
    const label = classes[pixel];
    if (plain(label)) continue;
    const sum = sums.get(label) ?? { x: 0, y: 0, n: 0 };
    sum.x += pixel % picture.width;
    sum.y += Math.floor(pixel / picture.width);
    sum.n++;
    sums.set(label, sum);
  }
  for (const [label, { x, y, n }] of sums) {
    if (n < classes.length / 1000) continue;
    drawName(canvas, names[label] ?? String(label), (x / n) * canvas.scale, (y / n) * canvas.scale, labelColour(label));
  }
  return canvas.picture;
}
