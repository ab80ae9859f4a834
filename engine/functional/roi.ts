/** Features of regions of interest: boxes (batch index, x1, y1, x2, y2) of an image, each brought to one size. */
import { isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, checkTensors, hostValues } from "../ops/check.js";
import { cat } from "../ops/concat.js";
import { gatherAt } from "../ops/index.js";
import { filled, filledLike, iota } from "../ops/leaf.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { abs, add, ceil, clamp, div, eq, floor, ge, gt, le, logicalAnd, lt, maximum, mul, relu, sign, sub, where } from "./elementwise.js";
import { indexSelect } from "./indexing.js";
import { matmul } from "./linalg.js";
import { expand, permute, reshape, select, transpose, unsqueeze } from "./movement.js";
import { amax, sum } from "./reduction.js";
import { type Sizes, spatialSizes } from "./sizes.js";

/** Rows (batch index, x1, y1, x2, y2) [K, 5], or for each image of the batch its boxes [L, 4]. */
export type Rois = Tensor | readonly Tensor[];

export interface RoiPoolOptions {
  /** From the boxes' units to elements of the input. Default 1. */
  readonly spatialScale?: number;
}

export interface RoiAlignOptions extends RoiPoolOptions {
  /** Samples a bin along each dim; ≤ 0 (default -1): as many as the bin has elements, rounded up. */
  readonly samplingRatio?: number;
  /** Whether positions are moved by half an element, so that (0, 0) is the corner of the first element and not its centre. Default false. */
  readonly aligned?: boolean;
}

interface Regions {
  /** Which image, int32 [K]; null where each image has the same number, one image after the other. */
  readonly image: Tensor | null;
  /** [K, 4], or with the image in front [K, 5]; without gradient. */
  readonly boxes: Tensor;
  readonly count: number;
}

function checkMaps(op: string, input: Tensor): void {
  checkTensor(op, input);
  if (input.ndim !== 4 || !isFloating(input.dtype))
    throw new OpError(op, `the input is ${input.dtype} ${showShape(input.shape)}; expected floats [N, C, H, W]`);
}

/** Boxes [N, L, 4]. */
function evenRegions(op: string, input: Tensor, boxes: Tensor): Regions {
  checkMaps(op, input);
  const [n, each, sides] = boxes.shape;
  if (n !== input.shape[0] || sides !== 4)
    throw new OpError(op, `boxes has shape ${showShape(boxes.shape)}; expected [${input.shape[0]}, L, 4], L boxes for each image`);
  if (boxes.dtype !== input.dtype) throw new OpError(op, `boxes is ${boxes.dtype}, the input ${input.dtype}; cast one with to(dtype)`);
  return { image: null, boxes: reshape(boxes.detach(), [n * each, 4]), count: n * each };
}

function regions(op: string, input: Tensor, rois: Rois): Regions & { readonly image: Tensor } {
  checkMaps(op, input);
  const table = (Array.isArray(rois) ? joined(op, input, rois) : rois) as Tensor;
  checkTensor(op, table, "boxes");
  if (table.ndim !== 2 || table.shape[1] !== 5) {
    throw new OpError(
      op,
      `boxes has shape ${showShape(table.shape)}; expected rows (batch index, x1, y1, x2, y2), [K, 5], or a list of [L, 4]`,
    );
  }
  if (table.dtype !== input.dtype) throw new OpError(op, `boxes is ${table.dtype}, the input ${input.dtype}; cast one with to(dtype)`);
  const [batch, count] = [input.shape[0], table.shape[0]];
  const known = hostValues(table);
  if (known !== null) {
    for (let i = 0; i < known.length; i += 5) {
      if (!(known[i] >= 0 && known[i] < batch))
        throw new OpError(op, `box ${i / 5} belongs to image ${known[i]}, but the batch has ${batch}; valid are 0 to ${batch - 1}`);
    }
  }
  const images = iota([batch], 0, input.device);
  // Reading a table of the images checks, where only the device knows them, that there are such images.
  const image =
    count === 0 ? filled(0, [0], "int32", input.device) : gatherAt(op, images, 0, cast(select(table, 1, 0), "int32"), known !== null);
  return { image, boxes: table.detach(), count };
}

/** The boxes of each image as rows with its number. */
function joined(op: string, input: Tensor, list: readonly Tensor[]): Tensor {
  checkTensors(op, list, "boxes");
  if (list.length !== input.shape[0])
    throw new OpError(op, `boxes is a list of ${list.length}, but the batch has ${input.shape[0]} images; give one tensor [L, 4] for each`);
  return cat(
    list.map((boxes, i) => {
      if (boxes.ndim !== 2 || boxes.shape[1] !== 4)
        throw new OpError(op, `boxes of image ${i} has shape ${showShape(boxes.shape)}; expected [L, 4], rows of (x1, y1, x2, y2)`);
      return cat([filled(i, [boxes.shape[0], 1], boxes.dtype, boxes.device), boxes], { dim: 1 });
    }),
  );
}

function checkScale(op: string, scale: number): number {
  if (typeof scale !== "number" || !Number.isFinite(scale)) throw new OpError(op, `spatialScale must be a number; got ${String(scale)}`);
  return scale;
}

/**
 * Bilinear samples of each box, averaged over the bins of a grid of `outputSize`: [N, C, H, W] and K boxes → [K, C, OH, OW]. Samples
 * further than one element outside count as 0. The input has a gradient, the boxes have none.
 *
 * Where all images have the same number of boxes, a tensor [N, L, 4] says so: [N · L, C, OH, OW], image by image, at a cost that does not
 * grow with the square of the batch.
 *
 * The mean over a bin is a product of one weight a row and one a column, so all is two contractions with small matrices, and so is the
 * gradient: nothing is scattered. Reference: torchvision.ops.roi_align; He et al. (2017).
 */
export function roiAlign(input: Tensor, boxes: Rois, outputSize: Sizes, options?: RoiAlignOptions): Tensor {
  const op = "roiAlign";
  checkOptions(op, options, ["spatialScale", "samplingRatio", "aligned"]);
  const even = !Array.isArray(boxes) && (boxes as Tensor).ndim === 3;
  const { image, boxes: table, count } = even ? evenRegions(op, input, boxes as Tensor) : regions(op, input, boxes);
  const [rows, columns] = spatialSizes(op, "outputSize", outputSize, 2, 1);
  const { samplingRatio = -1, aligned = false } = options ?? {};
  if (!Number.isInteger(samplingRatio)) throw new OpError(op, `samplingRatio must be a whole number; got ${String(samplingRatio)}`);
  const scale = checkScale(op, options?.spatialScale ?? 1);
  const [n, c, height, width] = input.shape;
  if (count === 0) return empty(input, rows, columns);

  const first = table.shape[1] - 4;
  const weights = (side: number, bins: number, length: number): Tensor => {
    const start = sub(mul(select(table, 1, first + side), scale), aligned ? 0.5 : 0);
    const span = sub(sub(mul(select(table, 1, first + side + 2), scale), aligned ? 0.5 : 0), start);
    return binWeights(start, div(aligned ? span : clamp(span, { min: 1 }), bins), bins, length, samplingRatio);
  };
  const across = weights(0, columns, width);
  const down = weights(1, rows, height);
  const byRow = permute(input, [0, 2, 1, 3]);
  const lines =
    image === null
      ? matmul(reshape(down, [n, (count / n) * rows, height]), reshape(byRow, [n, height, c * width]))
      : matmul(ofOwnImage(down, image, n), reshape(byRow, [n * height, c * width]));
  const result = matmul(reshape(lines, [count, rows * c, width]), transpose(across, 1, 2));
  return permute(reshape(result, [count, rows, c, columns]), [0, 2, 1, 3]);
}

/** Weights [K, bins, H] over the rows of all images at once, [K · bins, N · H]: 0 for every image but a box's own. */
function ofOwnImage(weights: Tensor, image: Tensor, n: number): Tensor {
  const [count, bins, length] = weights.shape;
  const own = cast(eq(reshape(image, [count, 1, 1, 1]), reshape(iota([n], 0, weights.device), [1, 1, n, 1])), weights.dtype);
  return reshape(mul(unsqueeze(weights, 2), own), [count * bins, n * length]);
}

/** No boxes: no elements, but a gradient all the same. */
function empty(input: Tensor, rows: number, columns: number): Tensor {
  const none = indexSelect(input, 0, filled(0, [0], "int32", input.device));
  return expand(sum(none, { dim: [2, 3], keepdim: true }), [0, input.shape[1], rows, columns]);
}

/**
 * What each of `length` elements counts in each bin: start [K], bin [K] → [K, bins, length]. Sample i of a bin lies at (i + ½) · step; its
 * weights are 1 − distance to the elements beside it.
 *
 * With a number of samples that depends on the box (⌈bin⌉, so that a step is longer than ½ where there are several) only a few samples can lie within one element's
 * reach of two: they are found from the element, and the loop has a fixed length although the number of samples is data.
 */
function binWeights(start: Tensor, bin: Tensor, bins: number, length: number, ratio: number): Tensor {
  const k = start.shape[0];
  const near = 7;
  const terms = ratio > 0 ? ratio : near;
  const shape = [k, bins, length, terms];
  const column = (t: Tensor): Tensor => reshape(t, [k, 1, 1, 1]);
  const axis = (dim: number): Tensor =>
    cast(
      iota(
        shape.map((size, d) => (d === dim ? size : 1)),
        dim,
        start.device,
      ),
      start.dtype,
    );
  const samples = ratio > 0 ? filledLike(bin, ratio) : ceil(bin);
  const step = column(div(bin, clamp(samples, { min: 1 })));
  const begin = add(add(column(start), mul(axis(1), column(bin))), mul(step, 0.5));
  const element = axis(2);
  const term = axis(3);
  // One sample earlier than needed, as rounding may move a sample over the edge of the reach.
  const sample = ratio > 0 ? term : add(clamp(sub(ceil(div(sub(sub(element, 1), begin), step)), 1), { min: 0 }), term);
  const position = add(begin, mul(sample, step));
  const counts = logicalAnd(logicalAnd(ge(sample, 0), lt(sample, column(samples))), logicalAnd(ge(position, -1), le(position, length)));
  const inside = clamp(position, { min: 0, max: length - 1 });
  const weight = where(counts, relu(sub(1, abs(sub(inside, element)))), 0);
  return div(sum(weight, { dim: 3 }), reshape(clamp(samples, { min: 1 }), [k, 1, 1]));
}

/** Halves away from 0, as C rounds. */
const rounded = (x: Tensor): Tensor => mul(sign(x), floor(add(abs(x), 0.5)));

/**
 * The largest element in each bin of each box, whose corners are rounded to whole elements: [N, C, H, W] and K boxes → [K, C, OH, OW]; 0
 * for bins outside. Equal largest elements share the gradient; the boxes have none. Reference: torchvision.ops.roi_pool.
 */
export function roiPool(input: Tensor, boxes: Rois, outputSize: Sizes, options?: RoiPoolOptions): Tensor {
  const op = "roiPool";
  checkOptions(op, options, ["spatialScale"]);
  const { image, boxes: table, count } = regions(op, input, boxes);
  const [rows, columns] = spatialSizes(op, "outputSize", outputSize, 2, 1);
  const scale = checkScale(op, options?.spatialScale ?? 1);
  const [, c, height, width] = input.shape;
  if (count === 0) return empty(input, rows, columns);

  const bounds = (first: number, bins: number, length: number): { inside: Tensor; none: Tensor } => {
    const start = reshape(rounded(mul(select(table, 1, first), scale)), [count, 1]);
    const end = reshape(rounded(mul(select(table, 1, first + 2), scale)), [count, 1]);
    const bin = div(maximum(add(sub(end, start), 1), filledLike(end, 1)), bins);
    const at = cast(iota([count, bins], 1, input.device), input.dtype);
    const low = clamp(add(floor(mul(at, bin)), start), { min: 0, max: length });
    const high = clamp(add(ceil(mul(add(at, 1), bin)), start), { min: 0, max: length });
    const element = cast(iota([1, 1, length], 2, input.device), input.dtype);
    const inside = logicalAnd(ge(element, unsqueeze(low, 2)), lt(element, unsqueeze(high, 2)));
    return { inside, none: logicalAnd(ge(low, high), ge(bin, 0)) };
  };
  const down = bounds(2, rows, height);
  const across = bounds(1, columns, width);
  const own = reshape(indexSelect(input, 0, image), [count, c, 1, height, width]);
  const lines = amax(where(reshape(down.inside, [count, 1, rows, height, 1]), own, Number.NEGATIVE_INFINITY), { dim: 3 });
  const wide = reshape(lines, [count, c, rows, 1, width]);
  const best = amax(where(reshape(across.inside, [count, 1, 1, columns, width]), wide, Number.NEGATIVE_INFINITY), { dim: 4 });
  const outside = gt(
    add(cast(reshape(down.none, [count, 1, rows, 1]), "int32"), cast(reshape(across.none, [count, 1, 1, columns]), "int32")),
    0,
  );
  return where(outside, 0, best);
}
