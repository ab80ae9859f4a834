/** Simplification of conditions, and of choices by them. */
import { children, flatten } from "./affine.js";
import type { Expr, ScalarFn } from "./ir.js";
import type { ExprPool } from "./simplify.js";

const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;
const isFalse = (e: Expr): boolean => e.op === "const" && e.value === 0;

/** `left < limit` or `left ≥ limit` of int32. */
interface Bound {
  readonly fn: "lt" | "ge";
  readonly left: Expr;
  readonly limit: number;
}

function asBound(e: Expr): Bound | null {
  if (e.op !== "call" || (e.fn !== "lt" && e.fn !== "ge")) return null;
  const [left, right] = e.args;
  return left.dtype === "int32" && right.op === "const" ? { fn: e.fn, left, limit: right.value } : null;
}

/** Sorted, without repetitions; null where an operand and its negation meet. */
function distinct(pool: ExprPool, operands: readonly Expr[]): readonly Expr[] | null {
  const set = new Set(operands);
  for (const e of set) {
    // One of the two is enough to ask, and spares the pool the others' negations.
    const asks = e.op === "call" && (e.fn === "not" || e.fn === "eq" || e.fn === "ge");
    if (asks && set.has(negation(pool, e))) return null;
  }
  return [...set].sort((a, b) => a.id - b.id);
}

const chain = (pool: ExprPool, fn: ScalarFn, operands: readonly Expr[]): Expr =>
  operands.reduce((left, right) => pool.node(fn, [left, right], "bool"));

/** Flattened and without repetitions; of several bounds on one expression the tightest. */
export function conjunction(pool: ExprPool, operands: readonly Expr[]): Expr {
  const parts = operands.flatMap((e) => flatten(e, "and"));
  if (parts.some(isFalse)) return pool.bool(false);
  if (parts.length === 1) return parts[0];

  const tightest = new Map<string, { readonly bound: Bound; readonly e: Expr }>();
  const kept: Expr[] = [];
  for (const e of parts) {
    const bound = asBound(e);
    if (bound === null) {
      kept.push(e);
      continue;
    }
    const key = `${bound.fn}${bound.left.id}`;
    const known = tightest.get(key);
    const tighter = known === undefined || (bound.fn === "lt" ? bound.limit < known.bound.limit : bound.limit > known.bound.limit);
    if (tighter) tightest.set(key, { bound, e });
  }
  for (const { bound, e } of tightest.values()) {
    if (bound.fn === "lt" && (tightest.get(`ge${bound.left.id}`)?.bound.limit ?? -Infinity) >= bound.limit) return pool.bool(false);
    kept.push(e);
  }
  const all = distinct(pool, kept);
  if (all === null) return pool.bool(false);
  return all.length === 0 ? pool.bool(true) : chain(pool, "and", all);
}

export function disjunction(pool: ExprPool, operands: readonly Expr[]): Expr {
  const parts = operands.flatMap((e) => flatten(e, "or"));
  if (parts.some(isTrue)) return pool.bool(true);
  const all = distinct(pool, parts);
  if (all === null) return pool.bool(true);
  return all.length === 0 ? pool.bool(false) : chain(pool, "or", all);
}

const opposite: { readonly [fn in ScalarFn]?: ScalarFn } = { eq: "ne", ne: "eq", lt: "ge", ge: "lt", gt: "le", le: "gt" };

export function negation(pool: ExprPool, e: Expr): Expr {
  if (e.op === "const") return pool.bool(e.value === 0);
  if (e.op === "call") {
    if (e.fn === "not") return e.args[0];
    const other = opposite[e.fn];
    // NaN is neither less nor greater-or-equal, but always either equal or unequal.
    if (other !== undefined && (e.args[0].dtype === "int32" || e.fn === "eq" || e.fn === "ne")) return pool.node(other, e.args, "bool");
  }
  return pool.node("not", [e], "bool");
}

export function exclusive(pool: ExprPool, a: Expr, b: Expr): Expr {
  if (a === b) return pool.bool(false);
  if (a.op === "const") return isTrue(a) ? negation(pool, b) : b;
  if (b.op === "const") return isTrue(b) ? negation(pool, a) : a;
  if (a === negation(pool, b)) return pool.bool(true);
  return pool.node("xor", a.id <= b.id ? [a, b] : [b, a], "bool");
}

/** Only +0: a guarded load gives no other zero. */
const isPlainZero = (e: Expr): boolean => e.op === "const" && Object.is(e.value, 0);

const readers = new WeakMap<Expr, boolean>();
/** Whether an expression depends on data, not on axes alone. */
function readsData(e: Expr): boolean {
  const known = readers.get(e);
  if (known !== undefined) return known;
  const reads = e.op === "load" || e.op === "ref" || e.op === "acc" || children(e).some(readsData);
  readers.set(e, reads);
  return reads;
}

/** A choice between an element and zero by position is a guard. By data it is not: guards say where an element is, and decide what can be fused. */
const isGuard = (condition: Expr): boolean => !readsData(condition);

export function select(pool: ExprPool, condition: Expr, a: Expr, b: Expr): Expr {
  if (condition.op === "const") return isTrue(condition) ? a : b;
  if (a === b) return a;
  if (condition.op === "call" && condition.fn === "not") return select(pool, condition.args[0], b, a);
  // The same choice was made before.
  if (a.op === "call" && a.fn === "where" && a.args[0] === condition) return select(pool, condition, a.args[1], b);
  if (b.op === "call" && b.fn === "where" && b.args[0] === condition) return select(pool, condition, a, b.args[2]);
  if ((a.op === "load" || a.op === "ref") && isPlainZero(b) && isGuard(condition)) return pool.guarded(a, condition);
  if ((b.op === "load" || b.op === "ref") && isPlainZero(a) && isGuard(condition)) return pool.guarded(b, negation(pool, condition));
  if (a.dtype === "bool") {
    if (isTrue(a)) return disjunction(pool, [condition, b]);
    if (isFalse(a)) return conjunction(pool, [negation(pool, condition), b]);
    if (isTrue(b)) return disjunction(pool, [negation(pool, condition), a]);
    if (isFalse(b)) return conjunction(pool, [condition, a]);
  }
  return pool.node("where", [condition, a, b], a.dtype, Math.min(a.lo, b.lo), Math.max(a.hi, b.hi));
}
