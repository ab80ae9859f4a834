import { type DType, isFloating } from "../dtype.js";
import type { CallExpr, ScalarFn } from "./ir.js";
import { resultDType } from "./scalar.js";

type Domain = "number" | "float" | "int" | "bool" | "any";

const contains: Readonly<Record<Domain, (dtype: DType) => boolean>> = {
  number: (dtype) => dtype !== "bool",
  float: isFloating,
  int: (dtype) => dtype === "int32",
  bool: (dtype) => dtype === "bool",
  any: () => true,
};

/** How many arguments a function takes, and of what; all of one dtype, but for `where`. */
const signatures: Readonly<Record<ScalarFn, readonly [arity: number, domain: Domain]>> = {
  add: [2, "number"],
  sub: [2, "number"],
  mul: [2, "number"],
  min: [2, "number"],
  max: [2, "number"],
  neg: [1, "number"],
  abs: [1, "number"],
  sign: [1, "number"],
  div: [2, "float"],
  pow: [2, "float"],
  rem: [2, "float"],
  idiv: [2, "int"],
  mod: [2, "int"],
  shl: [2, "int"],
  shr: [2, "int"],
  bitAnd: [2, "int"],
  bitOr: [2, "int"],
  bitXor: [2, "int"],
  sqrt: [1, "float"],
  exp: [1, "float"],
  log: [1, "float"],
  log1p: [1, "float"],
  expm1: [1, "float"],
  sin: [1, "float"],
  cos: [1, "float"],
  tan: [1, "float"],
  asin: [1, "float"],
  acos: [1, "float"],
  atan: [1, "float"],
  sinh: [1, "float"],
  cosh: [1, "float"],
  tanh: [1, "float"],
  erf: [1, "float"],
  floor: [1, "float"],
  ceil: [1, "float"],
  round: [1, "float"],
  trunc: [1, "float"],
  eq: [2, "any"],
  ne: [2, "any"],
  lt: [2, "any"],
  le: [2, "any"],
  gt: [2, "any"],
  ge: [2, "any"],
  isNaN: [1, "float"],
  and: [2, "bool"],
  or: [2, "bool"],
  xor: [2, "bool"],
  not: [1, "bool"],
  where: [3, "any"],
  cast: [1, "any"],
  threefry: [4, "int"],
};

/** What is wrong with the dtypes of a call, or null. */
export function signatureProblem(e: CallExpr): string | null {
  const [arity, domain] = signatures[e.fn];
  const given = `${e.fn}(${e.args.map((arg) => arg.dtype).join(", ")}) → ${e.dtype}`;
  if (e.args.length !== arity) return `${given}: ${e.fn} takes ${arity} arguments`;
  const data = e.fn === "where" ? e.args.slice(1) : e.args;
  if (e.fn === "where" && e.args[0].dtype !== "bool") return `${given}: the condition must be bool`;
  if (data.some((arg) => arg.dtype !== data[0].dtype)) return `${given}: the dtypes differ`;
  if (!contains[domain](data[0].dtype)) return `${given}: ${e.fn} is not defined there`;
  if (e.fn !== "cast" && e.dtype !== resultDType(e.fn, e.args)) return `${given}: the result is ${resultDType(e.fn, e.args)}`;
  return null;
}
