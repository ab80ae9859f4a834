/** Sliding windows, in one dim and over images, and putting them back. */
import { OpError } from "../errors.js";
import { checkInteger, checkOptions, checkTensor } from "../ops/check.js";
import { padWith, permute, reshapeTo } from "../ops/view.js";
import { type WindowAttrs, windowOp, windowSum } from "../ops/window.js";
import { normalizeDim, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";

type Pair = number | readonly number[];

function pair(op: string, value: Pair, name: string, least: number): [number, number] {
  const both = typeof value === "number" ? [value, value] : value.length === 1 ? [value[0], value[0]] : value;
  if (both.length !== 2 || both.some((n) => !Number.isInteger(n) || n < least)) {
    throw new OpError(
      op,
      `${name} must be a whole number ≥ ${least} or two of them; got ${typeof value === "number" ? value : showShape(value)}`,
    );
  }
  return [both[0], both[1]];
}

/** Windows of `size` elements every `step` along `dim`, in a new last dim. Reference: torch.Tensor.unfold. */
export function unfoldDim(x: Tensor, dim: number, size: number, step: number): Tensor {
  checkTensor("unfold", x);
  checkInteger("unfold", size, "size");
  checkInteger("unfold", step, "step");
  const at = normalizeDim("unfold", dim, x.ndim);
  const length = x.ndim === 0 ? 1 : x.shape[at];
  if (size < 0 || size > length)
    throw new OpError("unfold", `windows of ${size} elements do not fit dim ${dim} of ${showShape(x.shape)}, which has ${length}`);
  if (step < 1) throw new OpError("unfold", `step must be 1 or more; got ${step}`);
  if (x.ndim === 0) return size === 1 ? reshapeTo(x, [1]) : padWith(reshapeTo(x, [1]), [0], [-1], 0);
  return apply(windowOp, [x], { dim: at, size, dilation: 1, step });
}

export interface FoldOptions {
  readonly dilation?: Pair;
  readonly padding?: Pair;
  readonly stride?: Pair;
}

interface Grid {
  readonly kernel: readonly [number, number];
  readonly padding: readonly [number, number];
  /** Of the rows, then of the columns: where windows start, and how many there are. */
  readonly windows: readonly [WindowAttrs, WindowAttrs];
  readonly counts: readonly [number, number];
}

function grid(op: string, size: readonly [number, number], kernelSize: Pair, options: FoldOptions | undefined): Grid {
  checkOptions(op, options, ["dilation", "padding", "stride"]);
  const kernel = pair(op, kernelSize, "kernelSize", 1);
  const dilation = pair(op, options?.dilation ?? 1, "dilation", 1);
  const padding = pair(op, options?.padding ?? 0, "padding", 0);
  const stride = pair(op, options?.stride ?? 1, "stride", 1);
  const counts = [0, 1].map((i) => Math.floor((size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1);
  if (counts.some((n) => n < 1)) {
    throw new OpError(
      op,
      `a kernel of ${showShape(kernel)} with dilation ${showShape(dilation)} does not fit images of ${showShape(size)} with padding ${showShape(padding)}`,
    );
  }
  const attrs = (i: 0 | 1): WindowAttrs => ({ dim: 2 + i, size: kernel[i], dilation: dilation[i], step: stride[i] });
  return { kernel, padding, windows: [attrs(0), attrs(1)], counts: [counts[0], counts[1]] };
}

/** Amounts of padding for [N, C, H, W]. */
const around = ([rows, columns]: readonly [number, number], sign: 1 | -1): number[] =>
  [0, 0, sign * rows, sign * columns].map((n) => (n === 0 ? 0 : n));

/**
 * The windows of images as columns: [N, C, H, W] → [N, C · kh · kw, L], L windows in row-major order. [C, H, W] works alike.
 * Reference: torch.nn.functional.unfold.
 */
export function unfold(x: Tensor, kernelSize: Pair, options?: FoldOptions): Tensor {
  checkTensor("unfold", x);
  if (x.ndim !== 3 && x.ndim !== 4) throw new OpError("unfold", `expected [N, C, H, W] or [C, H, W]; got ${showShape(x.shape)}`);
  const [n, c, h, w] = x.ndim === 3 ? [1, ...x.shape] : x.shape;
  const { kernel, padding, windows, counts } = grid("unfold", [h, w], kernelSize, options);
  const padded = padWith(reshapeTo(x, [n, c, h, w]), around(padding, 1), around(padding, 1), 0);
  const cut = apply(windowOp, [apply(windowOp, [padded], windows[0])], windows[1]); // [N, C, Lh, Lw, kh, kw]
  const columns = reshapeTo(permute(cut, [0, 1, 4, 5, 2, 3]), [n, c * kernel[0] * kernel[1], counts[0] * counts[1]]);
  return x.ndim === 3 ? reshapeTo(columns, columns.shape.slice(1)) : columns;
}

/**
 * Puts columns back into images and adds where windows overlap: [N, C · kh · kw, L] → [N, C, ...outputSize]; the adjoint of `unfold`.
 * Reference: torch.nn.functional.fold.
 */
export function fold(x: Tensor, outputSize: Pair, kernelSize: Pair, options?: FoldOptions): Tensor {
  checkTensor("fold", x);
  const size = pair("fold", outputSize, "outputSize", 1);
  const { kernel, padding, windows, counts } = grid("fold", size, kernelSize, options);
  const [columns, length] = x.shape.slice(-2);
  const area = kernel[0] * kernel[1];
  if ((x.ndim !== 2 && x.ndim !== 3) || columns % area !== 0 || length !== counts[0] * counts[1]) {
    throw new OpError(
      "fold",
      `expected [N, C · ${area}, ${counts[0] * counts[1]}] (windows of ${showShape(kernel)} in an output of ${showShape(size)}); got ${showShape(x.shape)}`,
    );
  }
  const [n, c] = [x.ndim === 2 ? 1 : x.shape[0], columns / area];
  const cut = permute(reshapeTo(x, [n, c, ...kernel, ...counts]), [0, 1, 4, 5, 2, 3]); // [N, C, Lh, Lw, kh, kw]
  const rows = windowSum(cut, size[1] + 2 * padding[1], windows[1]); // [N, C, Lh, W, kh]
  const images = padWith(windowSum(rows, size[0] + 2 * padding[0], windows[0]), around(padding, -1), around(padding, -1), 0);
  return x.ndim === 2 ? reshapeTo(images, images.shape.slice(1)) : images;
}
