/** The source of the shader modes: every value is a float32, conditions are no values, and functions of reals are our own. */
import { type DType, isFloating } from "../../engine/dtype.js";
import type { CallExpr } from "../../engine/kernel/ir.js";
import { comparison } from "../loops/javascript.js";
import { javaScriptWords } from "../loops/names.js";
import { asNumber, atom, binary, call, choice, operand, prefix, strength, type Text } from "../loops/text.js";
import { helpersIn } from "./helpers.js";
import { type Language, native } from "./language.js";
import { shaderHelpers } from "./shader-helpers.js";
import { infinity, negativeInfinity, notANumber, specials } from "./specials.js";

/** Functions of one real, by the helper or the gpu.js function that computes them. */
const unary: Readonly<Record<string, string>> = {
  abs: "Math.abs",
  floor: "Math.floor",
  ceil: "Math.ceil",
  trunc: "wholePart",
  sign: "signOf",
  round: "roundHalfEven",
  sqrt: "squareRoot",
  exp: "expOf",
  expm1: "expm1Of",
  log: "logOf",
  log1p: "log1pOf",
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
};

const not = (text: Text): Text => prefix("!", { code: `(${text.code})`, strength: strength.atom });
const isNonzero = (text: Text): Text => not(binary(text, "===", atom("0"), strength.equality));

const isWhole = ({ code }: Text): boolean => /^-?\d+$/.test(code);
const asReal = (text: Text): Text =>
  !isWhole(text) ? text : text.code.startsWith("-") ? prefix("-", call("Math.abs", atom(text.code.slice(1)))) : call("Math.abs", text);

function literal(value: number, dtype: DType): Text {
  if (dtype === "bool") return native.literal(value, dtype);
  if (Number.isNaN(value)) return atom(notANumber);
  // Beyond float32 is infinity there, too.
  if (Math.abs(Math.fround(value)) === Infinity) return atom(value > 0 ? infinity : negativeInfinity);
  return native.literal(value, dtype);
}

function integer(e: CallExpr, args: readonly Text[]): Text {
  const [a, b] = args as [Text, Text];
  const by = e.args[1];
  const isCount = by?.op === "const" && by.value > 0 && e.args[0].lo >= 0;
  switch (e.fn) {
    case "sign":
      return call("signOf", a);
    case "bitAnd":
      return call("bitwiseAnd", a, b);
    case "bitOr":
      return call("bitwiseOr", a, b);
    case "bitXor":
      return call("bitwiseXor", a, b);
    case "shl":
      return call("shiftLeft", a, b);
    case "idiv":
      return call(isCount ? "quotient" : "floorDivide", a, b);
    case "mod":
      return call(isCount ? "remainder" : "floorModulo", a, b);
    default:
      return native.call(e, args);
  }
}

function float(e: CallExpr, args: readonly Text[]): Text {
  const [a, b] = args as [Text, Text];
  if (e.fn in unary) return call(unary[e.fn], a);
  switch (e.fn) {
    case "mul": {
      const zero = e.args.findIndex((arg) => arg.op === "const" && arg.value === 0);
      return zero === -1 ? native.call(e, args) : call("timesZero", args[1 - zero]);
    }
    case "min":
      return call("smaller", a, b);
    case "max":
      return call("larger", a, b);
    case "rem":
      return call("remainderOf", a, b);
    case "pow":
      return call("powOf", a, b);
    case "isNaN":
      return binary(call("unordered", a), ">", atom("0"), strength.relation);
    default:
      return native.call(e, args);
  }
}

function cast(a: Text, from: DType, to: DType): Text {
  if (from === to) return a;
  if (to === "bool") return isNonzero(a);
  if (from === "bool") return asNumber(a);
  return to === "int32" ? call("truncate", a) : a;
}

function print(e: CallExpr, args: readonly Text[]): Text {
  const from = e.args[0].dtype;
  const [a] = args;
  if (e.fn === "cast") return cast(a, from, e.dtype);
  if (e.fn === "ne") return not(comparison({ ...e, fn: "eq" }, args) as Text);
  const compared = comparison(e, args);
  if (compared !== null) return compared;
  if (from !== "bool") return isFloating(from) ? float(e, args) : integer(e, args);
  return e.fn === "not" ? not(a) : native.call(e, args);
}

/** For the modes that run on a GPU. Loops go from 0 to a literal there. */
export const shader: Language = {
  ...native,
  reserved: new Set([...javaScriptWords, ...Object.keys(shaderHelpers), "point", "old"]),
  literal,
  call: print,
  keptBooleans: { keep: asNumber, read: (name) => isNonzero(atom(name)) },
  /** gpu.js makes integers of all arguments in an index. */
  plainIndices: true,
  /** Counters are integers, which gpu.js takes for reals in sums, but not in choices and calls. */
  axisOf: (counter) => `Math.max(${counter}, -1)`,
  /** gpu.js gives a whole number beside a real in a choice the type of integers. */
  choice: (test, a, b) => (isWhole(a) === isWhole(b) ? choice(test, a, b) : choice(test, asReal(a), asReal(b))),
  variable: (name) => `let ${name} = 0;`,
  freeLoops: false,
  longest: 32,
  quotient: (name, a, by) => [`const ${name} = quotient(${a}, ${by});`],
  combined(combine, dtype, name, value) {
    if (dtype === "bool") {
      const either = combine === "max" || combine === "add";
      return asNumber({
        code: `${name} === 1 ${either ? "||" : "&&"} ${operand(value, strength.bitOr)}`,
        strength: either ? strength.or : strength.and,
      }).code;
    }
    if (isFloating(dtype) && (combine === "max" || combine === "min")) {
      return `${combine === "max" ? "larger" : "smaller"}(${name}, ${value.code})`;
    }
    return native.combined(combine, dtype, name, value);
  },
  functionsFor: (source) => helpersIn(source, shaderHelpers),
  /**
   * gpu.js prints a function that is called for the second time before the functions that it calls, unless these are met once more. It takes
   * them in the order in which the kernel first names them; so a branch that is never taken names all, callers first.
   */
  mention(functions) {
    if (functions.length < 3) return [];
    const calls = functions.map((text) => {
      const [, name, parameters] = /function (\w+)\((.*?)\)/.exec(text) as RegExpExecArray;
      return `${name}(${parameters.replace(/\w+/g, "point")})`;
    });
    return [`if (point < -1) { return ${calls.reverse().join(" + ")}; }`];
  },
  constantsFor: (source): Readonly<Record<string, readonly number[]>> => (source.includes("this.constants.specials") ? { specials } : {}),
};
