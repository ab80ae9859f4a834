/** Random zeroes in training. */
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { type Generator, rand } from "../random.js";
import { type Shape, showShape } from "../shape.js";
import { Tensor } from "../tensor.js";
import { div, lt, mul, sub, where } from "./elementwise.js";

export interface DropOptions {
  /** How likely a zero is; a rank-0 tensor (`hostScalar`) where it varies from step to step. Default 0.5. */
  readonly p?: number | Tensor;
  /** Default true. */
  readonly training?: boolean;
  readonly generator?: Generator;
}

/** Zeroes elements with probability p, and divides the others by 1 − p. */
export function dropout(input: Tensor, options: DropOptions = {}): Tensor {
  checkTensor("dropout", input);
  return drop("dropout", input, input.shape, options);
}

/** As `dropout`, for whole maps of [N, C, …]. */
export function dropout2d(input: Tensor, options: DropOptions = {}): Tensor {
  checkTensor("dropout2d", input);
  if (input.ndim < 2) throw new OpError("dropout2d", `the input has shape ${showShape(input.shape)}; expected [N, C, …]`);
  return drop(
    "dropout2d",
    input,
    input.shape.map((size, d) => (d < 2 ? size : 1)),
    options,
  );
}

/** Stochastic depth: as `dropout`, for whole samples, the entries of the first dim. Reference: Huang et al., Deep networks with stochastic depth (2016). */
export function dropPath(input: Tensor, p: number | Tensor, options: Omit<DropOptions, "p"> = {}): Tensor {
  checkTensor("dropPath", input);
  return drop(
    "dropPath",
    input,
    input.shape.map((size, d) => (d === 0 ? size : 1)),
    { ...options, p },
  );
}

function drop(op: string, input: Tensor, maskShape: Shape, options: DropOptions): Tensor {
  checkOptions(op, options, ["p", "training", "generator"]);
  const { p = 0.5, training = true, generator } = options;
  if (typeof p === "number" && !(p >= 0 && p <= 1)) throw new OpError(op, `p is ${p}; expected a probability, 0 to 1`);
  if (!training || p === 0) return input;
  const uniform = rand(maskShape, { generator, device: input.device });
  if (p instanceof Tensor) return mul(input, where(lt(uniform, sub(1, p)), div(1, sub(1, p)), 0));
  return mul(input, where(lt(uniform, 1 - p), p === 1 ? 0 : 1 / (1 - p), 0));
}
