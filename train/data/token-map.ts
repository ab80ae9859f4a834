/** Token labels of a picture, and the targets that they make of the part of it that is in view. */
import type { View } from "../augment/transform.js";

/** The best classes at each place of a picture, and their scores, both [k, H, W]; the scores of all other classes are 0. */
export interface TokenMap {
  readonly best: number;
  readonly height: number;
  readonly width: number;
  readonly scores: Float32Array;
  readonly classes: Int32Array;
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
