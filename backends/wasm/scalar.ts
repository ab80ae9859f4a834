/** Scalar functions as instructions: of single values, and of vectors of four lanes. */
import type { DType } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import type { CallExpr, Combine, ScalarFn } from "../../engine/kernel/ir.js";
import { type Code, double, f32, f64, float, floats, i32, int, ints, select, type ValueType, vector } from "./binary.js";
import { hasVector, isDoubleFunction, type Library, type Scope } from "./math.js";

/** Keeps a value under a local of the current block, so that it can be used twice. */
export type Keep = (value: Code, type: ValueType) => Code;

/** Booleans are 0 or 1 in scalars, no bits or all bits in lanes. */
export const typeOf = (dtype: DType): ValueType => (dtype === "float32" ? f32 : dtype === "float64" ? f64 : i32);

export const constant = (value: number, dtype: DType): Code =>
  dtype === "float32" ? float.const(value) : dtype === "float64" ? double.const(value) : int.const(value);

export const vectorConstant = (value: number, dtype: DType): Code =>
  dtype === "float32" ? vector.floats(value) : vector.ints(new Array<number>(4).fill(dtype === "bool" ? -value : value));

export const splat = (value: Code, dtype: DType): Code =>
  dtype === "float32" ? floats.splat(value) : ints.splat(dtype === "bool" ? int.sub(int.const(0), value) : value);

/** One lane as a scalar. */
export const laneOf = (value: Code, lane: number, dtype: DType): Code =>
  dtype === "float32"
    ? floats.extract(value, lane)
    : dtype === "bool"
      ? int.and(ints.extract(value, lane), int.const(1))
      : ints.extract(value, lane);

export const withLane = (into: Code, value: Code, lane: number, dtype: DType): Code =>
  dtype === "float32"
    ? floats.replace(into, value, lane)
    : ints.replace(into, dtype === "bool" ? int.sub(int.const(0), value) : value, lane);

const comparisons = ["eq", "ne", "lt", "le", "gt", "ge"] as const;
type Comparison = (typeof comparisons)[number];
const isComparison = (fn: ScalarFn): fn is Comparison => (comparisons as readonly string[]).includes(fn);

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

function floorDivision(e: CallExpr, a: Code, b: Code, keep: Keep): Code {
  const [x, by] = e.args;
  const divisor = by.op === "const" ? by.value : 0;
  if (isPowerOfTwo(divisor)) return int.shr(a, int.const(Math.log2(divisor)));
  if (divisor > 0 && x.lo >= 0) return int.divUnsigned(a, b);
  const [n, d] = [keep(a, i32), keep(b, i32)];
  // No division by 0, nor of −2^31 by −1: those traps become divisions by 1, negated where −1 is meant.
  const minusOne = int.eq(d, int.const(-1));
  const safe = keep(select(int.const(1), d, int.or(int.eqz(d), minusOne)), i32);
  const quotient = keep(int.div(n, safe), i32);
  const inexact = int.ne(int.rem(n, safe), int.const(0));
  const opposite = int.lt(int.xor(n, safe), int.const(0));
  const floored = int.sub(quotient, int.and(inexact, opposite));
  return select(int.const(0), select(int.sub(int.const(0), n), floored, minusOne), int.eqz(d));
}

function floorRemainder(e: CallExpr, a: Code, b: Code, keep: Keep): Code {
  const [x, by] = e.args;
  const divisor = by.op === "const" ? by.value : 0;
  if (isPowerOfTwo(divisor)) return int.and(a, int.const(divisor - 1));
  if (divisor > 0 && x.lo >= 0) return int.remUnsigned(a, b);
  const [n, d] = [keep(a, i32), keep(b, i32)];
  const safe = keep(select(int.const(1), d, int.eqz(d)), i32);
  const r = keep(int.rem(n, safe), i32);
  const wrong = int.and(int.ne(r, int.const(0)), int.lt(int.xor(r, safe), int.const(0)));
  return int.add(r, select(safe, int.const(0), wrong));
}

function intCall(e: CallExpr, args: readonly Code[], keep: Keep): Code | null {
  const [a, b] = args;
  switch (e.fn) {
    case "add":
      return int.add(a, b);
    case "sub":
      return int.sub(a, b);
    case "mul":
      return int.mul(a, b);
    case "neg":
      return int.sub(int.const(0), a);
    case "abs": {
      const x = keep(a, i32);
      return select(x, int.sub(int.const(0), x), int.ge(x, int.const(0)));
    }
    case "sign": {
      const x = keep(a, i32);
      return int.sub(int.gt(x, int.const(0)), int.lt(x, int.const(0)));
    }
    case "min":
    case "max": {
      const [x, y] = [keep(a, i32), keep(b, i32)];
      return select(x, y, e.fn === "min" ? int.lt(x, y) : int.gt(x, y));
    }
    case "idiv":
      return floorDivision(e, a, b, keep);
    case "mod":
      return floorRemainder(e, a, b, keep);
    case "shl":
      return int.shl(a, b);
    case "shr":
      return int.shrUnsigned(a, b);
    case "bitAnd":
      return int.and(a, b);
    case "bitOr":
      return int.or(a, b);
    case "bitXor":
      return int.xor(a, b);
    default:
      return null;
  }
}

function floatCall(e: CallExpr, args: readonly Code[], keep: Keep, library: Library): Code | null {
  const isDouble = e.args[0].dtype === "float64";
  const ops = isDouble ? double : float;
  const [a, b] = args;
  switch (e.fn) {
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "min":
    case "max":
      return ops[e.fn](a, b);
    case "neg":
    case "abs":
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
      return ops[e.fn](a);
    case "round":
      return ops.nearest(a);
    case "sign": {
      const x = keep(a, isDouble ? f64 : f32);
      return ops.fromInt(int.sub(ops.gt(x, ops.const(0)), ops.lt(x, ops.const(0))));
    }
    case "isNaN": {
      const x = keep(a, isDouble ? f64 : f32);
      return ops.ne(x, x);
    }
    default:
      break;
  }
  if (!isDouble && hasVector(e.fn)) {
    const result = library.vector(
      e.fn,
      args.map((arg) => floats.splat(arg)),
    );
    return result && floats.extract(result, 0);
  }
  if (!isDoubleFunction(e.fn)) return null;
  return isDouble ? library.double(e.fn, args) : float.fromDouble(library.double(e.fn, args.map(double.fromFloat)));
}

function boolCall(fn: ScalarFn, [a, b]: readonly Code[]): Code | null {
  switch (fn) {
    case "and":
    case "min":
      return int.and(a, b);
    case "or":
    case "max":
      return int.or(a, b);
    case "xor":
      return int.xor(a, b);
    case "not":
      return int.eqz(a);
    default:
      return null;
  }
}

function castCall(e: CallExpr, a: Code): Code {
  const from = e.args[0].dtype;
  if (from === e.dtype) return a;
  switch (e.dtype) {
    case "bool":
      return from === "float32"
        ? float.ne(a, float.const(0))
        : from === "float64"
          ? double.ne(a, double.const(0))
          : int.ne(a, int.const(0));
    case "int32":
      return from === "float32" ? int.fromFloat(a) : from === "float64" ? int.fromDouble(a) : a;
    case "float32":
      return from === "float64" ? float.fromDouble(a) : float.fromInt(a);
    case "float64":
      return from === "float32" ? double.fromFloat(a) : double.fromInt(a);
  }
}

/** A call on single values; `where` is the writer's business. */
export function scalarCall(e: CallExpr, args: readonly Code[], keep: Keep, library: Library): Code {
  const from = e.args[0].dtype;
  if (e.fn === "cast") return castCall(e, args[0]);
  if (e.fn === "threefry") return ints.extract(library.vector("threefry", args.map(ints.splat)) as Code, 0);
  if (isComparison(e.fn)) return (from === "float32" ? float : from === "float64" ? double : int)[e.fn](args[0], args[1]);
  const code = from === "bool" ? boolCall(e.fn, args) : from === "int32" ? intCall(e, args, keep) : floatCall(e, args, keep, library);
  if (code === null) throw new InternalError(`wasm cannot compile ${e.fn} of ${from}`);
  return code;
}

function vectorIntCall(e: CallExpr, [a, b]: readonly Code[]): Code | null {
  const by = e.args[1];
  const fixed = by?.op === "const" ? by.value : null;
  switch (e.fn) {
    case "add":
    case "sub":
    case "mul":
    case "min":
    case "max":
      return ints[e.fn](a, b);
    case "neg":
    case "abs":
      return ints[e.fn](a);
    case "idiv":
      return fixed !== null && isPowerOfTwo(fixed) ? ints.shr(a, int.const(Math.log2(fixed))) : null;
    case "mod":
      return fixed !== null && isPowerOfTwo(fixed) ? vector.and(a, vectorConstant(fixed - 1, "int32")) : null;
    case "shl":
      return fixed !== null ? ints.shl(a, int.const(fixed)) : null;
    case "shr":
      return fixed !== null ? ints.shrUnsigned(a, int.const(fixed)) : null;
    case "bitAnd":
      return vector.and(a, b);
    case "bitOr":
      return vector.or(a, b);
    case "bitXor":
      return vector.xor(a, b);
    default:
      return null;
  }
}

function vectorFloatCall(
  e: CallExpr,
  args: readonly Code[],
  library: Library,
  scope: (args: readonly Code[]) => Scope | null,
): Code | null {
  const [a, b] = args;
  switch (e.fn) {
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "min":
    case "max":
      return floats[e.fn](a, b);
    case "neg":
    case "abs":
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
      return floats[e.fn](a);
    case "round":
      return floats.nearest(a);
    case "isNaN":
      return floats.ne(a, a);
    case "sign": {
      const zero = vector.floats(0);
      const one = vector.floats(1);
      return floats.sub(vector.and(floats.gt(a, zero), one), vector.and(floats.lt(a, zero), one));
    }
    default: {
      const here = scope(args);
      return (here && library.inlined(e.fn, here)) ?? library.vector(e.fn, args);
    }
  }
}

function vectorBoolCall(fn: ScalarFn, [a, b]: readonly Code[]): Code | null {
  switch (fn) {
    case "and":
    case "min":
      return vector.and(a, b);
    case "or":
    case "max":
      return vector.or(a, b);
    case "xor":
    case "ne":
      return vector.xor(a, b);
    case "eq":
      return vector.not(vector.xor(a, b));
    case "not":
      return vector.not(a);
    case "lt":
      return vector.andNot(b, a);
    case "gt":
      return vector.andNot(a, b);
    case "le":
      return vector.or(vector.not(a), b);
    case "ge":
      return vector.or(a, vector.not(b));
    default:
      return null;
  }
}

function vectorCast(e: CallExpr, a: Code): Code | null {
  const from = e.args[0].dtype;
  if (from === e.dtype) return a;
  switch (e.dtype) {
    case "bool":
      return from === "float32" ? floats.ne(a, vector.floats(0)) : ints.ne(a, vectorConstant(0, "int32"));
    case "int32":
      return from === "float32" ? ints.fromFloats(a) : vector.and(a, vectorConstant(1, "int32"));
    case "float32":
      return from === "int32" ? floats.fromInts(a) : vector.and(a, vector.floats(1));
    default:
      return null;
  }
}

/** A call on vectors of four lanes that are already locals, or null where there is none and each lane goes by itself. */
export function vectorCall(
  e: CallExpr,
  args: readonly Code[],
  library: Library,
  scope: (args: readonly Code[]) => Scope | null,
): Code | null {
  const from = e.args[0].dtype;
  if (e.fn === "where") return vector.choose(args[1], args[2], args[0]);
  if (e.fn === "cast") return vectorCast(e, args[0]);
  if (e.fn === "threefry") return library.vector("threefry", args);
  if (from === "bool") return vectorBoolCall(e.fn, args);
  if (isComparison(e.fn)) return (from === "float32" ? floats : ints)[e.fn](args[0], args[1]);
  return from === "int32" ? vectorIntCall(e, args) : vectorFloatCall(e, args, library, scope);
}

/** `value` folded into an accumulator. */
export function combined(combine: Combine, dtype: DType, isVector: boolean, a: Code, b: Code, keep: Keep): Code {
  if (dtype === "bool") {
    const or = combine === "max" || combine === "add";
    return isVector ? (or ? vector.or(a, b) : vector.and(a, b)) : or ? int.or(a, b) : int.and(a, b);
  }
  if (dtype === "int32") {
    if (isVector) return ints[combine](a, b);
    if (combine === "add" || combine === "mul") return int[combine](a, b);
    const [x, y] = [keep(a, i32), keep(b, i32)];
    return select(x, y, combine === "min" ? int.lt(x, y) : int.gt(x, y));
  }
  return isVector ? floats[combine](a, b) : (dtype === "float64" ? double : float)[combine](a, b);
}

const expensive: ReadonlySet<string> = new Set([
  ...["pow", "exp", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "erf"],
  ...["threefry", "div", "sqrt", "idiv", "mod", "rem"],
]);

export const isExpensive = (fn: ScalarFn): boolean => expensive.has(fn);
