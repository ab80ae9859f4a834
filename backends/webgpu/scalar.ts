/** The WGSL text of constants and scalar functions. */
import { type DType, isFloating } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import type { CallExpr, Combine, Expr } from "../../engine/kernel/ir.js";

/** Text, and whether it can be an operand without parentheses. */
export interface Text {
  readonly code: string;
  readonly atom: boolean;
}

export const atom = (code: string): Text => ({ code, atom: true });
const compound = (code: string): Text => ({ code, atom: false });

/** WGSL mixes hardly any operators without parentheses; so every operand that is not an atom gets them. */
export const operand = (text: Text): string => (text.atom ? text.code : `(${text.code})`);

export const binary = (a: Text, operator: string, b: Text): Text => compound(`${operand(a)} ${operator} ${operand(b)}`);
export const prefix = (operator: string, a: Text): Text => compound(`${operator}${operand(a)}`);

/** Notes which of the library's functions were called. */
export type Use = (helper: string) => void;

/** The type of a value inside a kernel. */
export function typeOf(dtype: DType): string {
  switch (dtype) {
    case "bool":
      return "bool";
    case "int32":
      return "i32";
    case "float32":
      return "f32";
    case "float64":
      throw new InternalError("WGSL has no float64");
  }
}

/** The type of an element in memory: a bool is a whole word, 0 or 1. */
export const storedType = (dtype: DType): string => (dtype === "bool" ? "u32" : typeOf(dtype));

const words = new DataView(new ArrayBuffer(4));
function bitsOf(value: number): number {
  words.setFloat32(0, value);
  return words.getUint32(0);
}

/** Floats that no literal of WGSL stands for, or not reliably: NaN, infinities, −0, subnormals and the largest go by their bits. */
function needsBits(value: number): boolean {
  const size = Math.abs(value);
  return !Number.isFinite(value) || Object.is(value, -0) || (size !== 0 && (size < 1.2e-38 || size > 3e38));
}

/** `special` gives the name of a runtime value with these bits. */
export function literal(value: number, dtype: DType, special: (bits: number) => string): Text {
  if (dtype === "bool") return atom(value !== 0 ? "true" : "false");
  if (dtype === "int32") return { code: String(value), atom: value >= 0 };
  const rounded = Math.fround(value);
  if (needsBits(rounded)) return atom(special(bitsOf(rounded)));
  return { code: `${Number.isInteger(rounded) && Math.abs(rounded) < 1e21 ? rounded.toFixed(1) : String(rounded)}f`, atom: rounded >= 0 };
}

/** A value as it is stored. */
export const stored = (text: Text, dtype: DType): Text => (dtype === "bool" ? atom(`u32(${text.code})`) : text);

const call = (name: string, ...args: readonly Text[]): Text => atom(`${name}(${args.map((arg) => arg.code).join(", ")})`);

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

function shiftCount(e: Expr, text: Text): string {
  return e.op === "const" ? `${e.value & 31}u` : `(u32(${text.code}) & 31u)`;
}

function printInt(e: CallExpr, args: readonly Text[], use: Use): Text | null {
  const [a, b] = args as [Text, Text];
  const by = e.args[1];
  const divisor = by?.op === "const" ? by.value : 0;
  const unsigned = divisor > 0 && e.args[0].lo >= 0;
  switch (e.fn) {
    case "add":
      return binary(a, "+", b);
    case "sub":
      return binary(a, "-", b);
    case "mul":
      return binary(a, "*", b);
    case "neg":
      return prefix("-", a);
    case "abs":
    case "sign":
    case "min":
    case "max":
      return call(e.fn, ...args);
    case "idiv":
      // An arithmetic shift floors; so does truncation where nothing is negative.
      if (isPowerOfTwo(divisor)) return compound(`${operand(a)} >> ${Math.log2(divisor)}u`);
      if (unsigned) return atom(`i32(u32(${a.code}) / ${divisor}u)`);
      use("floorDivide");
      return call("floorDivide", a, b);
    case "mod":
      if (isPowerOfTwo(divisor)) return compound(`${operand(a)} & ${divisor - 1}`);
      if (unsigned) return atom(`i32(u32(${a.code}) % ${divisor}u)`);
      use("floorModulo");
      return call("floorModulo", a, b);
    case "shl":
      return compound(`${operand(a)} << ${shiftCount(by, b)}`);
    case "shr":
      return atom(`bitcast<i32>(bitcast<u32>(${a.code}) >> ${shiftCount(by, b)})`);
    case "bitAnd":
      return binary(a, "&", b);
    case "bitOr":
      return binary(a, "|", b);
    case "bitXor":
      return binary(a, "^", b);
    default:
      return null;
  }
}

/** Functions of the library, by the names of the IR. */
const functions: Readonly<Partial<Record<CallExpr["fn"], string>>> = {
  min: "minimum",
  max: "maximum",
  sign: "signOf",
  neg: "negated",
  pow: "powOf",
  rem: "remainderOf",
  exp: "expOf",
  log: "logOf",
  log1p: "log1pOf",
  expm1: "expm1Of",
  sin: "sinOf",
  cos: "cosOf",
  tan: "tanOf",
  asin: "asinOf",
  acos: "acosOf",
  atan: "atanOf",
  sinh: "sinhOf",
  cosh: "coshOf",
  tanh: "tanhOf",
  erf: "erfOf",
  isNaN: "isNaN",
};

const isZero = (e: Expr): boolean => e.op === "const" && e.value === 0;

function printFloat(e: CallExpr, args: readonly Text[], use: Use): Text | null {
  const [a, b] = args as [Text, Text];
  switch (e.fn) {
    case "add":
      return binary(a, "+", b);
    case "sub":
      return binary(a, "-", b);
    case "mul":
      if (isZero(e.args[1])) {
        use("timesZero");
        return call("timesZero", a);
      }
      return binary(a, "*", b);
    case "div":
      return binary(a, "/", b);
    case "abs":
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
    case "round":
      return call(e.fn, a);
    case "neg":
      return prefix("-", a);
    default: {
      const name = functions[e.fn];
      if (name === undefined) return null;
      use(name);
      return call(name, ...args);
    }
  }
}

const comparisons: Readonly<Record<string, string>> = { eq: "==", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" };

function printComparison(e: CallExpr, args: readonly Text[]): Text {
  const [a, b] = e.args[0].dtype === "bool" && e.fn !== "eq" && e.fn !== "ne" ? args.map((arg) => call("u32", arg)) : args;
  // WGSL's != may be false for NaN.
  if (e.fn === "ne" && isFloating(e.args[0].dtype)) return prefix("!", binary(a, "==", b));
  return binary(a, comparisons[e.fn], b);
}

function printBool(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = args as [Text, Text];
  switch (e.fn) {
    case "and":
    case "min":
      return binary(a, "&&", b);
    case "or":
    case "max":
      return binary(a, "||", b);
    case "xor":
      return binary(a, "!=", b);
    case "not":
      return prefix("!", a);
    default:
      return null;
  }
}

function printCast(a: Text, from: DType, to: DType, use: Use): Text {
  if (from === to) return a;
  if (to === "bool") return from === "int32" ? binary(a, "!=", atom("0")) : prefix("!", binary(a, "==", atom("0.0f")));
  if (to === "int32" && from === "float32") {
    use("truncateToInt");
    return call("truncateToInt", a);
  }
  return call(typeOf(to), a);
}

/** `where` is not here: its branches are the emitter's business. */
export function printCall(e: CallExpr, args: readonly Text[], use: Use): Text {
  const from = e.args[0].dtype;
  if (e.fn === "cast") return printCast(args[0], from, e.dtype, use);
  if (e.fn === "threefry") {
    use("threefry");
    return call("threefry", ...args);
  }
  if (e.fn in comparisons) return printComparison(e, args);
  const text = from === "bool" ? printBool(e, args) : isFloating(from) ? printFloat(e, args, use) : printInt(e, args, use);
  if (text === null) throw new InternalError(`webgpu cannot print ${e.fn} of ${from}`);
  return text;
}

const cheap: ReadonlySet<string> = new Set(
  "add sub mul neg abs min max sign bitAnd bitOr bitXor shl shr eq ne lt le gt ge and or xor not where cast isNaN floor ceil trunc".split(
    " ",
  ),
);

/** Whether computing it in vain costs more than a branch. Operands are not looked at. */
export const isExpensive = (e: Expr): boolean => e.op === "call" && !cheap.has(e.fn);

/** A statement that folds `value` into the accumulator `name`. */
export function combined(combine: Combine, dtype: DType, name: string, value: Text, use: Use): string {
  if (dtype === "bool") return `${name} = ${name} ${combine === "max" || combine === "add" ? "||" : "&&"} ${operand(value)};`;
  if (combine === "add") return `${name} += ${value.code};`;
  if (combine === "mul") return `${name} *= ${value.code};`;
  if (dtype === "int32") return `${name} = ${combine}(${name}, ${value.code});`;
  const helper = combine === "max" ? "maximum" : "minimum";
  use(helper);
  return `${name} = ${helper}(${name}, ${value.code});`;
}
