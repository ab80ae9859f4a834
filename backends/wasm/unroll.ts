/**
 * Turns: several rounds of a register tile's innermost loop are written one after the other, so that its places move on less often. V8 would
 * load the operands of all of them before it uses the first, for which there are not enough registers; see {@link StageWriter.endTurn}.
 */
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import type { Reduction, VectorNest, VectorStage } from "./vectorize.js";

/** Turns of a round; whole windows up to so many. */
const turns = 4;
const mostTurns = 8;
/** Multiplications and additions of vectors below which a longer function does not pay. */
const minWork = 2 ** 18;
/** Sums of a tile; see {@link writeReductions}. */
const leastSums = 5;

const sizeOf = (axes: readonly Axis[]): number => axes.reduce((product, axis) => product * axis.size, 1);
const isConst = (e: Expr, value: number): boolean => e.op === "const" && e.value === value;

/** Of a nest that is run so many times. */
export function unrollNest(pool: ExprPool, nest: VectorNest, times = 1): VectorNest {
  const sums = nest.stages.filter((stage) => isSum(stage));
  const [first] = sums;
  if (sums.length < leastSums || sums.length < nest.stages.filter(({ kind }) => kind === "reduction").length) return nest;
  if (sums.some(({ loops }) => loops.some(({ axis }, i) => axis !== first.loops[i]?.axis))) return nest;
  const { loops } = first;
  const last = loops[loops.length - 1]?.axis;
  if (last === undefined || times * sizeOf([...nest.axes, ...loops.map(({ axis }) => axis)]) * sums.length < minWork) return nest;
  const whole = loops.length > 1 && last.size <= mostTurns;
  const count = whole ? last.size : last.size % turns === 0 && last.size >= 2 * turns ? turns : 1;
  if (count === 1) return nest;
  const outer = pool.newAxis(last.name, last.size / count);
  const kept = whole
    ? loops.slice(0, -1)
    : [...loops.slice(0, -1), { ...loops[loops.length - 1], axis: outer, upper: pool.int(outer.size) }];
  const numbers = Array.from({ length: count }, (_, turn) => pool.newAxis(`turn${turn}`, count));
  const base = whole ? pool.int(0) : pool.mul(pool.axis(outer), pool.int(count));
  const at = (load: LoadExpr, turn: number): Expr => {
    const isVector = [...axesOf(load)].some((axis) => nest.lanes.has(axis));
    const number = isVector || turn === 0 ? pool.int(turn) : pool.axis(numbers[turn]);
    return pool.substitute(load, new Map([[last, pool.add(base, number)]]));
  };
  const unrolled = (stage: VectorStage): VectorStage => {
    if (stage.kind !== "reduction") return stage;
    const bodies = numbers.map((_, turn) => pool.rewrite(stage.body, (e) => (e.op === "load" ? at(e, turn) : null)));
    return { ...stage, loops: kept, body: bodies[0], turns: bodies.slice(1) };
  };
  return { ...nest, stages: nest.stages.map(unrolled), turns: numbers };
}

/** A sum of products of two elements, over all of its terms. */
function isSum(stage: VectorStage): stage is Reduction {
  if (stage.kind !== "reduction" || stage.combine !== "add" || stage.body.op !== "call" || stage.body.fn !== "mul") return false;
  if (stage.body.dtype !== "float32" || stage.body.args.some((arg) => arg.op !== "load" || arg.guard !== null)) return false;
  const loops = stage.loops.every(
    ({ axis, lower, upper, step, condition }) => step === 1 && isConst(lower, 0) && isConst(upper, axis.size) && isConst(condition, 1),
  );
  return loops && isConst(stage.condition, 1);
}
