/** Checks of arguments and rules of shapes that records and functions share. */
import { type DType, isFloating, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { varying } from "../graph.js";
import { sameShape, showShape } from "../shape.js";
import { Tensor } from "../tensor.js";
import type { Spec } from "./record.js";

/** A value in words, for messages. */
export const describe = (value: unknown): string => {
  if (value instanceof Tensor) return `a tensor ${value.dtype} ${showShape(value.shape)}`;
  if (Array.isArray(value)) return "an array";
  return value === null || typeof value !== "object" ? String(value) : "an object";
};

export function checkTensor(op: string, value: unknown, name = "input"): asserts value is Tensor {
  if (!(value instanceof Tensor))
    throw new OpError(op, `${name} must be a tensor; got ${describe(value)}${value === undefined ? "" : "; make one with tensor(…)"}`);
}

export function checkTensors(op: string, value: unknown, name = "tensors"): asserts value is readonly Tensor[] {
  if (!Array.isArray(value)) throw new OpError(op, `${name} must be an array of tensors; got ${describe(value)}`);
  value.forEach((item, i) => {
    checkTensor(op, item, `${name}[${i}]`);
  });
}

export function checkInteger(op: string, value: unknown, name: string): asserts value is number {
  if (typeof value !== "number" || !Number.isInteger(value))
    throw new OpError(op, `${name} must be a whole number; got ${describe(value)}`);
}

export function checkIntegers(op: string, value: unknown, name: string): asserts value is readonly number[] {
  if (!Array.isArray(value)) throw new OpError(op, `${name} must be an array of whole numbers; got ${describe(value)}`);
  for (const item of value) checkInteger(op, item, `each of ${name}`);
}

/** Throws for option names that the function does not know: a misspelt option would otherwise do nothing, in silence. */
export function checkOptions(op: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (options === null || typeof options !== "object" || Array.isArray(options) || options instanceof Tensor) {
    throw new OpError(op, `options go into an object, such as { ${known[0] ?? ""} }; got ${describe(options)}`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && !known.includes(key))
      throw new OpError(op, `no option is called ${key}; it takes ${known.length === 0 ? "none" : known.join(", ")}`);
  }
}

/** Throws unless the value of an option is one of those there are. */
export function checkChoice(op: string, name: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    throw new OpError(op, `${name} is ${describe(value)}; expected ${choices.map((choice) => `"${choice}"`).join(" or ")}`);
}

/** float32 for integers and booleans. */
export const floatingType = (dtype: DType): DType => (isFloating(dtype) ? dtype : "float32");

/** The shape rule of elementwise records: equal shapes (functions broadcast before they apply), equal dtypes from a list. */
export function elementwiseSpec(op: string, inputs: readonly Spec[], allowed: readonly DType[], output?: DType): Spec {
  const [first] = inputs;
  for (const { shape, dtype } of inputs) {
    if (!sameShape(shape, first.shape))
      throw new OpError(op, `shapes ${showShape(first.shape)} and ${showShape(shape)} differ; broadcast them first`);
    if (dtype !== first.dtype) throw new OpError(op, `dtypes ${first.dtype} and ${dtype} differ; cast one with to(dtype)`);
  }
  if (!allowed.includes(first.dtype))
    throw new OpError(op, `is not defined for ${first.dtype}; it takes ${allowed.join(", ")}; cast with to(dtype)`);
  return { shape: first.shape, dtype: output ?? first.dtype };
}

/** The values of a tensor that was made from host data; null when they are still to be computed, or differ from call to call. */
export function hostValues(x: Tensor): TypedArray | null {
  const { value } = x.node;
  return value !== null && value.kind === "host" && !varying.has(x.node) ? value.data : null;
}
