/**
 * Window clamping. A padded window reads zeros outside of its image, and a zero adds nothing to a sum: where a stage's body is the
 * identity of its combine unless a condition holds, the condition can become a bound of the loop instead of a test inside it.
 */
import { conjuncts, isBounded, sumOf } from "../../engine/kernel/affine.js";
import type { Axis, Combine, Expr, LoadExpr, Stage, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import type { Nest } from "./nest.js";
import { loadsOf, stagesOf } from "./walk.js";

/** `for (axis = lower; axis < upper; axis += step)`, entered only where `condition` holds. */
export interface Loop {
  readonly axis: Axis;
  readonly lower: Expr;
  readonly upper: Expr;
  readonly step: number;
  readonly condition: Expr;
}

/** Of loops within one another, with nothing clamped. */
export const roundsOf = (loops: readonly Loop[]): number => loops.reduce((product, { axis }) => product * axis.size, 1);

export interface ClampedStage {
  readonly loops: readonly Loop[];
  readonly combine: Combine;
  /** What is left to test inside of all loops. */
  readonly condition: Expr;
  readonly body: Expr;
}

export interface ClampedNest {
  readonly axes: readonly Axis[];
  readonly stages: readonly ClampedStage[];
  readonly stores: readonly Store[];
  /** Loads whose guard went into the loops, so that they are safe only there. */
  readonly weakened: ReadonlySet<LoadExpr>;
}

/** Deeper than this no window is looked for. */
const maxDepth = 32;

/** Conditions without which `e` is the identity of the combine. A sum takes 0 · NaN for 0 here, as every direct convolution does. */
export function required(e: Expr, combine: Combine, depth = 0): ReadonlySet<Expr> {
  if (depth > maxDepth) return new Set();
  if (e.op === "load") return new Set(combine === "add" && e.guard !== null ? conjuncts(e.guard) : []);
  if (e.op !== "call") return new Set();
  const [a, b, c] = e.args;
  if (e.fn === "where") {
    const absent = c.op === "const" && c.value === identityOf(combine, e.dtype) && !Object.is(c.value, -0);
    return absent ? union(new Set(conjuncts(a)), required(b, combine, depth + 1)) : new Set();
  }
  if (combine !== "add" || e.dtype === "bool") return new Set();
  switch (e.fn) {
    case "mul":
      return union(required(a, combine, depth + 1), required(b, combine, depth + 1));
    case "div":
      return b.op === "const" && Math.abs(b.value) > 0 ? required(a, combine, depth + 1) : new Set();
    case "neg":
    case "cast":
      return a.dtype === "bool" ? new Set() : required(a, combine, depth + 1);
    case "add":
    case "sub": {
      const right = required(b, combine, depth + 1);
      return new Set([...required(a, combine, depth + 1)].filter((condition) => right.has(condition)));
    }
    default:
      return new Set();
  }
}

const union = (a: ReadonlySet<Expr>, b: ReadonlySet<Expr>): ReadonlySet<Expr> => new Set([...a, ...b]);

interface Bounds {
  lower?: Expr;
  upper?: Expr;
}

/** The values of `axis` for which an affine comparison holds, as bounds that do not contain it; null where there are none. */
export function solve(pool: ExprPool, condition: Expr, axis: Axis): Bounds | null {
  if (condition.op !== "call" || condition.args[0].dtype !== "int32") return null;
  const [a, b] = condition.args;
  switch (condition.fn) {
    case "lt":
      return solveLess(pool, a, b, axis, false);
    case "ge":
      return solveLess(pool, a, b, axis, true);
    case "gt":
      return solveLess(pool, b, a, axis, false);
    case "le":
      return solveLess(pool, b, a, axis, true);
    case "eq": {
      const split = isolate(pool, a, b, axis);
      if (split === null || Math.abs(split.coefficient) !== 1) return null;
      const at = split.coefficient === 1 ? pool.neg(split.rest) : split.rest;
      return { lower: at, upper: pool.add(at, pool.int(1)) };
    }
    default:
      return null;
  }
}

/** a − b as coefficient · axis + rest. */
function isolate(pool: ExprPool, a: Expr, b: Expr, axis: Axis): { coefficient: number; rest: Expr } | null {
  if (!isBounded(a) || !isBounded(b)) return null;
  const difference = pool.sub(a, b);
  if (!isBounded(difference)) return null;
  const coefficient = sumOf(difference).terms.find(({ factor }) => factor.op === "axis" && factor.axis === axis)?.coefficient ?? 0;
  if (coefficient === 0) return null;
  const rest = pool.sub(difference, pool.mul(pool.axis(axis), pool.int(coefficient)));
  return axesOf(rest).has(axis) || !isBounded(rest) ? null : { coefficient, rest };
}

/** a < b, or (`negated`) a ≥ b. */
function solveLess(pool: ExprPool, a: Expr, b: Expr, axis: Axis, negated: boolean): Bounds | null {
  const split = isolate(pool, a, b, axis);
  if (split === null) return null;
  const { coefficient, rest } = split;
  const size = pool.int(Math.abs(coefficient));
  // coefficient · t + rest < 0: below ceil(−rest / c), or for a negative coefficient above floor(rest / |c|).
  if (coefficient > 0) {
    const edge = pool.idiv(pool.sub(pool.int(coefficient - 1), rest), size);
    return negated ? { lower: edge } : { upper: edge };
  }
  const edge = pool.add(pool.idiv(rest, size), pool.int(1));
  return negated ? { upper: edge } : { lower: edge };
}

/** `(± axis + rest) mod m = r`, the condition of a strided window's gradient, as `axis ≡ phase (mod m)`. */
function solveStride(pool: ExprPool, condition: Expr, axis: Axis): { step: number; phase: Expr } | null {
  if (condition.op !== "call" || condition.fn !== "eq") return null;
  const [remainder, value] = condition.args;
  if (remainder.op !== "call" || remainder.fn !== "mod" || remainder.dtype !== "int32" || value.op !== "const") return null;
  const by = remainder.args[1];
  if (by.op !== "const" || by.value <= 1) return null;
  const split = isolate(pool, remainder.args[0], value, axis);
  if (split === null || Math.abs(split.coefficient) !== 1) return null;
  return { step: by.value, phase: split.coefficient === 1 ? pool.neg(split.rest) : split.rest };
}

export function clampNest(pool: ExprPool, nest: Nest): ClampedNest {
  const stages = nest.stages.map((stage) => clampStage(pool, stage));
  const before = loadsOf(nest.stages.map((stage) => stage.body));
  const weakened = new Set<LoadExpr>();
  for (const load of loadsOf(stages.map((stage) => stage.body))) if (!before.has(load)) weakened.add(load);
  return { axes: nest.axes, stages, stores: nest.stores, weakened };
}

const hasLoads = (e: Expr): boolean => loadsOf([e]).size > 0;

/** Conditions that `stays` names are left in the body. */
export function clampStage(pool: ExprPool, stage: Stage, stays: (condition: Expr) => boolean = () => false): ClampedStage {
  // Conditions on data and on earlier results stay where they are: whether to branch on them is not known here.
  const conditions = [...required(stage.body, stage.combine)].filter(
    (condition) => !hasLoads(condition) && stagesOf(condition).size === 0 && !stays(condition),
  );
  const loops = stage.axes.map((axis) => ({
    axis,
    lower: pool.int(0),
    upper: pool.int(axis.size),
    step: 1,
    condition: pool.bool(true),
    phase: null as Expr | null,
  }));
  let inner = pool.bool(true);
  for (const condition of conditions) {
    const axes = axesOf(condition);
    const depth = stage.axes.findLastIndex((axis) => axes.has(axis));
    const loop = loops[depth];
    const bounds = loop && solve(pool, condition, loop.axis);
    const stride = loop && loop.phase === null ? solveStride(pool, condition, loop.axis) : null;
    if (bounds) {
      if (bounds.lower) loop.lower = pool.max(loop.lower, bounds.lower);
      if (bounds.upper) loop.upper = pool.min(loop.upper, bounds.upper);
    } else if (loop && stride) {
      loop.step = stride.step;
      loop.phase = stride.phase;
    } else if (depth + 1 < loops.length) {
      loops[depth + 1].condition = pool.and(loops[depth + 1].condition, condition);
    } else {
      inner = pool.and(inner, condition);
    }
  }
  for (const loop of loops) {
    // The first value from `lower` on with the right remainder.
    if (loop.phase !== null) loop.lower = pool.add(loop.lower, pool.mod(pool.sub(loop.phase, loop.lower), pool.int(loop.step)));
  }
  const gone = new Set(conditions);
  const body = gone.size === 0 ? stage.body : pool.rewrite(stage.body, (e) => (gone.has(e) ? pool.bool(true) : null));
  return { loops, combine: stage.combine, condition: inner, body };
}
