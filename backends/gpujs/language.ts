/** What gpu.js takes for the scalar functions: its `cpu` and `webasm` modes have JavaScript's numbers and functions. */
import { type DType, isFloating } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import type { CallExpr, Combine, Expr } from "../../engine/kernel/ir.js";
import { atJump, bits, comparison, literal as plainLiteral, logical as plainLogical, real } from "../loops/javascript.js";
import { javaScriptWords } from "../loops/names.js";
import { asNumber, atom, binary, call, type Dialect, operand, strength, type Text } from "../loops/text.js";
import { helpers, helpersIn } from "./helpers.js";

/** The source of a mode: JavaScript's expressions, and what differs between the modes. */
export interface Language extends Dialect {
  /** Loops from and to computed numbers, and over steps other than 1. */
  readonly freeLoops: boolean;
  /** Longer float sums are sums of sums, of at least a quarter as many terms each: rounding errors stay small. */
  readonly longest: number;
  /** Elements of a row, at least, where threads come in rows, of which each finds its leading axes once; else all are one row. */
  readonly leastRow?: number;
  /** Declares `name` as the whole part of a / by, both not negative. */
  quotient(name: string, a: string, by: number): readonly string[];
  /** A value as it is returned. */
  result(value: Text, dtype: DType): Text;
  /** The accumulator `name` with one more value. */
  combined(combine: Combine, dtype: DType, name: string, value: Text): string;
  /** Sources of the helpers that this text calls. */
  functionsFor(source: string): readonly string[];
  /** Lines after the first, which tells `point`: functions come callees first, as they must stand in some languages. */
  mention(functions: readonly string[]): readonly string[];
  /** `this.constants` of a text and its helpers. */
  constantsFor(source: string): Readonly<Record<string, readonly number[]>>;
}

/** Integers are floats: exact up to here. One more might be a rounded sum, so what is larger becomes NaN, and reading it fails. */
export const maxExact = 2 ** 24 - 1;

export const expensive: ReadonlySet<string> = new Set(
  "pow exp log log1p expm1 sin cos tan asin acos atan sinh cosh tanh erf div sqrt idiv mod shl shr bitAnd bitOr bitXor".split(" "),
);

function literal(value: number, dtype: DType): Text {
  if (dtype === "bool" || Number.isFinite(value)) return plainLiteral(value, dtype);
  return { code: `${Number.isNaN(value) ? 0 : Math.sign(value)} / 0`, strength: strength.product };
}

function integer(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = args as [Text, Text];
  const by = e.args[1];
  const isCount = by?.op === "const" && by.value > 0 && e.args[0].lo >= 0;
  switch (e.fn) {
    case "add":
      return binary(a, "+", b, strength.sum);
    case "sub":
      return binary(a, "-", b, strength.sum);
    case "mul":
      return binary(a, "*", b, strength.product);
    case "neg":
      return { code: `0 - ${operand(a, strength.product)}`, strength: strength.sum };
    case "abs":
    case "sign":
      return call(`Math.${e.fn}`, a);
    case "idiv":
      return isCount ? call("Math.floor", binary(a, "/", b, strength.product)) : call("floorDivide", a, b);
    case "mod":
      return isCount ? binary(a, "%", b, strength.product) : call("floorModulo", a, b);
    case "shr":
      return call("shiftRight", a, b);
    default:
      return bits(e, args);
  }
}

function float(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = [atJump(e, args[0]), args[1]];
  switch (e.fn) {
    case "rem":
      return call("remainder", a, b);
    case "sign":
      return call("signOf", a);
    case "isNaN":
      return call("isNotANumber", a);
    default:
      return real(e, args);
  }
}

const logical = (e: CallExpr, args: readonly Text[]): Text | null => plainLogical(e, e.fn === "xor" ? args.map(asNumber) : args);

function cast(a: Text, from: DType, to: DType): Text {
  if (from === to) return a;
  if (to === "bool") return binary(a, "!==", atom("0"), strength.equality);
  if (from === "bool") return asNumber(a);
  return to === "int32" ? call("truncate", a) : a;
}

function print(e: CallExpr, args: readonly Text[]): Text {
  const from = e.args[0].dtype;
  const [a, b] = args as [Text, Text];
  if (e.fn === "cast") return cast(a, from, e.dtype);
  const compared = comparison(e, args);
  if (compared !== null) return compared;
  if (from !== "bool" && (e.fn === "min" || e.fn === "max")) return call(`Math.${e.fn}`, a, b);
  const text = from === "bool" ? logical(e, args) : isFloating(from) ? float(e, args) : integer(e, args);
  if (text === null) throw new InternalError(`gpujs cannot print ${e.fn} of ${from}`);
  return text;
}

/** For the mode `cpu`. */
export const native: Language = {
  reserved: new Set([...javaScriptWords, ...Object.keys(helpers), "point", "row", "old"]),
  literal,
  call: print,
  plus(sum, coefficient, text) {
    const size = Math.abs(coefficient);
    const part = size === 1 ? text : binary(text, "*", atom(String(size)), strength.product);
    if (sum === null) return coefficient > 0 ? part : { code: `0 - ${operand(part, strength.product)}`, strength: strength.sum };
    return binary(sum, coefficient > 0 ? "+" : "-", part, strength.sum);
  },
  variable: (name, dtype) => `let ${name} = ${dtype === "bool" ? "false" : "0"};`,
  isExpensive: (e: Expr) => e.op === "call" && expensive.has(e.fn),
  freeLoops: true,
  longest: 128,
  quotient: (name, a, by) => [`const ${name} = Math.floor(${a} / ${by});`],
  result: (value, dtype) => (dtype === "int32" ? call("exactly", value) : value),
  combined(combine, dtype, name, value) {
    if (dtype === "bool") {
      const operator = combine === "max" || combine === "add" ? "||" : "&&";
      return `${name} ${operator} ${operand(value, strength.bitOr)}`;
    }
    if (combine === "max" || combine === "min") return `Math.${combine}(${name}, ${value.code})`;
    return combine === "add" ? `${name} + ${operand(value, strength.product)}` : `${name} * ${operand(value, strength.product + 1)}`;
  },
  functionsFor: (source) => helpersIn(source, helpers),
  mention: () => [],
  constantsFor: () => ({}),
};

/**
 * For the mode `webasm`, which computes four threads of a row at a time: what does not depend on the place in the row is computed once for
 * all four, and read by one load instead of four.
 */
export const inQuads: Language = { ...native, leastRow: 32 };
