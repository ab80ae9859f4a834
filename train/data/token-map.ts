/**
 * Token labels as they are published (Jiang et al., "All Tokens Matter", 2021): for each picture a PyTorch file `<class>/<name>.pt` with one
 * tensor [2, k, H, W]: the k largest scores at each place of a teacher's last map, and the classes they are of.
 */
import { readFileSync } from "node:fs";
import { OpError } from "../../engine/errors.js";
import { showShape } from "../../engine/shape.js";
import { PthTensor, readPth } from "../../models/weights/pth.js";
import { toTypedArray } from "../../models/weights/stored.js";
import type { View } from "../augment/transform.js";

/** The best classes at each place of a picture, and their scores, both [k, H, W]; the scores of all other classes are 0. */
export interface TokenMap {
  readonly best: number;
  readonly height: number;
  readonly width: number;
  readonly scores: Float32Array;
  readonly classes: Int32Array;
}

/** Reads the token labels of a picture. Throws OpError, naming the file, where it is missing, damaged or something else. */
export function readTokenMap(path: string, numClasses: number): TokenMap {
  const refuse = (why: string, cause?: unknown): OpError => new OpError("tokenLabels", `${path}: ${why}`, { cause });
  let tensor: ReturnType<typeof readPth>;
  try {
    tensor = readPth(readFileSync(path));
  } catch (error) {
    throw refuse((error as Error).message.replace(/^readPth: /, ""), error);
  }
  if (!(tensor instanceof PthTensor)) throw refuse("expected one tensor [2, k, H, W]");
  const [two, best, height, width] = tensor.shape;
  if (tensor.shape.length !== 4 || two !== 2 || best * height * width === 0)
    throw refuse(`expected a tensor [2, k, H, W], scores and classes; got ${showShape(tensor.shape)}`);
  const values = toTypedArray(tensor, "float32") as Float32Array;
  const size = best * height * width;
  const classes = Int32Array.from(values.subarray(size));
  const strange = classes.findIndex((label, i) => label !== values[size + i] || label < 0 || label >= numClasses);
  if (strange !== -1) throw refuse(`it names class ${values[size + strange]}; expected whole numbers from 0 to ${numClasses - 1}`);
  return { best, height, width, scores: values.slice(0, size), classes };
}

/** How targets are made of token labels. */
export interface TokenTargets {
  readonly classes: number;
  readonly smoothing: number;
  /** Tokens of the network's last map in a row, and in a column. */
  readonly side: number;
}

/**
 * Writes the target of an image, [classes, 2 + side²], at `offset` of `out`: the label, what the map says of the part in view, and what it says
 * of each token. Scores are pooled (`pooled`), become probabilities by softmax over all classes, and are smoothed.
 */
export function tokenTargets(
  map: TokenMap,
  view: View,
  label: number,
  { classes, smoothing, side }: TokenTargets,
  out: Float32Array,
  offset: number,
): void {
  const off = smoothing / classes;
  const on = 1 - smoothing + off;
  const columns = 2 + side * side;
  for (let c = 0; c < classes; c++) out[offset + c * columns] = c === label ? on : off;
  const write = (scores: Float64Array, column: number): void => {
    const most = scores.reduce((a, b) => Math.max(a, b));
    const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0);
    for (let c = 0; c < classes; c++) out[offset + c * columns + column] = (Math.exp(scores[c] - most) / sum) * on + off;
  };
  write(pooled(map, view, 1, classes)[0], 1);
  pooled(map, view, side, classes).forEach((scores, i) => {
    const [row, column] = [Math.floor(i / side), i % side];
    const seenRow = view.upsideDown ? side - 1 - row : row;
    const seenColumn = view.mirrored ? side - 1 - column : column;
    write(scores, 2 + seenRow * side + seenColumn);
  });
}

/** Places of a line that a value between two of them is made of; beyond one place outside there is nothing. */
function neighbours(at: number, length: number): readonly (readonly [place: number, share: number])[] {
  if (at < -1 || at > length) return [];
  const inside = Math.min(Math.max(at, 0), length - 1);
  const low = Math.floor(inside);
  const share = inside - low;
  return share === 0
    ? [[low, 1]]
    : [
        [low, 1 - share],
        [low + 1, share],
      ];
}

/**
 * Mean scores of side × side parts of what is in view, each of all classes, as torchvision's `roi_align` pools them with `aligned=False` from
 * boxes half a place further left and up.
 */
function pooled({ best, height, width, scores, classes }: TokenMap, view: View, side: number, numClasses: number): Float64Array[] {
  const [left, top] = [view.left * width - 0.5, view.top * height - 0.5];
  const across = Math.max((view.right - view.left) * width, 1) / side;
  const down = Math.max((view.bottom - view.top) * height, 1) / side;
  const [columns, rows] = [Math.ceil(across), Math.ceil(down)];
  return Array.from({ length: side * side }, (_, part) => {
    const sums = new Float64Array(numClasses);
    const y0 = top + Math.floor(part / side) * down;
    const x0 = left + (part % side) * across;
    for (let i = 0; i < rows * columns; i++) {
      const y = neighbours(y0 + ((Math.floor(i / columns) + 0.5) * down) / rows, height);
      const x = neighbours(x0 + (((i % columns) + 0.5) * across) / columns, width);
      for (const [row, above] of y) {
        for (const [column, beside] of x) {
          for (let k = 0; k < best; k++) {
            const at = (k * height + row) * width + column;
            sums[classes[at]] += (scores[at] * above * beside) / (rows * columns);
          }
        }
      }
    }
    return sums;
  });
}
