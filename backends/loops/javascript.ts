/** Scalar functions as languages with JavaScript's operators and `Math` write them; each dialect says first what it writes in another way. */
import type { DType } from "../../engine/dtype.js";
import type { CallExpr } from "../../engine/kernel/ir.js";
import { jumps } from "../../engine/kernel/scalar.js";
import { asNumber, atom, binary, call, operand, prefix, strength, type Text } from "./text.js";

const comparisons: Readonly<Record<string, readonly [string, number]>> = {
  eq: ["===", strength.equality],
  ne: ["!==", strength.equality],
  lt: ["<", strength.relation],
  le: ["<=", strength.relation],
  gt: [">", strength.relation],
  ge: [">=", strength.relation],
};

const ofMath: ReadonlySet<string> = new Set(
  "abs sqrt exp log log1p expm1 sin cos tan asin acos atan sinh cosh tanh floor ceil trunc".split(" "),
);

/** Booleans are JavaScript's inside a kernel, and 0 or 1 in memory. */
export function literal(value: number, dtype: DType): Text {
  if (dtype === "bool") return atom(value !== 0 ? "true" : "false");
  if (Object.is(value, -0)) return { code: "-0", strength: strength.unary };
  return { code: String(value), strength: value < 0 ? strength.unary : strength.atom };
}

/** Null where it is none. Booleans are compared as numbers. */
export function comparison(e: CallExpr, args: readonly Text[]): Text | null {
  if (!(e.fn in comparisons)) return null;
  const [operator, level] = comparisons[e.fn];
  const [a, b] = e.args[0].dtype === "bool" ? args.map(asNumber) : args;
  return binary(a, operator, b, level);
}

export function bits(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = args as [Text, Text];
  switch (e.fn) {
    case "shl":
      return binary(a, "<<", b, strength.shift);
    case "bitAnd":
      return binary(a, "&", b, strength.bitAnd);
    case "bitOr":
      return binary(a, "|", b, strength.bitOr);
    case "bitXor":
      return binary(a, "^", b, strength.bitXor);
    default:
      return null;
  }
}

/** The operand of a function that jumps: rounded, so that it jumps where that of float32 does. */
export const atJump = (e: CallExpr, a: Text): Text =>
  jumps.has(e.fn) && e.dtype === "float32" && e.args[0].op !== "load" ? call("Math.fround", a) : a;

export function real(e: CallExpr, args: readonly Text[]): Text | null {
  const [first, b] = args as [Text, Text];
  const a = atJump(e, first);
  switch (e.fn) {
    case "add":
      return binary(a, "+", b, strength.sum);
    case "sub":
      return binary(a, "-", b, strength.sum);
    case "mul":
      return binary(a, "*", b, strength.product);
    case "div":
      return binary(a, "/", b, strength.product);
    case "neg":
      return prefix("-", a);
    case "pow":
      return call("power", a, b);
    case "erf":
      return call("erf", a);
    case "round":
      return call("roundHalfEven", a);
    default:
      return ofMath.has(e.fn) ? call(`Math.${e.fn}`, a) : null;
  }
}

export function logical(e: CallExpr, args: readonly Text[]): Text | null {
  const [a, b] = args as [Text, Text];
  switch (e.fn) {
    case "and":
    case "min":
      return binary(a, "&&", b, strength.and);
    case "or":
    case "max":
      // `&&` inside `||` is legal without parentheses, but reads better with them.
      return { code: `${operand(a, strength.bitOr)} || ${operand(b, strength.bitOr)}`, strength: strength.or };
    case "xor":
      return binary(a, "!==", b, strength.equality);
    case "not":
      return prefix("!", a);
    default:
      return null;
  }
}
