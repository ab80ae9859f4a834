/**
 * Simplification of float functions: only what holds for every IEEE value, NaN, infinities and −0 included. So x·0 and x + 0 stay
 * (∞·0 is NaN; −0 + 0 is +0), and arguments keep their order.
 */
import type { DType } from "../dtype.js";
import type { Expr, ScalarFn } from "./ir.js";
import type { ExprPool } from "./simplify.js";

const isConst = (e: Expr | undefined, value: number): boolean => e?.op === "const" && Object.is(e.value, value);

const negated = (e: Expr | undefined): Expr | undefined => (e?.op === "call" && e.fn === "neg" ? e.args[0] : undefined);

/** Division by a power of two is multiplication by its reciprocal, exactly, as long as neither is subnormal. */
function exactReciprocal(e: Expr): number | null {
  if (e.op !== "const") return null;
  const exponent = Math.log2(Math.abs(e.value));
  return Number.isInteger(exponent) && Math.abs(exponent) <= 100 && 2 ** exponent === Math.abs(e.value) ? 1 / e.value : null;
}

export function simplifyFloat(pool: ExprPool, fn: ScalarFn, args: readonly Expr[], dtype: DType): Expr {
  const [a, b] = args;
  switch (fn) {
    case "add": {
      if (isConst(b, -0)) return a;
      if (isConst(a, -0)) return b;
      const minusB = negated(b);
      if (minusB !== undefined) return pool.sub(a, minusB);
      const minusA = negated(a);
      if (minusA !== undefined) return pool.sub(b, minusA);
      break;
    }
    case "sub": {
      if (isConst(b, 0)) return a;
      if (isConst(a, -0)) return pool.neg(b);
      const minusB = negated(b);
      if (minusB !== undefined) return pool.add(a, minusB);
      break;
    }
    case "mul":
      // The constant comes second.
      if (a.op === "const" && b.op !== "const") return pool.mul(b, a);
      if (isConst(b, 1)) return a;
      if (isConst(b, -1)) return pool.neg(a);
      break;
    case "div": {
      if (isConst(b, 1)) return a;
      const reciprocal = exactReciprocal(b);
      if (reciprocal !== null) return pool.mul(a, pool.const(reciprocal, dtype));
      break;
    }
    case "neg":
      return negated(a) ?? pool.node(fn, args, dtype);
    case "abs": {
      const inner = negated(a);
      if (inner !== undefined) return pool.abs(inner);
      if (a.op === "call" && a.fn === "abs") return a;
      break;
    }
    case "pow":
      if (isConst(b, 1)) return a;
      if (isConst(b, 2)) return pool.mul(a, a);
      if (isConst(b, -1)) return pool.div(pool.const(1, dtype), a);
      if (b.op === "const" && b.value === 0) return pool.const(1, dtype);
      break;
    case "min":
    case "max":
      if (a === b) return a;
      break;
    case "gt":
      return pool.node("lt", [b, a], "bool");
    case "ge":
      return pool.node("le", [b, a], "bool");
    default:
      break;
  }
  return pool.node(fn, args, dtype);
}
