/** Text of expressions in languages with JavaScript's operators. */

import type { DType } from "../../engine/dtype.js";
import type { CallExpr, Expr } from "../../engine/kernel/ir.js";

/** Text with its binding strength, so that only needed parentheses are printed. */
export interface Text {
  readonly code: string;
  readonly strength: number;
  /** The same modulo 2^32, without the `| 0` around it: for use inside of a further sum. */
  readonly bare?: Text;
}

/** Binding strengths of JavaScript's operators, weakest first. */
export const strength = {
  conditional: 2,
  or: 3,
  and: 4,
  bitOr: 5,
  bitXor: 6,
  bitAnd: 7,
  equality: 8,
  relation: 9,
  shift: 10,
  sum: 11,
  product: 12,
  unary: 14,
  atom: 20,
} as const;

export const atom = (code: string): Text => ({ code, strength: strength.atom });

/** `text` as an operand of an operator that needs at least strength `least`. */
export const operand = (text: Text, least: number): string => (text.strength < least ? `(${text.code})` : text.code);

/** Left-associative: an equally strong right operand keeps its parentheses, as regrouping floats would change the result. */
export const binary = (a: Text, operator: string, b: Text, level: number): Text => ({
  code: `${operand(a, level)} ${operator} ${operand(b, level + 1)}`,
  strength: level,
});

export const prefix = (operator: string, a: Text): Text => ({ code: `${operator}${operand(a, strength.atom)}`, strength: strength.unary });

export const call = (name: string, ...args: readonly Text[]): Text => atom(`${name}(${args.map((arg) => arg.code).join(", ")})`);

export const choice = (test: Text, a: Text, b: Text): Text => ({
  code: `${operand(test, strength.or)} ? ${operand(a, strength.or)} : ${operand(b, strength.conditional)}`,
  strength: strength.conditional,
});

const conditionAsNumber = (text: Text): Text => ({ code: `${operand(text, strength.or)} ? 1 : 0`, strength: strength.conditional });

export const asNumber = (text: Text): Text =>
  text.code === "true" || text.code === "false" ? atom(text.code === "true" ? "1" : "0") : conditionAsNumber(text);

/** A value as it is stored: booleans as 0 or 1. */
export const stored = (text: Text, dtype: DType): Text => (dtype === "bool" ? asNumber(text) : text);

/** What a language with JavaScript's operators and statements has of its own. */
export interface Dialect {
  /** Words that no axis may be called. */
  readonly reserved: ReadonlySet<string>;
  literal(value: number, dtype: DType): Text;
  /** `where` is not here: its branches are the writer's business. */
  call(e: CallExpr, args: readonly Text[]): Text;
  /** sum + coefficient · text in int32; `most` bounds the size of the text's value. */
  plus(sum: Text | null, coefficient: number, text: Text, most?: number): Text;
  /** Where variables hold no booleans: how one is kept, and how it is read. */
  readonly keptBooleans?: { keep(value: Text): Text; read(name: string): Text };
  /** An axis as a number like any other, from the counter of its loop; where counters are of another kind. */
  axisOf?(counter: string): string;
  /** Whether an index that calls functions gets a name first. */
  readonly plainIndices?: boolean;
  /** `test ? a : b`, where JavaScript's own will not do. */
  choice?(test: Text, a: Text, b: Text): Text;
  /** Declares a variable that branches will set. */
  variable(name: string, dtype: DType): string;
  /** Whether computing it in vain costs more than a branch. Operands are not looked at. */
  isExpensive(e: Expr): boolean;
}
