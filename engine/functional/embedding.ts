/** Indices as vectors. */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, hostValues } from "../ops/check.js";
import { inRange } from "../ops/identity.js";
import { alongDim, checkIndexValues, gatherAt } from "../ops/index.js";
import { iota } from "../ops/leaf.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { eq, where } from "./elementwise.js";
import { reshape, unsqueeze } from "./movement.js";

export interface EmbeddingOptions {
  /** A row of the table that gets no gradient; negative counts from the end. */
  readonly paddingIdx?: number | null;
}

/** The rows of `weight` [V, D] that the int32 `input` [...] names → [..., D]. */
export function embedding(input: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  const op = "embedding";
  checkTensor(op, input);
  checkTensor(op, weight, "weight");
  checkOptions(op, options, ["paddingIdx"]);
  if (input.dtype !== "int32") throw new OpError(op, `the input has dtype ${input.dtype}; expected indices, int32`);
  if (weight.ndim !== 2) throw new OpError(op, `weight has shape ${showShape(weight.shape)}; expected [rows, channels]`);
  const [rows, channels] = weight.shape;
  const padding = options.paddingIdx ?? null;
  if (padding !== null && !(Number.isInteger(padding) && padding >= -rows && padding < rows)) {
    throw new OpError(op, `paddingIdx ${padding} is out of range for ${rows} rows`);
  }
  const known = checkIndexValues(op, input, rows);
  const index = alongDim(reshape(input, [input.numel]), weight.shape, 0);
  const lookUp = (table: Tensor): Tensor => reshape(gatherAt(op, table, 0, index, known), [...input.shape, channels]);
  if (padding === null) return lookUp(weight);
  const fixed = eq(iota(weight.shape, 0, weight.device), padding < 0 ? padding + rows : padding);
  return lookUp(where(fixed, weight.detach(), weight));
}

/** 1 at the class that the int32 `input` [...] names, else 0: int32 [..., numClasses]. Without `numClasses` the input must hold data, whose largest class counts. */
export function oneHot(input: Tensor, options: { readonly numClasses?: number } = {}): Tensor {
  const op = "oneHot";
  checkTensor(op, input);
  checkOptions(op, options, ["numClasses"]);
  if (input.dtype !== "int32") throw new OpError(op, `the input has dtype ${input.dtype}; expected class indices, int32`);
  const values = hostValues(input);
  const known = values === null ? null : Array.from(values);
  const { numClasses = -1 } = options;
  if (numClasses === -1 && (known === null || known.length === 0))
    throw new OpError(op, "the number of classes does not follow from the input; pass { numClasses }");
  const classes = numClasses === -1 ? Math.max(...(known as number[])) + 1 : numClasses;
  if (!Number.isInteger(classes) || classes < 1) throw new OpError(op, `numClasses is ${classes}; expected a whole number ≥ 1`);
  const outside = known?.find((index) => index < 0 || index >= classes);
  if (outside !== undefined) throw new OpError(op, `class ${outside} is out of range; expected 0 to ${classes - 1}`);
  const given = known === null ? inRange(op, input, 0, classes - 1, `a class computed on the device is none of ${classes}`) : input;
  return cast(eq(iota([...input.shape, classes], input.ndim, input.device), unsqueeze(given, -1)), "int32");
}
