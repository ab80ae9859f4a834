/** Rearrangement and sampling of images. */
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { gatherAt } from "../ops/index.js";
import { type Shape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { abs, add, clamp, div, floor, ge, le, logicalAnd, mul, remainder, round, sub, to, where } from "./elementwise.js";
import { expand, permute, reshape, select } from "./movement.js";
import { cubic } from "./resize.js";

function checkFactor(
  op: string,
  input: Tensor,
  name: string,
  factor: number,
): { outer: Shape; channels: number; height: number; width: number } {
  checkTensor(op, input);
  if (input.ndim < 3) throw new OpError(op, `the input has shape ${showShape(input.shape)}; expected [..., C, H, W]`);
  if (!Number.isInteger(factor) || factor < 1) throw new OpError(op, `${name} is ${factor}; expected a whole number ≥ 1`);
  const [channels, height, width] = input.shape.slice(-3);
  return { outer: input.shape.slice(0, -3), channels, height, width };
}

/** Moves channels into space: [..., C·r², H, W] → [..., C, H·r, W·r]. */
export function pixelShuffle(input: Tensor, upscaleFactor: number): Tensor {
  const { outer, channels, height, width } = checkFactor("pixelShuffle", input, "upscaleFactor", upscaleFactor);
  const r = upscaleFactor;
  if (channels % (r * r) !== 0) throw new OpError("pixelShuffle", `${channels} channels do not divide by upscaleFactor² = ${r * r}`);
  const n = outer.length;
  const apart = reshape(input, [...outer, channels / (r * r), r, r, height, width]);
  const order = [n, n + 3, n + 1, n + 4, n + 2];
  return reshape(permute(apart, [...outer.map((_, i) => i), ...order]), [...outer, channels / (r * r), height * r, width * r]);
}

/** Undoes `pixelShuffle`: [..., C, H·r, W·r] → [..., C·r², H, W]. */
export function pixelUnshuffle(input: Tensor, downscaleFactor: number): Tensor {
  const { outer, channels, height, width } = checkFactor("pixelUnshuffle", input, "downscaleFactor", downscaleFactor);
  const r = downscaleFactor;
  if (height % r !== 0 || width % r !== 0)
    throw new OpError("pixelUnshuffle", `height ${height} and width ${width} must divide by downscaleFactor ${r}`);
  const n = outer.length;
  const apart = reshape(input, [...outer, channels, height / r, r, width / r, r]);
  const order = [n, n + 2, n + 4, n + 1, n + 3];
  return reshape(permute(apart, [...outer.map((_, i) => i), ...order]), [...outer, channels * r * r, height / r, width / r]);
}

export interface GridSampleOptions {
  /** Default "bilinear". */
  readonly mode?: "bilinear" | "nearest" | "bicubic";
  /** What is outside the image: zeros (default), its border, or its reflection. */
  readonly paddingMode?: "zeros" | "border" | "reflection";
  /** Whether −1 and 1 are the centres of the corner elements, or the corners themselves (default). */
  readonly alignCorners?: boolean | null;
}

/** The image [N, C, H, W] at the places of grid [N, OH, OW, 2], as (x, y) in −1 … 1 → [N, C, OH, OW]. */
export function gridSample(input: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor {
  const op = "gridSample";
  checkTensor(op, input);
  checkTensor(op, grid, "grid");
  checkOptions(op, options, ["mode", "paddingMode", "alignCorners"]);
  const { mode = "bilinear", paddingMode = "zeros", alignCorners = false } = options;
  if (!["bilinear", "nearest", "bicubic"].includes(mode))
    throw new OpError(op, `mode is "${mode}"; expected "bilinear", "nearest" or "bicubic"`);
  if (!["zeros", "border", "reflection"].includes(paddingMode))
    throw new OpError(op, `paddingMode is "${paddingMode}"; expected "zeros", "border" or "reflection"`);
  if (input.ndim !== 4 || grid.ndim !== 4 || grid.shape[3] !== 2 || input.shape[0] !== grid.shape[0]) {
    throw new OpError(
      op,
      `expected an input [N, C, H, W] and a grid [N, OH, OW, 2]; got ${showShape(input.shape)} and ${showShape(grid.shape)}`,
    );
  }
  const [height, width] = input.shape.slice(2);
  /** A coordinate in −1 … 1 in elements. */
  const place = (coordinate: Tensor, size: number): Tensor =>
    alignCorners ? mul(add(coordinate, 1), (size - 1) / 2) : sub(mul(add(coordinate, 1), size / 2), 0.5);
  const padded = (at: Tensor, size: number): Tensor => {
    if (paddingMode === "zeros") return at;
    const inside = paddingMode === "reflection" ? reflected(at, alignCorners ? 0 : -0.5, alignCorners ? size - 1 : size) : at;
    return clamp(inside, { min: 0, max: size - 1 });
  };
  const [column, row] = [place(select(grid, 3, 0), width), place(select(grid, 3, 1), height)];
  if (mode === "bicubic") {
    // Here each neighbour is moved inside, and not the place.
    const lines = (position: Tensor, size: number): { at: Tensor; weight: Tensor }[] =>
      [-1, 0, 1, 2].map((tap) => {
        const neighbour = add(floor(position), tap);
        return { at: padded(neighbour, size), weight: cubic(abs(sub(position, neighbour))) };
      });
    const across = lines(column, width);
    return lines(row, height)
      .flatMap((y) => across.map((x) => mul(at(input, y.at, x.at), perImage(mul(y.weight, x.weight)))))
      .reduce((a, b) => add(a, b));
  }
  const [x, y] = [padded(column, width), padded(row, height)];
  if (mode === "nearest") {
    const values = at(input, round(y), round(x));
    // The grid has a gradient, which is 0.
    const none = mul(add(clamp(y, { min: 0, max: 0 }), clamp(x, { min: 0, max: 0 })), 0);
    return add(values, perImage(none));
  }
  const [left, top] = [floor(x), floor(y)];
  const [across, down] = [sub(x, left), sub(y, top)];
  const corner = (dy: number, dx: number): Tensor => {
    const weight = mul(dy === 0 ? sub(1, down) : down, dx === 0 ? sub(1, across) : across); // [N, OH, OW]
    return mul(at(input, add(top, dy), add(left, dx)), perImage(weight));
  };
  return add(add(corner(0, 0), corner(0, 1)), add(corner(1, 0), corner(1, 1)));
}

/** [N, OH, OW] for all channels alike. */
const perImage = (x: Tensor): Tensor => reshape(x, [x.shape[0], 1, ...x.shape.slice(1)]);

/** Bounces between `low` and `low + span`. */
function reflected(at: Tensor, low: number, span: number): Tensor {
  if (span <= 0) return mul(at, 0);
  const distance = abs(sub(at, low));
  const turns = floor(div(distance.detach(), span));
  const rest = sub(distance, mul(turns, span));
  return add(where(le(remainder(turns, 2), 0.5), rest, sub(span, rest)), low);
}

/** Elements at whole positions [N, OH, OW]; 0 outside. */
function at(input: Tensor, y: Tensor, x: Tensor): Tensor {
  const [n, c, height, width] = input.shape;
  const [, oh, ow] = y.shape;
  const inside = logicalAnd(logicalAnd(ge(y, 0), le(y, height - 1)), logicalAnd(ge(x, 0), le(x, width - 1)));
  const flat = add(
    mul(to(clamp(y.detach(), { min: 0, max: height - 1 }), "int32"), width),
    to(clamp(x.detach(), { min: 0, max: width - 1 }), "int32"),
  );
  const index = expand(reshape(flat, [n, 1, oh * ow]), [n, c, oh * ow]);
  const values = reshape(gatherAt("gridSample", reshape(input, [n, c, height * width]), 2, index, true), [n, c, oh, ow]);
  return where(expand(reshape(inside, [n, 1, oh, ow]), [n, c, oh, ow]), values, 0);
}
