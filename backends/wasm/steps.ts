/**
 * How a nest's work is handed out: the outermost loops are run in *steps*, any range of which can be done by itself, by any thread. Which
 * loops these are follows from the shape alone, and no step divides a sum: results do not depend on who does what.
 */

import type { Axis, Expr } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf } from "../../engine/kernel/simplify.js";
import type { Loop } from "../loops/clamp.js";
import { storeExprs } from "../loops/nest.js";
import { nodesOf, stagesOf } from "../loops/walk.js";
import { isExpensive } from "./scalar.js";
import type { Reduction, VectorNest, VectorStage } from "./vectorize.js";

/** Stages that share a loop, or one that only puts results together. */
export interface Group {
  readonly numbers: readonly number[];
  readonly stages: readonly VectorStage[];
  /** Loops of the nest that are open when it runs: those that it needs, and the ones around them. */
  readonly depth: number;
}

export interface Steps {
  readonly groups: readonly Group[];
  /** The outermost loops, run as one. */
  readonly axes: readonly Axis[];
  /** Points of these. */
  readonly count: number;
  /** Of all of them, in cycles, roughly. */
  readonly work: number;
}

/** Enough steps to share among threads. */
const enough = 64;
/** Cycles of a step below which a further loop is not taken in, as each step finds its place by division. */
const leastStep = 400;
/** Cycles that may be spent again for each range of steps. */
const mostRepeated = 2000;

export function stepsOf(nest: VectorNest): Steps {
  const groups = groupStages(nest);
  const work = workOf(nest, groups);
  const first = Math.min(nest.axes.length, ...groups.map((group) => group.depth));
  const before = groups.filter((group) => group.depth === 0).reduce((sum, group) => sum + groupWork(group), 0);
  const limit = before > mostRepeated ? 0 : Math.max(1, first);
  const axes: Axis[] = [];
  let count = 1;
  for (const axis of nest.axes.slice(0, limit)) {
    if (axes.length > 0 && (count >= enough || work / (count * axis.size) < leastStep)) break;
    axes.push(axis);
    count *= axis.size;
  }
  return { groups, axes, count, work };
}

/** Consecutive stages over the same loops that do not use one another. */
function groupStages(nest: VectorNest): readonly Group[] {
  const groups: { numbers: number[]; stages: VectorStage[] }[] = [];
  nest.stages.forEach((stage, number) => {
    const group = groups[groups.length - 1];
    const first = group?.stages[0];
    const joins =
      stage.kind === "reduction" &&
      first?.kind === "reduction" &&
      sameLoops(first.loops, stage.loops) &&
      !group.numbers.some((i) => stagesOf(stage.body).has(i));
    if (joins) {
      group.numbers.push(number);
      group.stages.push(stage);
    } else {
      groups.push({ numbers: [number], stages: [stage] });
    }
  });
  let depth = 0;
  return groups.map(({ numbers, stages }) => {
    while (depth < nest.axes.length && !needsNone(nest, stages, nest.axes.slice(depth))) depth++;
    return { numbers, stages, depth };
  });
}

function sameLoops(a: readonly Loop[], b: readonly Loop[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ axis, lower, upper, step, condition }, i) => {
      const other = b[i];
      const sameBounds = lower === other.lower && upper === other.upper && step === other.step;
      return axis === other.axis && sameBounds && condition === other.condition;
    })
  );
}

const stageExprs = (stage: Reduction): readonly Expr[] => [
  ...stage.loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  stage.condition,
  stage.body,
];

/** Whether a group needs none of the loops still to be opened: it then runs before them, once for all their points. */
function needsNone(nest: VectorNest, stages: readonly VectorStage[], loops: readonly Axis[]): boolean {
  const free = (stage: VectorStage): boolean => {
    if (stage.kind !== "reduction") return stage.parts.flat().every((number) => free(nest.stages[number]));
    const exprs = stageExprs(stage);
    if (exprs.some((e) => loops.some((axis) => axesOf(e).has(axis)))) return false;
    return exprs.every((e) => [...stagesOf(e)].every((number) => free(nest.stages[number])));
  };
  return stages.every(free);
}

/** Cycles of evaluating expressions once, two instructions a cycle. */
function cyclesOf(roots: readonly Expr[]): number {
  let sum = 0;
  for (const e of nodesOf(roots)) {
    if (e.op === "load") sum += 0.5;
    else if (e.op === "call") sum += isExpensive(e.fn) ? 10 : e.dtype === "int32" ? 0.1 : 0.5;
  }
  return sum;
}

/** Of a group, once. */
function groupWork({ stages }: Group): number {
  const [first] = stages;
  if (first.kind !== "reduction") return 4;
  const rounds = pointCount(first.loops.map((loop) => loop.axis));
  return rounds * (1 + cyclesOf(stages.flatMap((stage) => (stage.kind === "reduction" ? [stage.body] : []))));
}

function workOf(nest: VectorNest, groups: readonly Group[]): number {
  let sum = 0;
  for (const group of groups) sum += pointCount(nest.axes.slice(0, group.depth)) * groupWork(group);
  for (const store of nest.stores) sum += pointCount(nest.axes) * pointCount(store.axes) * (1 + cyclesOf(storeExprs(store)));
  return sum;
}
