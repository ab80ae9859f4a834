/**
 * Register tiling (unroll and jam), as a rewrite of the loops: several neighbouring points of one or two parallel axes become stages
 * and stores of one point. Loads that they have in common are then one expression, and independent sums hide the latency of adding.
 * Every sum keeps its own order.
 */

import { affine } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { type ClampedNest, type ClampedStage, roundsOf } from "../loops/clamp.js";
import { jam, wholeAndLeft } from "../loops/jam.js";
import { storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf, stagesOf } from "../loops/walk.js";

/**
 * Measured on V8 12 with float32 loads: cycles of one round of the innermost loop are `round`, plus `load` for each load and
 * `operation` for each float operation (`line` and `miss`: for each cache line met), but no fewer than the `latency` of an addition to the accumulator.
 */
const cost = { latency: 4.5, round: 1.5, entry: 8, load: 1, line: 0.1, miss: 5, operation: 0.45 };
/** More sums than this at once leave V8's sixteen float registers. */
const maxSums = 8;
/** Nodes of a tiled body: V8 does not optimise functions without limit. */
const maxNodes = 1500;
/** So many nodes must halve the cycles to be worth their compilation. */
const wieldyNodes = 2000;
/** Smaller kernels are not worth the longer code. */
const minWork = 1 << 14;
/** Strides and sizes of the first-level cache, in float32. */
const line = 16;
const cacheLines = 512;

interface Tiling {
  readonly axis: Axis;
  readonly by: number;
}

/** The points start + lanes · outer + lane of an axis. */
interface StageShape {
  readonly rounds: number;
  readonly innermost: number;
  readonly loads: readonly { readonly axes: ReadonlySet<Axis>; readonly misses: boolean; readonly contiguous: Axis | null }[];
  readonly operations: readonly ReadonlySet<Axis>[];
}

const stages = {
  bodies: ({ body }: ClampedStage): readonly Expr[] => [body],
  copy: (stage: ClampedStage, at: (e: Expr) => Expr): ClampedStage => ({ ...stage, body: at(stage.body), condition: at(stage.condition) }),
  same: (a: ClampedStage, b: ClampedStage): boolean => a.body === b.body && a.condition === b.condition,
};

export function tileNest(pool: ExprPool, nest: ClampedNest, tileFrom = minWork): readonly ClampedNest[] {
  return wholeAndLeft(pool, chooseTiling(nest, tileFrom)).map((tiles) => (tiles.length === 0 ? nest : jam(pool, nest, tiles, stages)));
}

/** The axes to tile and by how much; none where it does not pay. */
function chooseTiling(nest: ClampedNest, tileFrom: number): readonly Tiling[] {
  const points = pointCount(nest.axes);
  const rounds = nest.stages.reduce((sum, stage) => sum + roundsOf(stage.loops), 0);
  if (points * rounds < tileFrom) return [];
  const fixed = new Set<Axis>();
  const shapes: StageShape[] = [];
  for (const stage of nest.stages) {
    // An axis that a loop's bounds depend on would give each point a loop of its own.
    for (const { lower, upper, condition } of stage.loops) {
      for (const e of [lower, upper, condition]) for (const axis of axesOf(e)) fixed.add(axis);
    }
    if (stage.loops.length > 0 && roundsOf(stage.loops) > 0) shapes.push(shapeOf(stage));
  }
  const nodes = nodesOf([...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)]).size;
  const most = Math.min(Math.floor(maxSums / Math.max(1, widestGroup(nest.stages))), Math.floor(maxNodes / nodes));
  const open = nest.axes.filter((axis) => !fixed.has(axis) && axis.size > 1);
  let best: readonly Tiling[] = [];
  let least = cyclesOf(shapes, best) * 0.9;
  const consider = (tilings: readonly Tiling[]): void => {
    const parts = tilings.reduce((product, { axis, by }) => product * (axis.size % by === 0 ? 1 : 2), 1);
    const copies = tilings.reduce((product, { by }) => product * by, 1);
    const cycles = cyclesOf(shapes, tilings) * (1 + 0.02 * (parts - 1) + (nodes * copies) / wieldyNodes);
    if (cycles < least) [best, least] = [tilings, cycles];
  };
  for (const [i, first] of open.entries()) {
    for (let by = 2; by <= Math.min(most, first.size); by++) {
      consider([{ axis: first, by }]);
      for (const second of open.slice(i + 1)) {
        for (let other = 2; by * other <= most && other <= second.size; other++) {
          consider([
            { axis: first, by },
            { axis: second, by: other },
          ]);
        }
      }
    }
  }
  return best;
}

/** The most stages that share a loop, and with it the registers. */
function widestGroup(stages: readonly ClampedStage[]): number {
  let widest = 0;
  let group: number[] = [];
  stages.forEach((stage, i) => {
    const previous = stages[i - 1];
    const sameAxes = previous?.loops.length === stage.loops.length && stage.loops.every(({ axis }, j) => axis === previous.loops[j].axis);
    group = sameAxes && !group.some((other) => stagesOf(stage.body).has(other)) ? [...group, i] : [i];
    widest = Math.max(widest, group.length);
  });
  return widest;
}

function shapeOf(stage: ClampedStage): StageShape {
  const { body, loops } = stage;
  const innermost = loops[loops.length - 1].axis;
  const inLoop = (e: Expr): boolean => loops.some(({ axis }) => axesOf(e).has(axis));
  const isWork = (e: Expr): boolean => e.op === "call" && e.dtype !== "int32" && e.dtype !== "bool" && inLoop(e);
  return {
    rounds: roundsOf(stage.loops),
    innermost: innermost.size,
    loads: [...loadsOf([body])].filter(inLoop).map((load) => ({ axes: axesOf(load), ...locality(load, innermost) })),
    operations: [...nodesOf([body])].filter(isWork).map(axesOf),
  };
}

/** Whether the loop over `innermost` meets a new cache line each time and too many to keep, and the axis along such a line. */
function locality(load: LoadExpr, innermost: Axis): { misses: boolean; contiguous: Axis | null } {
  const terms = affine(load.index)?.terms ?? [];
  const stride = terms.find(({ factor }) => factor.op === "axis" && factor.axis === innermost)?.coefficient ?? 0;
  const unit = terms.find(({ coefficient, factor }) => Math.abs(coefficient) === 1 && factor.op === "axis")?.factor;
  return {
    misses: Math.abs(stride) >= line && innermost.size > cacheLines,
    contiguous: unit?.op === "axis" && unit.axis !== innermost ? unit.axis : null,
  };
}

/** Cycles for each point: of an axis in `open` first those in whole tiles, then those that are left, in a tile of their own. */
function cyclesOf(shapes: readonly StageShape[], open: readonly Tiling[], fixed: readonly Tiling[] = []): number {
  const [next, ...others] = open;
  if (next !== undefined) {
    const { axis, by } = next;
    const rest = axis.size % by;
    const whole = cyclesOf(shapes, others, [...fixed, next]) * (axis.size - rest);
    const left = rest === 0 ? 0 : cyclesOf(shapes, others, [...fixed, { axis, by: rest }]) * rest;
    return (whole + left) / axis.size;
  }
  const copies = (axes: ReadonlySet<Axis>, except: Axis | null = null): number =>
    fixed.reduce((product, { axis, by }) => (axes.has(axis) && axis !== except ? product * by : product), 1);
  const sums = fixed.reduce((product, { by }) => product * by, 1);
  let total = 0;
  for (const shape of shapes) {
    const entry = cost.entry / shape.innermost;
    let work = cost.round + entry + sums * cost.operation;
    for (const axes of shape.operations) work += copies(axes) * cost.operation;
    for (const load of shape.loads) {
      work += copies(load.axes) * cost.load + copies(load.axes, load.contiguous) * (load.misses ? cost.miss : cost.line);
    }
    total += shape.rounds * Math.max(cost.latency + entry, work);
  }
  return total / sums;
}
