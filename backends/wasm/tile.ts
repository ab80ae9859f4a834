/**
 * Register tiling (unroll and jam): several neighbouring points of one or two parallel axes become stages and stores of one point, so
 * that loads which they have in common are loaded once. Every sum keeps its own order.
 */

import type { Axis, Expr, LoadExpr, ScalarFn } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { roundsOf } from "../loops/clamp.js";
import { jam, type Tile, wholeAndLeft } from "../loops/jam.js";
import { storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf } from "../loops/walk.js";
import { isExpensive } from "./scalar.js";
import { type Reduction, strideOf, type VectorNest, type VectorStage } from "./vectorize.js";

/** Sums at once: the rest of the vector registers holds operands. */
const maxSums = 12;
/** V8 keeps the sixteenth for itself. It loads all operands of a round before it uses the first, so that they all need one. */
const registers = 15;
const maxNodes = 2500;
const minWork = 1 << 10;
/** Vectors in a cache line. */
const lineVectors = 4;
/** Lanes of a vector, and points whose loads are transposed together. */
const quad = 4;
/** Nodes of values beyond which a round is long enough, and points below which there are few rounds. */
const mostUnrolled = 64;
const minPoints = 1 << 8;
/** One instruction, though a slow one. */
const isQuick = (fn: ScalarFn): boolean => fn === "div" || fn === "sqrt";
/** In cycles, roughly: of one round of the innermost loop, of each load, operation and value without a register, and at least for each addition to a sum. */
const cost = { latency: 4, round: 1.5, entry: 8, load: 0.3, operation: 0.5, spill: 0.8 };

type Tiling = readonly (readonly [axis: Axis, by: number])[];

export function tileNest(pool: ExprPool, nest: VectorNest): readonly VectorNest[] {
  const tilings = chooseTiling(nest).map(([axis, by]) => ({ axis, by }));
  return wholeAndLeft(pool, tilings).map((tiles) => (tiles.length === 0 ? nest : jammed(pool, nest, tiles)));
}

/** Loads whose lanes lie apart while `axis` runs along the memory: for four points of it, four whole vectors are read and transposed. */
function crossedLoads({ lanes, stages, stores }: VectorNest, axis: Axis): readonly LoadExpr[] {
  const [lane] = lanes;
  if (stages.length > 0 || lanes.size !== 1 || lane.size !== quad || stores.some((store) => store.axes.length > 0)) return [];
  return [...loadsOf(stores.flatMap(storeExprs))].filter(
    ({ guard, dtype, index }) => guard === null && dtype !== "bool" && strideOf(index, axis) === 1 && isApart(strideOf(index, lane)),
  );
}

const isApart = (stride: number | null): boolean => stride !== null && stride !== 0 && stride !== 1;

/** Four points of the axis along which most loads are then transposed. */
function crossing(nest: VectorNest): Tiling {
  let [best, most]: [Axis | null, number] = [null, 0];
  for (const axis of nest.axes) {
    const count = axis.size < quad ? 0 : crossedLoads(nest, axis).length;
    if (count > most) [best, most] = [axis, count];
  }
  return best === null ? [] : [[best, quad]];
}

const isReduction = (stage: VectorStage): stage is Reduction => stage.kind === "reduction";

interface Shape {
  readonly rounds: number;
  readonly innermost: number;
  readonly sums: number;
  /** The axes of each load or operation, its cost, and whether its value waits in a vector register. */
  readonly parts: readonly { readonly axes: ReadonlySet<Axis>; readonly cost: number; readonly waits: boolean }[];
}

/** Stages that share a loop. */
function groupsOf(stages: readonly Reduction[]): Reduction[][] {
  const groups: Reduction[][] = [];
  for (const stage of stages) {
    const last = groups[groups.length - 1];
    const same = last?.[0].loops.length === stage.loops.length && stage.loops.every(({ axis }, i) => axis === last[0].loops[i].axis);
    if (same && last !== undefined) last.push(stage);
    else groups.push([stage]);
  }
  return groups;
}

function shapeOf(group: readonly Reduction[], lanes: ReadonlySet<Axis>): Shape {
  const { loops } = group[0];
  const inLoop = (e: Expr): boolean => loops.some(({ axis }) => axesOf(e).has(axis));
  const parts: { axes: ReadonlySet<Axis>; cost: number; waits: boolean }[] = [];
  // A product is added to its sum in one instruction.
  const fused = new Set(
    group.filter(({ combine, body }) => combine === "add" && body.op === "call" && body.fn === "mul").map(({ body }) => body),
  );
  for (const e of nodesOf(group.map((stage) => stage.body))) {
    if (!inLoop(e) || fused.has(e)) continue;
    const wide = [...axesOf(e)].some((axis) => lanes.has(axis));
    if (e.op === "load") {
      const unit = !wide || isContiguous(e, lanes);
      parts.push({ axes: axesOf(e), cost: unit ? cost.load : 10 * cost.load, waits: e.dtype === "float32" });
    } else if (e.op === "call" && (e.dtype !== "int32" || wide)) {
      parts.push({ axes: axesOf(e), cost: cost.operation, waits: false });
    }
  }
  const innermost = loops[loops.length - 1]?.axis.size ?? 1;
  return { rounds: roundsOf(group[0].loops), innermost, sums: group.length, parts };
}

function isContiguous(e: LoadExpr, lanes: ReadonlySet<Axis>): boolean {
  // The lane axis is a term of its own with factor 1, which the printed sum shows as a lone axis.
  const direct = (index: Expr): boolean =>
    index.op === "axis"
      ? lanes.has(index.axis)
      : index.op === "call" && (index.fn === "add" || index.fn === "sub") && index.args.some(direct);
  return direct(e.index);
}

function cyclesOf(shapes: readonly Shape[], tiling: Tiling): number {
  const copies = (axes: ReadonlySet<Axis>): number => tiling.reduce((product, [axis, by]) => (axes.has(axis) ? product * by : product), 1);
  const points = tiling.reduce((product, [, by]) => product * by, 1);
  let total = 0;
  for (const shape of shapes) {
    let work = cost.round + cost.entry / shape.innermost + shape.sums * points * cost.operation;
    let used = shape.sums * points;
    for (const part of shape.parts) {
      work += copies(part.axes) * part.cost;
      if (part.waits) used += copies(part.axes);
    }
    work += Math.max(0, used - registers) * cost.spill;
    total += shape.rounds * Math.max(cost.latency, work);
  }
  return total / points;
}

/** Four vectors in a row a round, where values are cheap: memory is then what they wait for. */
function unrolling({ axes, lanes, stores }: VectorNest): Tiling {
  const last = axes[axes.length - 1];
  if (last.size < lineVectors || lanes.size === 0 || stores.some((store) => store.axes.length > 0)) return [];
  const nodes = [...nodesOf(stores.flatMap(storeExprs))];
  if (nodes.length > mostUnrolled || nodes.some((e) => e.op === "call" && isExpensive(e.fn) && !isQuick(e.fn))) return [];
  return [[last, lineVectors]];
}

function chooseTiling(nest: VectorNest): Tiling {
  const reductions = nest.stages.filter(isReduction);
  const points = pointCount(nest.axes);
  const rounds = reductions.reduce((sum, stage) => sum + roundsOf(stage.loops), 0);
  if (nest.stages.length === 0) {
    const across = crossing(nest);
    return across.length > 0 ? across : points < minPoints ? [] : unrolling(nest);
  }
  if (points * rounds < minWork || rounds === 0) return [];
  const fixed = new Set<Axis>();
  for (const { loops } of reductions) {
    for (const { lower, upper, condition } of loops)
      for (const e of [lower, upper, condition]) for (const axis of axesOf(e)) fixed.add(axis);
  }
  const groups = groupsOf(reductions);
  const shapes = groups.filter((group) => group[0].loops.length > 0).map((group) => shapeOf(group, nest.lanes));
  const nodes = nodesOf([...reductions.map((stage) => stage.body), ...nest.stores.map((store) => store.value)]).size;
  const sums = Math.max(1, ...groups.map((group) => group.length));
  const most = Math.min(Math.floor(maxSums / sums), Math.floor(maxNodes / nodes));
  const open = nest.axes.filter((axis) => !fixed.has(axis) && axis.size > 1);
  let best: Tiling = [];
  let least = cyclesOf(shapes, best) * 0.92;
  const consider = (tiling: Tiling): void => {
    // What is left over runs in smaller tiles.
    const waste = tiling.reduce((sum, [axis, by]) => sum + (0.5 * (axis.size % by)) / axis.size, 0);
    const cycles = cyclesOf(shapes, tiling) * (1 + waste);
    // Of equals the innermost: its points are neighbours in memory, and panels are made for it.
    const isEqual = best.length > 0 && cycles <= least * (1 + 1e-9);
    if (cycles < least || isEqual) [best, least] = [tiling, Math.min(cycles, least)];
  };
  for (const [i, first] of open.entries()) {
    for (let by = 2; by <= Math.min(most, first.size); by++) {
      consider([[first, by]]);
      for (const second of open.slice(i + 1)) {
        for (let other = 2; by * other <= most && other <= second.size; other++) {
          consider([
            [first, by],
            [second, other],
          ]);
        }
      }
    }
  }
  return best;
}

/** The nest for all points of the tiles at once. */
function jammed(pool: ExprPool, nest: VectorNest, tiles: readonly Tile[]): VectorNest {
  const { at, points, ...made } = jam(pool, nest, tiles, {
    bodies: (stage) => (isReduction(stage) ? [stage.body] : []),
    copy: copyStage,
    same: sameStage,
  });
  const crossed = tiles.length === 1 && tiles[0].lanes === quad ? crossedLoads(nest, tiles[0].axis) : [];
  const quads = crossed.map((load) => Array.from({ length: points }, (_, point) => at(load, point) as LoadExpr));
  return { ...made, points: points * nest.points, lanes: nest.lanes, quads };
}

function copyStage(stage: VectorStage, at: (e: Expr) => Expr, number: (stage: number) => number): VectorStage {
  switch (stage.kind) {
    case "reduction":
      return { ...stage, body: at(stage.body), condition: at(stage.condition) };
    case "packing":
      return { ...stage, parts: stage.parts.map((part) => part.map(number)) };
    case "joining":
      return { ...stage, parts: stage.parts.map(number) };
  }
}

function sameStage(a: VectorStage, b: VectorStage): boolean {
  if (a.kind === "reduction") return b.kind === "reduction" && a.body === b.body && a.condition === b.condition;
  return a.kind === b.kind && a.parts.flat().join() === b.parts.flat().join();
}
