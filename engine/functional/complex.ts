/**
 * Complex numbers are pairs: real tensors with a last dim of 2, real part and imaginary part (`torch.view_as_real`). Dims given to these
 * functions count without that last dim. Gradients are those of the pairs.
 */
import { OpError } from "../errors.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { abs as absolute, add, div, mul, neg, sub } from "../ops/elementwise.js";
import { cos, cosh, exp, expm1, log, log1p, sin, sinh, sqrt, tan, tanh } from "../ops/elementwise-float.js";
import { eq, ge, isnan, logicalAnd, logicalNot, logicalOr, logicalXor, lt, ne, where } from "../ops/elementwise-logic.js";
import { iota } from "../ops/leaf.js";
import { sum } from "../ops/reduce.js";
import { expandTo, flip, permute, reshapeTo } from "../ops/view.js";
import { normalizeDims, numel, showShape } from "../shape.js";
import { Tensor } from "../tensor.js";
import { atan2, isfinite, isinf } from "./elementwise.js";
import * as indexing from "./indexing.js";
import * as movement from "./movement.js";
import * as reduction from "./reduction.js";

/** Pairs, or a real number. */
export type ComplexOperand = Tensor | number;

function checkPairs(op: string, z: unknown): asserts z is Tensor {
  checkTensor(op, z);
  if (z.shape[z.ndim - 1] !== 2) throw new OpError(op, `complex tensors are pairs, with a last dim of 2; got ${showShape(z.shape)}`);
}

/** The real parts. Reference: torch.real. */
export function real(z: Tensor): Tensor {
  checkPairs("real", z);
  return movement.select(z, -1, 0);
}

/** The imaginary parts. Reference: torch.imag. */
export function imag(z: Tensor): Tensor {
  checkPairs("imag", z);
  return movement.select(z, -1, 1);
}

/** Pairs from real and imaginary parts of equal shapes. Reference: torch.complex. */
export const complex = (re: Tensor, im: Tensor): Tensor => movement.stack([re, im], { dim: -1 });

/** Pairs from lengths and angles. Reference: torch.polar. */
export const polar = (length: Tensor, angle: Tensor): Tensor => complex(mul(length, cos(angle)), mul(length, sin(angle)));

type Parts = readonly [Tensor, Tensor];
const parts = (z: Tensor): Parts => [real(z), imag(z)];
const tensorOf = (value: ComplexOperand, like: Tensor): Tensor => {
  if (value instanceof Tensor) return value;
  const [re, im] = [add(mul(real(like), 0), value), mul(imag(like), 0)];
  return complex(re, im);
};

/** 1 for real parts, `sign` for imaginary ones, or the other way round; shape [2]. */
const signs = (z: Tensor, first: number, second: number): Tensor => where(eq(iota([2], 0, z.device), 0), first, second);

/** The conjugate. Reference: torch.conj. */
export function conj(z: Tensor): Tensor {
  checkPairs("conj", z);
  return mul(z, signs(z, 1, -1));
}

/** a · b of pairs, broadcast; written without cutting them apart, so that it fuses into what reads it. Reference: torch.mul. */
export function mulComplex(a: Tensor, b: Tensor): Tensor {
  checkPairs("mulComplex", a);
  checkPairs("mulComplex", b);
  const [re, im] = [movement.narrow(b, -1, 0, 1), movement.narrow(b, -1, 1, 1)];
  return add(mul(a, re), mul(flip(a, [-1]), mul(im, signs(b, -1, 1))));
}

const squaredLength = ([x, y]: Parts): Tensor => add(mul(x, x), mul(y, y));

/** √t with gradient 0 at 0. */
function flatRoot(t: Tensor): Tensor {
  const zero = eq(t, 0);
  return where(zero, 0, sqrt(where(zero, 1, t)));
}

/** |z|, real; the gradient at 0 is 0. Reference: torch.abs. */
const abs = (z: Tensor): Tensor => flatRoot(squaredLength(parts(z)));

/** The angle in (−π, π]. Reference: torch.angle. */
export const angle = (z: Tensor): Tensor => atan2(imag(z), real(z));

/** A pair over a real tensor. */
const over = (z: Tensor, t: Tensor): Tensor => div(z, movement.unsqueeze(t, -1));

const reciprocal = (z: Tensor): Tensor => over(conj(z), squaredLength(parts(z)));
const product = (a: ComplexOperand, b: ComplexOperand): Tensor =>
  a instanceof Tensor && b instanceof Tensor ? mulComplex(a, b) : mul(a, b);
const quotient = (a: ComplexOperand, b: ComplexOperand): Tensor => (b instanceof Tensor ? product(a, reciprocal(b)) : div(a, b));

function linear(combine: typeof add, a: ComplexOperand, b: ComplexOperand, options?: { readonly alpha?: number }): Tensor {
  const like = (a instanceof Tensor ? a : b) as Tensor;
  checkPairs(combine.name, like);
  return combine(tensorOf(a, like), tensorOf(b, like), options);
}

const ofParts =
  (fn: (x: Tensor, y: Tensor) => Parts) =>
  (z: Tensor): Tensor => {
    const [re, im] = fn(...parts(z));
    return complex(re, im);
  };

const complexExp = ofParts((x, y) => [mul(exp(x), cos(y)), mul(exp(x), sin(y))]);
const complexLog = (z: Tensor): Tensor => complex(log(abs(z)), angle(z));

/** The root with real part ≥ 0: the larger of its parts is taken by a root, the other follows by division. */
const complexSqrt = ofParts((x, y) => {
  const right = ge(x, 0);
  const length = flatRoot(squaredLength([x, y]));
  const larger = flatRoot(mul(add(length, where(right, x, neg(x))), 0.5));
  const zero = eq(larger, 0);
  const smaller = where(zero, 0, div(y, mul(where(zero, 1, larger), 2)));
  const below = lt(y, 0);
  return [where(right, larger, where(below, neg(smaller), smaller)), where(right, smaller, where(below, neg(larger), larger))];
});

/** tanh(x + iy) from tanh x and tan y: nothing overflows. */
function tanhParts(x: Tensor, y: Tensor): Parts {
  const [t, s] = [tanh(x), tan(y)];
  const below = add(mul(mul(t, t), mul(s, s)), 1);
  return [div(mul(t, add(mul(s, s), 1)), below), div(div(s, mul(cosh(x), cosh(x))), below)];
}

function sigmoid(z: Tensor): Tensor {
  const [x, y] = parts(z);
  const right = ge(x, 0);
  const e = complexExp(complex(neg(absolute(x)), where(right, neg(y), y)));
  const one = signs(z, 1, 0);
  return quotient(where(movement.unsqueeze(right, -1), one, e), add(e, one));
}

/** z / |z|; 0 at 0. Reference: torch.sgn. */
function sgn(z: Tensor): Tensor {
  const length = abs(z);
  return over(z, where(eq(length, 0), 1, length));
}

/** e^(b log a); 0 ^ b is 0, and anything ^ 0 is 1. */
function pow(a: ComplexOperand, b: ComplexOperand): Tensor {
  if (b === 2 && a instanceof Tensor) return mulComplex(a, a);
  const like = (a instanceof Tensor ? a : b) as Tensor;
  const [base, exponent] = [tensorOf(a, like), tensorOf(b, like)];
  const one = signs(like, 1, 0);
  const isZero = (z: Tensor): Tensor => movement.unsqueeze(eq(squaredLength(parts(z)), 0), -1);
  const none = isZero(base);
  const power = complexExp(mulComplex(exponent, complexLog(where(none, one, base))));
  return where(isZero(exponent), one, where(none, 0, power));
}

/** The product along dims, of pairs of halves. */
function prod(z: Tensor, options?: reduction.ReduceOptions): Tensor {
  checkPairs("prod", z);
  checkOptions("prod", options, ["dim", "keepdim"]);
  const rank = z.ndim - 1;
  const dims = normalizeDims("prod", options?.dim, rank);
  const kept = Array.from({ length: rank }, (_, d) => d).filter((d) => !dims.includes(d));
  const outer = kept.map((d) => z.shape[d]);
  const count = numel(dims.map((d) => z.shape[d]));
  const at = outer.length;
  let line = reshapeTo(permute(z, [...kept, ...dims, rank]), [...outer, count, 2]);
  for (let n = count; n !== 1; n = Math.ceil(n / 2)) {
    const missing = n === 0 ? 1 : n % 2;
    if (missing > 0) {
      const one = expandTo(signs(z, 1, 0), [...outer, 1, 2]);
      line = n === 0 ? one : movement.cat([line, one], { dim: at });
    }
    if (n === 0) break;
    line = mulComplex(movement.slice(line, { dim: at, step: 2 }), movement.slice(line, { dim: at, start: 1, step: 2 }));
  }
  return reshapeTo(line, [...(options?.keepdim ? z.shape.slice(0, rank).map((n, d) => (dims.includes(d) ? 1 : n)) : outer), 2]);
}

function variance(z: Tensor, options?: reduction.VarianceOptions): Tensor {
  const [x, y] = parts(z);
  return add(reduction.var(x, options), reduction.var(y, options));
}

const truth = (z: Tensor): Tensor => {
  if (z.dtype === "bool") return z;
  const [x, y] = parts(z);
  return logicalOr(ne(x, 0), ne(y, 0));
};
const logic =
  (combine: (a: Tensor, b: Tensor) => Tensor) =>
  (a: Tensor, b: Tensor): Tensor =>
    combine(truth(a), truth(b));

function equal(a: ComplexOperand, b: ComplexOperand): Tensor {
  const like = (a instanceof Tensor ? a : b) as Tensor;
  const same = eq(tensorOf(a, like), tensorOf(b, like));
  return logicalAnd(movement.select(same, -1, 0), movement.select(same, -1, 1));
}

type Result = Tensor | readonly Tensor[];
type Mover = (...args: never[]) => Result;

/** A pair's part of an argument: of tensors of floats their half, of a number the number itself, or 0 as imaginary part. */
function half(value: unknown, which: 0 | 1): unknown {
  if (Array.isArray(value)) return value.map((item) => (item instanceof Tensor ? half(item, which) : item));
  return value instanceof Tensor && value.dtype !== "int32" && value.dtype !== "bool" ? movement.select(value, -1, which) : value;
}

/** Any function that moves elements, or is linear: real and imaginary parts apart. `filling` names the position of a number that is a value. */
const apart =
  (fn: Mover, filling = -1) =>
  (...args: unknown[]): Result => {
    const [re, im] = ([0, 1] as const).map((which) =>
      fn(...(args.map((value, i) => (i === filling && typeof value === "number" && which === 1 ? 0 : half(value, which))) as never[])),
    );
    return re instanceof Tensor ? complex(re, im as Tensor) : re.map((part, i) => complex(part, (im as readonly Tensor[])[i]));
  };

function pad(z: Tensor, amounts: readonly number[], options?: Parameters<typeof movement.pad>[2]): Tensor {
  return complex(
    movement.pad(real(z), amounts, options),
    movement.pad(imag(z), amounts, options?.value ? { ...options, value: 0 } : options),
  );
}

const moves = Object.fromEntries(
  Object.entries({
    ...movement,
    gather: indexing.gather,
    getItem: indexing.getItem,
    indexAdd: indexing.indexAdd,
    indexSelect: indexing.indexSelect,
    scatterAdd: indexing.scatterAdd,
    takeAlongDim: indexing.takeAlongDim,
    cumsum: reduction.cumsum,
    mean: reduction.mean,
    sum,
  }).map(([name, fn]) => [name, apart(fn as Mover)]),
);

/** The functions of complex tensors, under the names of the real ones. Float tensors among the arguments are pairs, numbers are real. */
export const complexFunctions: Readonly<Record<string, (...args: never[]) => Result>> = {
  ...moves,
  scatter: apart(indexing.scatter as Mover, 3),
  maskedFill: apart(indexing.maskedFill as Mover, 2),
  pad,
  real,
  imag,
  conj,
  abs,
  angle,
  add: (a: ComplexOperand, b: ComplexOperand, options?: { readonly alpha?: number }) => linear(add, a, b, options),
  sub: (a: ComplexOperand, b: ComplexOperand, options?: { readonly alpha?: number }) => linear(sub, a, b, options),
  mul: product,
  div: quotient,
  neg,
  reciprocal,
  square: (z: Tensor) => mulComplex(z, z),
  pow,
  exp: complexExp,
  log: complexLog,
  sqrt: complexSqrt,
  rsqrt: (z: Tensor) => reciprocal(complexSqrt(z)),
  expm1: ofParts((x, y) => {
    const s = sin(mul(y, 0.5));
    return [sub(mul(expm1(x), cos(y)), mul(mul(s, s), 2)), mul(exp(x), sin(y))];
  }),
  log1p: ofParts((x, y) => [mul(log1p(add(mul(x, add(x, 2)), mul(y, y))), 0.5), atan2(y, add(x, 1))]),
  sin: ofParts((x, y) => [mul(sin(x), cosh(y)), mul(cos(x), sinh(y))]),
  cos: ofParts((x, y) => [mul(cos(x), cosh(y)), neg(mul(sin(x), sinh(y)))]),
  sinh: ofParts((x, y) => [mul(sinh(x), cos(y)), mul(cosh(x), sin(y))]),
  cosh: ofParts((x, y) => [mul(cosh(x), cos(y)), mul(sinh(x), sin(y))]),
  tanh: ofParts(tanhParts),
  tan: ofParts((x, y) => {
    const [re, im] = tanhParts(neg(y), x);
    return [im, neg(re)];
  }),
  sigmoid,
  silu: (z: Tensor) => mulComplex(z, sigmoid(z)),
  sign: sgn,
  sgn,
  eq: equal,
  ne: (a: ComplexOperand, b: ComplexOperand) => logicalNot(equal(a, b)),
  where: (condition: Tensor, a: ComplexOperand, b: ComplexOperand) => {
    const like = (a instanceof Tensor ? a : b) as Tensor;
    return where(movement.unsqueeze(condition, -1), tensorOf(a, like), tensorOf(b, like));
  },
  isfinite: (z: Tensor) => logicalAnd(isfinite(real(z)), isfinite(imag(z))),
  isinf: (z: Tensor) => logicalOr(isinf(real(z)), isinf(imag(z))),
  isnan: (z: Tensor) => logicalOr(isnan(real(z)), isnan(imag(z))),
  logicalAnd: logic(logicalAnd),
  logicalOr: logic(logicalOr),
  logicalXor: logic(logicalXor),
  logicalNot: (z: Tensor) => logicalNot(truth(z)),
  all: (z: Tensor, options?: reduction.ReduceOptions) => reduction.all(truth(z), options),
  any: (z: Tensor, options?: reduction.ReduceOptions) => reduction.any(truth(z), options),
  prod,
  var: variance,
  std: (z: Tensor, options?: reduction.VarianceOptions) => flatRoot(variance(z, options)),
  norm: (z: Tensor, options?: reduction.VectorNormOptions) => reduction.norm(abs(z), options),
  vectorNorm: (z: Tensor, options?: Parameters<typeof reduction.vectorNorm>[1]) => reduction.vectorNorm(abs(z), options),
};
