/**
 * Indices of tied values: PyTorch returns one of several right answers. Ours is right when it points at equal values, and, where an
 * operation returns several indices along a dim, at different elements.
 */
import type { TypedArray } from "../engine/dtype.js";
import { type Shape, strides } from "../engine/shape.js";
import type { Comparison } from "./compare.js";
import type { HostTensor } from "./folder.js";

export interface Indices {
  readonly data: TypedArray;
  readonly shape: Shape;
}

const alongDim = new Set(["argmax", "argmin", "max", "min", "sort", "argsort", "topk"]);
const distinct = new Set(["sort", "argsort", "topk"]);
const pooled: Readonly<Record<string, number>> = { maxPool1d: 1, maxPool2d: 2 };

/** Where in the input the index at output position `flat` points; null when out of range. */
type Locate = (flat: number, index: number) => number | null;

function locateAlong(input: Shape, output: Shape, dim: number): Locate {
  const inputStrides = strides(input);
  const outputStrides = strides(output);
  const kept = output.length === input.length;
  return (flat, index) => {
    if (index < 0 || index >= input[dim]) return null;
    let at = index * inputStrides[dim];
    for (let d = 0; d < output.length; d++) {
      const place = Math.floor(flat / outputStrides[d]) % output[d];
      const to = kept || d < dim ? d : d + 1;
      if (to !== dim) at += place * inputStrides[to];
    }
    return at;
  };
}

function locatePooled(input: Shape, output: Shape, spatial: number): Locate {
  const plane = input.slice(-spatial).reduce((n, size) => n * size, 1);
  const outPlane = output.slice(-spatial).reduce((n, size) => n * size, 1);
  return (flat, index) => (index < 0 || index >= plane ? null : Math.floor(flat / outPlane) * plane + index);
}

function locator(name: string, input: Shape, output: Shape, dim: unknown): Locate | null {
  if (Object.hasOwn(pooled, name)) return locatePooled(input, output, pooled[name]);
  if (!alongDim.has(name)) return null;
  const byDefault = distinct.has(name) ? -1 : undefined;
  const given = typeof dim === "number" ? dim : byDefault;
  if (given === undefined || input.length === 0) return (_, index) => index;
  return locateAlong(input, output, given < 0 ? given + input.length : given);
}

const wrong = (message: string): Comparison => ({ error: Number.POSITIVE_INFINITY, message });

/** Whether `got` is as good an answer as `want`. `name` is our function, `dim` the argument if there was one. */
export function compareTied(name: string, input: HostTensor, dim: unknown, got: Indices, want: TypedArray): Comparison {
  const locate = locator(name, input.shape, got.shape, dim);
  if (locate === null) return wrong(`the reference allows several answers, and no rule for ${name} says which`);
  for (let i = 0; i < want.length; i++) {
    const at = locate(i, got.data[i]);
    const reference = locate(i, want[i]) as number;
    if (at === null || at < 0 || at >= input.data.length) return wrong(`element ${i} is index ${got.data[i]}, which is out of range`);
    const value = input.data[at];
    const wanted = input.data[reference];
    if (value !== wanted && !(Number.isNaN(value) && Number.isNaN(wanted))) {
      return wrong(
        `element ${i} is index ${got.data[i]}, where the value is ${value}; want index ${want[i]} or another with value ${wanted}`,
      );
    }
  }
  return distinct.has(name) ? compareDistinct(got, typeof dim === "number" ? dim : -1) : { error: 0, message: "" };
}

function compareDistinct({ data, shape }: Indices, dim: number): Comparison {
  const at = dim < 0 ? dim + shape.length : dim;
  const step = shape.length === 0 ? 1 : strides(shape)[at];
  const size = shape.length === 0 ? 1 : shape[at];
  const seen = new Set<string>();
  for (let i = 0; i < data.length; i++) {
    const line = Math.floor(i / (step * size)) * step + (i % step);
    const key = `${line}:${data[i]}`;
    if (seen.has(key)) return wrong(`index ${data[i]} is there twice in one line`);
    seen.add(key);
  }
  return { error: 0, message: "" };
}
