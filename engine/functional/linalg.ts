/** Products of matrices and vectors. */
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { unmovedBy } from "../ops/elementwise-logic.js";
import { checkContractionDtypes, matmulNodes } from "../ops/matmul.js";
import { broadcastShapes, broadcastsTo, type Shape, sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { add, mul } from "./elementwise.js";
import { expand, squeeze, transpose, unsqueeze } from "./movement.js";

/**
 * Matrix product as PyTorch has it: vectors are rows on the left and columns on the right (and their dim leaves the result), more dims
 * than two are batches, which broadcast.
 */
export function matmul(input: Tensor, other: Tensor): Tensor {
  return product("matmul", input, other);
}

/** `names`: what the operands are called in messages. */
function product(op: string, a: Tensor, b: Tensor, names: readonly [string, string] = ["a", "b"]): Tensor {
  checkTensor(op, a);
  checkTensor(op, b, "other");
  checkContractionDtypes(op, a, b);
  const given = `${names[0]} ${showShape(a.shape)}, ${names[1]} ${showShape(b.shape)}`;
  if (a.ndim === 0 || b.ndim === 0) {
    throw new OpError(op, `both operands need at least one dim; got ${given}; multiply by a scalar with mul()`);
  }
  const [inner, innerB] = [a.size(-1), b.size(b.ndim === 1 ? -1 : -2)];
  if (inner !== innerB) {
    const what = `${b.ndim === 1 ? "the length" : "the second-to-last dim"} of ${names[1]}`;
    throw new OpError(op, `expected the last dim of ${names[0]} to equal ${what}; got ${given} (${inner} ≠ ${innerB})`);
  }
  const left = a.ndim === 1 ? unsqueeze(a, 0) : a;
  const right = b.ndim === 1 ? unsqueeze(b, 1) : b;
  const [rows, columns] = [left.shape.slice(0, -2), right.shape.slice(0, -2)];
  if (clash(rows, columns)) {
    throw new OpError(
      op,
      `the batch dims ${showShape(rows)} and ${showShape(columns)} do not broadcast; got ${given}; sizes must be equal or 1`,
    );
  }
  const batch = broadcastShapes(op, rows, columns);
  let out = matmulNodes(withBatch(left, batch), withBatch(right, batch));
  if (b.ndim === 1) out = squeeze(out, { dim: -1 });
  if (a.ndim === 1) out = squeeze(out, { dim: b.ndim === 1 ? -1 : -2 });
  return out;
}

/** Whether some size differs, aligned at the last dim, where neither is 1. */
function clash(a: Shape, b: Shape): boolean {
  const n = Math.min(a.length, b.length);
  const others = b.slice(b.length - n);
  return a.slice(a.length - n).some((size, i) => size !== others[i] && size !== 1 && others[i] !== 1);
}

function withBatch(x: Tensor, batch: readonly number[]): Tensor {
  const shape = [...batch, ...x.shape.slice(-2)];
  return sameShape(shape, x.shape) ? x : expand(x, shape);
}

function expectRanks(op: string, operands: readonly [name: string, x: Tensor, rank: number][]): void {
  for (const [name, x, rank] of operands) {
    checkTensor(op, x, name);
    if (x.ndim !== rank) throw new OpError(op, `${name} has shape ${showShape(x.shape)}; expected ${rank} dim${rank === 1 ? "" : "s"}`);
  }
}

/** Product of two matrices. */
export function mm(input: Tensor, mat2: Tensor): Tensor {
  expectRanks("mm", [
    ["input", input, 2],
    ["mat2", mat2, 2],
  ]);
  return product("mm", input, mat2, ["input", "mat2"]);
}

/** Products of two lists of matrices. */
export function bmm(input: Tensor, mat2: Tensor): Tensor {
  expectRanks("bmm", [
    ["input", input, 3],
    ["mat2", mat2, 3],
  ]);
  if (input.shape[0] !== mat2.shape[0])
    throw new OpError("bmm", `the batches differ: ${showShape(input.shape)} and ${showShape(mat2.shape)}; matmul() broadcasts`);
  return product("bmm", input, mat2, ["input", "mat2"]);
}

/** Matrix times vector. */
export function mv(input: Tensor, vec: Tensor): Tensor {
  expectRanks("mv", [
    ["input", input, 2],
    ["vec", vec, 1],
  ]);
  return product("mv", input, vec, ["input", "vec"]);
}

/** Sum of the products of two vectors. */
export function dot(input: Tensor, other: Tensor): Tensor {
  expectRanks("dot", [
    ["input", input, 1],
    ["other", other, 1],
  ]);
  return product("dot", input, other, ["input", "other"]);
}

/** Products of all pairs: out[i, j] = input[i] · vec2[j]. */
export function outer(input: Tensor, vec2: Tensor): Tensor {
  expectRanks("outer", [
    ["input", input, 1],
    ["vec2", vec2, 1],
  ]);
  return mul(unsqueeze(input, 1), unsqueeze(vec2, 0));
}

export interface AddProductOptions {
  /** Factor of `input`; with 0 its values do not count, not even NaN. */
  readonly beta?: number;
  /** Factor of the product; with 0 its values do not count either. */
  readonly alpha?: number;
}

/** beta · input + alpha · mat1 mat2; `input` broadcasts to the shape of the product. */
export function addmm(input: Tensor, mat1: Tensor, mat2: Tensor, options: AddProductOptions = {}): Tensor {
  expectRanks("addmm", [
    ["mat1", mat1, 2],
    ["mat2", mat2, 2],
  ]);
  return addProduct("addmm", input, product("addmm", mat1, mat2, ["mat1", "mat2"]), options);
}

/** beta · input + alpha · batch1 batch2, a matrix product for each entry of the batch; `input` broadcasts to the shape of the products. */
export function baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, options: AddProductOptions = {}): Tensor {
  expectRanks("baddbmm", [
    ["batch1", batch1, 3],
    ["batch2", batch2, 3],
  ]);
  if (batch1.shape[0] !== batch2.shape[0])
    throw new OpError("baddbmm", `the batches differ: ${showShape(batch1.shape)} and ${showShape(batch2.shape)}`);
  return addProduct("baddbmm", input, product("baddbmm", batch1, batch2, ["batch1", "batch2"]), options);
}

function addProduct(op: string, input: Tensor, result: Tensor, options: AddProductOptions): Tensor {
  checkTensor(op, input);
  checkOptions(op, options, ["beta", "alpha"]);
  const { beta = 1, alpha = 1 } = options;
  if (!broadcastsTo(input.shape, result.shape)) {
    throw new OpError(op, `input ${showShape(input.shape)} does not broadcast to the product's shape ${showShape(result.shape)}`);
  }
  // What has the factor 0 does not count, be it NaN; its gradient is 0.
  const scaled = alpha === 0 ? unmovedBy(result, 0) : alpha === 1 ? result : mul(result, alpha);
  return beta === 0 ? unmovedBy(input, scaled) : add(beta === 1 ? input : mul(input, beta), scaled);
}

export interface LinearOptions {
  readonly bias?: Tensor | null;
}

/** x Wᵀ + bias: x [..., K], weight [N, K] (or [K], for a result [...]), bias [N]. Any number of dims before K, none included. */
export function linear(input: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  checkTensor("linear", input);
  checkTensor("linear", weight, "weight");
  checkOptions("linear", options, ["bias"]);
  const bias = options.bias ?? null;
  if (weight.ndim !== 2 && weight.ndim !== 1)
    throw new OpError("linear", `weight has shape ${showShape(weight.shape)}; expected [out, in]`);
  if (input.ndim === 0 || input.size(-1) !== weight.size(-1)) {
    throw new OpError(
      "linear",
      `input ${showShape(input.shape)} must end in ${weight.size(-1)}, the inputs of weight ${showShape(weight.shape)} [out, in]`,
    );
  }
  const out = product("linear", input, weight.ndim === 1 ? weight : transpose(weight, 0, 1));
  if (bias === null) return out;
  const expected = weight.shape.slice(0, -1);
  if (!sameShape(bias.shape, expected)) {
    throw new OpError(
      "linear",
      `bias has shape ${showShape(bias.shape)}; expected ${showShape(expected)} for weight ${showShape(weight.shape)}`,
    );
  }
  return add(out, bias);
}
