/**
 * What each scalar function but erf (`erf.ts`) means, in JavaScript numbers. Constant folding and the interpreter both ask here, and every
 * backend is tested against it. Floats are doubles throughout: a float32 result is rounded when it is stored, cast, or about to lose its fraction.
 */
import { type DType, isFloating } from "../dtype.js";
import { InternalError } from "../errors.js";
import type { Combine, ScalarFn } from "./ir.js";

const intMin = -(2 ** 31);
const intMax = 2 ** 31 - 1;

const comparisons: ReadonlySet<ScalarFn> = new Set<ScalarFn>(["eq", "ne", "lt", "le", "gt", "ge"]);
const logical: ReadonlySet<ScalarFn> = new Set<ScalarFn>(["and", "or", "xor", "not"]);

/** The dtype of a call from those of its arguments; a cast's is free and must be given. */
export function resultDType(fn: ScalarFn, args: readonly { readonly dtype: DType }[]): DType {
  if (comparisons.has(fn) || logical.has(fn) || fn === "isNaN") return "bool";
  if (fn === "cast") throw new InternalError("a cast has no dtype of its own");
  return (fn === "where" ? args[1] : args[0]).dtype;
}

/** Half to even, as IEEE's roundToIntegral; keeps −0. Adding 2^52 leaves no room for a fraction, and the addition rounds half to even. */
export function roundHalfEven(x: number): number {
  const a = Math.abs(x);
  if (!(a < 2 ** 52)) return x;
  const rounded = a + 2 ** 52 - 2 ** 52;
  return x < 0 || Object.is(x, -0) ? -rounded : rounded;
}

/** Floor division of int32; by zero 0, and −2^31 by −1 wraps. */
export const floorDivide = (a: number, b: number): number => (b === 0 ? 0 : Math.floor(a / b) | 0);

/** The remainder of {@link floorDivide}: has the sign of `b`; by zero 0. */
export function floorModulo(a: number, b: number): number {
  if (b === 0) return 0;
  const r = a % b;
  return (r !== 0 && r < 0 !== b < 0 ? r + b : r) | 0;
}

/** IEEE's pow: 1^NaN and (−1)^±∞ are 1, where JavaScript says NaN. */
export function power(a: number, b: number): number {
  if (a === 1 || (a === -1 && (b === Infinity || b === -Infinity))) return 1;
  return a ** b;
}

export function castValue(value: number, to: DType): number {
  switch (to) {
    case "float64":
      return value;
    case "float32":
      return Math.fround(value);
    case "int32":
      return Number.isNaN(value) ? 0 : Math.trunc(Math.min(Math.max(value, intMin), intMax)) | 0;
    case "bool":
      return value !== 0 ? 1 : 0;
  }
}

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Words as int32. */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number): [number, number] {
  const keys = [key0, key1, key0 ^ key1 ^ 0x1bd11bda] as const;
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8];
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const step = (round + 1) / 4;
      x0 = (x0 + keys[step % 3]) | 0;
      x1 = (x1 + keys[(step + 1) % 3] + step) | 0;
    }
  }
  return [x0, x1];
}

function evaluateInt(fn: ScalarFn, a: number, b: number): number | null {
  switch (fn) {
    case "add":
      return (a + b) | 0;
    case "sub":
      return (a - b) | 0;
    case "mul":
      return Math.imul(a, b);
    case "neg":
      return -a | 0;
    case "abs":
      return Math.abs(a) | 0;
    case "sign":
      return Math.sign(a) | 0;
    case "idiv":
      return floorDivide(a, b);
    case "mod":
      return floorModulo(a, b);
    case "shl":
      return a << b;
    case "shr":
      return (a >>> b) | 0;
    case "bitAnd":
      return a & b;
    case "bitOr":
      return a | b;
    case "bitXor":
      return a ^ b;
    default:
      return null;
  }
}

function evaluateAny(fn: ScalarFn, a: number, b: number): number | null {
  switch (fn) {
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "eq":
      return Number(a === b);
    case "ne":
      return Number(a !== b);
    case "lt":
      return Number(a < b);
    case "le":
      return Number(a <= b);
    case "gt":
      return Number(a > b);
    case "ge":
      return Number(a >= b);
    case "isNaN":
      return Number(Number.isNaN(a));
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "not":
      return 1 - a;
    default:
      return null;
  }
}

const floatFunctions: { readonly [fn in ScalarFn]?: (a: number, b: number) => number } = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  abs: Math.abs,
  sign: (a) => Number(a > 0) - Number(a < 0), // 0 for NaN, as PyTorch's
  pow: power,
  rem: (a, b) => a % b,
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  log1p: Math.log1p,
  expm1: Math.expm1,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundHalfEven,
  trunc: Math.trunc,
};

/** Functions that jump: a double a little off a whole number would land elsewhere than the float32 that it stands for. */
export const jumps: ReadonlySet<ScalarFn> = new Set(["floor", "ceil", "round", "trunc"]);

/** `fn`, not erf, of already evaluated arguments. `dtype` is the result's, `argDType` that of the first argument. */
export function evaluate(fn: ScalarFn, args: readonly number[], dtype: DType, argDType: DType): number {
  const [first = 0, b = 0, c = 0, d = 0] = args;
  const a = argDType === "float32" && jumps.has(fn) ? Math.fround(first) : first;
  if (fn === "where") return a !== 0 ? b : c;
  if (fn === "cast") return castValue(a, dtype);
  if (fn === "threefry") return threefry2x32(a, b, c, d)[0];
  const value = evaluateAny(fn, a, b) ?? (isFloating(argDType) ? floatFunctions[fn]?.(a, b) : evaluateInt(fn, a, b));
  if (value === undefined || value === null) throw new InternalError(`${fn} is not defined on ${argDType}`);
  return value;
}

/** What an empty reduction gives. */
export function identityOf(combine: Combine, dtype: DType): number {
  switch (combine) {
    case "add":
      return 0;
    case "mul":
      return 1;
    case "max":
      return dtype === "bool" ? 0 : dtype === "int32" ? intMin : -Infinity;
    case "min":
      return dtype === "bool" ? 1 : dtype === "int32" ? intMax : Infinity;
  }
}
