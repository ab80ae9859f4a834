/** Activations that look at a whole dim; the elementwise ones are re-exported from `elementwise.ts`. */
import type { DType } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, floatingType } from "../ops/check.js";
import { normalizeDim, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { div, exp, log, mul, sigmoid, sub } from "./elementwise.js";
import { chunk } from "./movement.js";
import { amax, sum } from "./reduction.js";

export { elu, gelu, hardsigmoid, hardswish, hardtanh, leakyRelu, mish, relu, relu6, sigmoid, silu, softplus, tanh } from "./elementwise.js";

export interface SoftmaxOptions {
  readonly dim: number;
  /** The input is converted first. */
  readonly dtype?: DType;
}

/** e^x / Σ e^x along `dim`. */
export function softmax(input: Tensor, options: SoftmaxOptions): Tensor {
  const { x, dim } = shifted("softmax", input, options);
  const powers = exp(x);
  return div(powers, sum(powers, { dim, keepdim: true }));
}

/** log(softmax(x)) along `dim`, without the loss of digits that a logarithm of small numbers has. */
export function logSoftmax(input: Tensor, options: SoftmaxOptions): Tensor {
  const { x, dim } = shifted("logSoftmax", input, options);
  return sub(x, log(sum(exp(x), { dim, keepdim: true })));
}

/** e^−x / Σ e^−x along `dim`. */
export const softmin = (input: Tensor, options: SoftmaxOptions): Tensor => softmax(mul(input, -1), options);

/** The input less its largest value along the dim, which changes no result and keeps the exponential finite; no gradient need flow through it. */
function shifted(op: string, input: Tensor, options: SoftmaxOptions): { x: Tensor; dim: number } {
  checkTensor(op, input);
  checkOptions(op, options, ["dim", "dtype"]);
  if (typeof options?.dim !== "number") throw new OpError(op, "say along which dim: { dim }");
  const dim = normalizeDim(op, options.dim, input.ndim);
  const x = cast(input, options.dtype ?? floatingType(input.dtype));
  if (x.ndim === 0 || x.shape[dim] === 0) return { x: x.ndim === 0 ? sub(x, x.detach()) : x, dim };
  return { x: sub(x, amax(x.detach(), { dim, keepdim: true })), dim };
}

/** First half · sigmoid(second half), the halves taken along `dim`. */
export function glu(input: Tensor, options: { readonly dim?: number } = {}): Tensor {
  checkTensor("glu", input);
  checkOptions("glu", options, ["dim"]);
  const dim = normalizeDim("glu", options.dim ?? -1, input.ndim);
  if (input.ndim === 0 || input.shape[dim] % 2 !== 0)
    throw new OpError("glu", `dim ${dim} of ${showShape(input.shape)} does not fall into two equal halves`);
  const [values, gates] = chunk(input, 2, { dim });
  return mul(values, sigmoid(gates));
}
