/** The JavaScript text of constants and scalar functions. */
import { type DType, isFloating } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import { erf } from "../../engine/kernel/erf.js";
import type { CallExpr, Combine } from "../../engine/kernel/ir.js";
import { castValue, floorDivide, floorModulo, power, roundHalfEven, threefry2x32 } from "../../engine/kernel/scalar.js";
import { atJump, bits, comparison, literal, logical, real } from "../loops/javascript.js";
import { javaScriptWords } from "../loops/names.js";
import { asNumber, atom, binary, call, type Dialect, operand, prefix, strength, type Text } from "../loops/text.js";

/** What generated code may call; every kernel gets the same record. */
export const helpers = {
  erf,
  power,
  /** 0 for NaN. */
  sign: (value: number): number => Number(value > 0) - Number(value < 0),
  roundHalfEven,
  floorDivide,
  floorModulo,
  truncate: (value: number): number => castValue(value, "int32"),
  threefry: (key0: number, key1: number, counter0: number, counter1: number): number => threefry2x32(key0, key1, counter0, counter1)[0],
};

/** Back to int32: modulo 2^32. Sums of a few int32 are exact doubles, so that one `| 0` around all of them is enough. */
const wrap = (text: Text): Text => ({ ...truncated(text), bare: text });

const truncated = (text: Text): Text => binary(text, "|", atom("0"), strength.bitOr);

const unwrap = (text: Text): Text => text.bare ?? text;

/** sum + coefficient · text in int32; `most` bounds the size of the text's value. */
function plus(sum: Text | null, coefficient: number, text: Text, most = 0): Text {
  const size = Math.abs(coefficient);
  // A plain product where it cannot leave int32, as that reads better.
  const part =
    size === 1
      ? text
      : most * size < 2 ** 31
        ? { code: `${operand(text, strength.product)} * ${size}`, strength: strength.product }
        : call("Math.imul", text, atom(String(size | 0)));
  if (sum === null && coefficient > 0) return part;
  if (sum === null) return wrap(prefix("-", unwrap(part)));
  return wrap(binary(unwrap(sum), coefficient > 0 ? "+" : "-", unwrap(part), strength.sum));
}

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

function printInt(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = args as [Text, Text];
  const by = e.args[1];
  const divisor = by?.op === "const" ? by.value : 0;
  switch (e.fn) {
    case "add":
      return wrap(binary(a, "+", b, strength.sum));
    case "sub":
      return wrap(binary(a, "-", b, strength.sum));
    case "mul":
      return call("Math.imul", a, b);
    case "neg":
      return wrap(prefix("-", a));
    case "abs":
      return truncated(call("Math.abs", a));
    case "sign":
      return truncated(call("Math.sign", a));
    case "idiv":
      // An arithmetic shift floors; so does truncation where nothing is negative.
      if (isPowerOfTwo(divisor)) return binary(a, ">>", atom(String(Math.log2(divisor))), strength.shift);
      return divisor > 0 && e.args[0].lo >= 0 ? truncated(binary(a, "/", b, strength.product)) : call("floorDivide", a, b);
    case "mod":
      if (isPowerOfTwo(divisor)) return binary(a, "&", atom(String(divisor - 1)), strength.bitAnd);
      return divisor > 0 && e.args[0].lo >= 0 ? binary(a, "%", b, strength.product) : call("floorModulo", a, b);
    case "shr":
      return truncated(binary(a, ">>>", b, strength.shift));
    default:
      return bits(e, args);
  }
}

function printFloat(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = [atJump(e, args[0]), args[1]];
  switch (e.fn) {
    case "rem":
      return binary(a, "%", b, strength.product);
    case "sign":
      return call("sign", a);
    case "isNaN":
      return call("Number.isNaN", a);
    default:
      return real(e, args);
  }
}

function printCast(a: Text, from: DType, e: CallExpr): Text {
  if (from === e.dtype) return a;
  switch (e.dtype) {
    case "bool":
      return binary(a, "!==", atom("0"), strength.equality);
    case "int32":
      return from === "bool" ? asNumber(a) : call("truncate", a);
    case "float64":
      return from === "bool" ? asNumber(a) : a;
    case "float32": {
      // Integers of up to 24 bits are exact.
      const source = e.args[0];
      if (from === "bool") return asNumber(a);
      return from === "int32" && source.lo >= -(2 ** 24) && source.hi <= 2 ** 24 ? a : call("Math.fround", a);
    }
  }
}

function printCall(e: CallExpr, args: readonly Text[]): Text {
  const from = e.args[0].dtype;
  const [a, b] = args as [Text, Text];
  if (e.fn === "cast") return printCast(a, from, e);
  if (e.fn === "threefry") return call("threefry", ...args);
  const compared = comparison(e, args);
  if (compared !== null) return compared;
  if (from !== "bool" && (e.fn === "min" || e.fn === "max")) return call(`Math.${e.fn}`, a, b);
  const text = from === "bool" ? logical(e, args) : isFloating(from) ? printFloat(e, args) : printInt(e, args);
  if (text === null) throw new InternalError(`cpu cannot print ${e.fn} of ${from}`);
  return text;
}

const expensive: ReadonlySet<string> = new Set([
  "pow",
  "exp",
  "log",
  "log1p",
  "expm1",
  "sin",
  "cos",
  "tan",
  "asin",
  "acos",
  "atan",
  "sinh",
  "cosh",
  "tanh",
  "erf",
  "threefry",
  "div",
  "sqrt",
  "idiv",
  "mod",
  "rem",
]);

export const javaScript: Dialect = {
  reserved: new Set([...javaScriptWords, ...Object.keys(helpers)]),
  literal,
  call: printCall,
  plus,
  variable: (name) => `let ${name};`,
  isExpensive: (e) => e.op === "call" && expensive.has(e.fn),
};

/** An expression that folds `value` into the accumulator `name`. */
export function combined(combine: Combine, dtype: DType, name: string, value: Text): string {
  if (dtype === "bool")
    return combine === "max" || combine === "add"
      ? `${name} || ${operand(value, strength.bitOr)}`
      : `${name} && ${operand(value, strength.bitOr)}`;
  if (combine === "max" || combine === "min") return `Math.${combine}(${name}, ${value.code})`;
  if (dtype === "int32")
    return combine === "add" ? `${name} + ${operand(unwrap(value), strength.product)} | 0` : `Math.imul(${name}, ${value.code})`;
  return combine === "add" ? `${name} + ${operand(value, strength.product)}` : `${name} * ${operand(value, strength.product + 1)}`;
}
