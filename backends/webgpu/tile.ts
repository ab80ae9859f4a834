/**
 * Register tiling (unroll and jam): several neighbouring points of one or two parallel axes become stages and stores of one invocation, so
 * that what they have in common is loaded once. Every sum keeps its own order. What pays is a matter of the adapter: see {@link Machine}.
 */

import { isFloating } from "../../engine/dtype.js";
import { affine } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, CallExpr, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { jam, type Tile } from "../loops/jam.js";
import { storeExprs } from "../loops/nest.js";
import { nodesOf } from "../loops/walk.js";
import { isExpensive } from "./scalar.js";
import { type GpuNest, type GpuStage, groupsOf, mapRound, storeUnrolls, unroll, unrollings, unrollStores } from "./stages.js";

/** Costs in cycles of one invocation, roughly. */
export interface Machine {
  readonly load: number;
  /** A load that must not be out of bounds. */
  readonly guard: number;
  readonly operation: number;
  /** What an operation waits for the one before where no neighbour has work. */
  readonly latency: number;
  /** Folding a value into a sum. */
  readonly sum: number;
  readonly round: number;
  /** A sum that goes on into the next round of its loop. */
  readonly carry: number;
  /** Telling a value to the other members of a subgroup. */
  readonly broadcast: number;
  /** Members of a subgroup that share their loads; 1 where they do not. */
  readonly members: number;
  /** An invocation by itself: finding its coordinates. */
  readonly point: number;
  /** Invocations that run at the same time. */
  readonly width: number;
  /** Of compiling a statement, shared among as many runs as a kernel may have. */
  readonly statement: number;
  /** The most statements of one kernel: more do not stay in a cache for instructions, or take too long to compile. */
  readonly maxStatements: number;
  /** Sums of one invocation at the same time. */
  readonly maxSums: number;
  /** Invocations below which they are taken from smaller workgroups, so that all cores have some. */
  readonly fullGroups: number;
  /** Points up to which a workgroup takes each, where sums are long. */
  readonly teams: number;
  /** Invocations of a workgroup that share one line. */
  readonly groupLanes: number;
}

/**
 * Measured on SwiftShader with two cores: a load from a buffer is taken apart into four, one for each lane, and costs as much as six products
 * that are added to a sum.
 */
export const softwareMachine: Machine = {
  load: 60,
  guard: 15,
  operation: 3,
  latency: 4,
  sum: 3,
  round: 60,
  carry: 10,
  broadcast: 6,
  members: 1,
  point: 150,
  width: 8,
  statement: 30_000,
  maxStatements: 400,
  maxSums: 64,
  fullGroups: 16,
  teams: 16,
  groupLanes: 4,
};

/** Estimates, not measurements. */
export const hardwareMachine: Machine = {
  load: 6,
  guard: 1,
  operation: 1,
  latency: 0,
  sum: 1,
  round: 4,
  carry: 0,
  broadcast: 1,
  members: 1,
  point: 20,
  width: 8192,
  statement: 400,
  maxStatements: 700,
  maxSums: 32,
  fullGroups: 1,
  teams: 4096,
  groupLanes: 64,
};

/** A way to run a kernel: how many rounds of the innermost loop, and how many neighbours along which axes. */
export interface Schedule {
  readonly unroll: number;
  readonly tiles: readonly (readonly [axis: Axis, by: number])[];
}

interface Shape {
  readonly group: readonly number[];
  readonly loops: readonly number[];
  readonly rounds: number;
  readonly inner: Axis | null;
  /** What decides how often its loops go round. */
  readonly bounds: ReadonlySet<Axis>;
  /** Whether so many rounds of the innermost loop can be done at once. */
  readonly unrolls: (by: number) => boolean;
  readonly loads: readonly { readonly strides: ReadonlyMap<Axis, number>; readonly opaque: ReadonlySet<Axis>; readonly guarded: boolean }[];
  readonly operations: readonly { readonly axes: ReadonlySet<Axis>; readonly cost: number }[];
  /** Statements with which a value goes into a sum. */
  readonly fold: number;
}

/** All schedules of a kernel that are not too long, the one that should be fastest first. */
export function schedules(nest: GpuNest, buffers: readonly BufferSpec[], machine: Machine): readonly Schedule[] {
  const groups = groupsOf(nest.stages);
  const shapes = groups.map((group) => shapeOf(nest, group));
  const epilogue = shapeOfStores(nest);
  const fixed = new Set(nest.stages.flatMap((stage) => [...boundsOf(stage)]));
  const inPlace = buffers.some(({ access }) => access === "readwrite");
  const open = nest.axes.filter((axis) => !fixed.has(axis) && axis.size > 1);
  const widest = Math.max(1, ...groups.map((group) => group.length));
  const main = shapes.reduce<Shape | null>((most, shape) => (most === null || shape.rounds > most.rounds ? shape : most), null);
  const found: { schedule: Schedule; cycles: number }[] = [];
  const consider = (schedule: Schedule): void => {
    const cycles = cyclesOf(schedule, shapes, epilogue, nest.axes, machine);
    if (cycles !== null) found.push({ schedule, cycles });
  };
  const fits = (axis: Axis, by: number): boolean => axis.size % by === 0 || (!inPlace && axis.size > 2 * by);
  const most = Math.floor(machine.maxSums / widest);
  for (const by of main === null ? [1] : unrollings(nest.stages[main.group[0]])) {
    consider({ unroll: by, tiles: [] });
    open.forEach((first, i) => {
      for (let one = 2; one <= Math.min(most, 16, first.size); one++) {
        if (!fits(first, one)) continue;
        consider({ unroll: by, tiles: [[first, one]] });
        for (const second of open.slice(i + 1)) {
          for (let two = 2; one * two <= most && two <= Math.min(16, second.size); two++) {
            if (!fits(second, two)) continue;
            const tiles = [
              [first, one],
              [second, two],
            ] as const;
            consider({ unroll: by, tiles });
          }
        }
      }
    });
  }
  found.sort((a, b) => a.cycles - b.cycles);
  return found.map(({ schedule }) => schedule);
}

/** What the bounds and conditions of a stage's loops depend on. */
const boundsOf = ({ loops }: GpuStage): ReadonlySet<Axis> =>
  new Set(loops.flatMap(({ lower, upper, condition }) => [lower, upper, condition].flatMap((e) => [...axesOf(e)])));

function shapeOf(nest: GpuNest, group: readonly number[]): Shape {
  const stages = group.map((i) => nest.stages[i]);
  const { loops } = stages[0];
  const roots = stages.flatMap((stage) => stage.rounds.map((round) => round.body));
  const inner = loops.at(-1)?.axis ?? null;
  const sizes = loops.map(({ axis }) => axis.size);
  return {
    group,
    loops: sizes,
    rounds: pointCount(loops.map(({ axis }) => axis)),
    inner,
    bounds: boundsOf(stages[0]),
    unrolls: (by) => unrollings(stages[0]).includes(by),
    fold: stages.some(({ combine }) => combine === "max" || combine === "min") ? 5 : 1, // they ask for NaN
    ...workOf(roots),
  };
}

/** Of the stores that go through the most elements a point. */
function shapeOfStores({ stores }: GpuNest): Shape {
  const main = stores.reduce((most, store) => (pointCount(store.axes) > pointCount(most.axes) ? store : most));
  return {
    group: [],
    loops: main.axes.map(({ size }) => size),
    rounds: pointCount(main.axes),
    inner: main.axes.at(-1) ?? null,
    bounds: new Set(),
    unrolls: (by) => storeUnrolls(main, by),
    fold: 1,
    ...workOf(stores.flatMap(storeExprs)),
  };
}

function workOf(roots: readonly Expr[]): Pick<Shape, "loads" | "operations"> {
  const loads: Shape["loads"][number][] = [];
  const operations: Shape["operations"][number][] = [];
  for (const e of nodesOf(roots)) {
    if (e.op === "load") loads.push({ ...strides(e), guarded: e.guard !== null });
    else if (e.op === "call" && (isFloating(e.dtype) || e.fn === "threefry")) operations.push({ axes: axesOf(e), cost: costOf(e) });
  }
  return { loads, operations };
}

/** In additions: the library's functions are written out where they are called. */
const costOf = (e: CallExpr): number =>
  e.fn === "threefry" ? 200 : !isExpensive(e) || e.fn === "div" || e.fn === "sqrt" || e.fn === "round" ? 1 : 30;

function strides(load: LoadExpr): { strides: ReadonlyMap<Axis, number>; opaque: ReadonlySet<Axis> } {
  const linear = new Map<Axis, number>();
  const opaque = new Set<Axis>();
  for (const { coefficient, factor } of affine(load.index)?.terms ?? []) {
    if (factor.op === "axis") linear.set(factor.axis, coefficient);
    else for (const axis of axesOf(factor)) opaque.add(axis);
  }
  return { strides: linear, opaque };
}

/** Whether subgroups fall into this axis, the last of those that are left, without a rest: their members then differ in nothing else. */
export const canShare = (size: number, { members }: Machine): boolean => members > 1 && size % members === 0;

/** Whether the members of a subgroup want the same of a load in the innermost loop. */
function isShared({ strides, opaque, guarded }: Shape["loads"][number], lane: Axis, { inner, bounds }: Shape): boolean {
  if (guarded || inner === null || bounds.has(lane)) return false;
  return !strides.has(lane) && !opaque.has(lane) && (strides.has(inner) || opaque.has(inner));
}

/** Elements that the copies of a load read. */
function distinct(load: Shape["loads"][number], copies: Schedule["tiles"]): number {
  let offsets = new Set([0]);
  let apart = 1;
  for (const [axis, by] of copies) {
    const stride = load.strides.get(axis) ?? 0;
    if (load.opaque.has(axis)) apart *= by;
    else if (stride !== 0) offsets = new Set([...offsets].flatMap((at) => Array.from({ length: by }, (_, lane) => at + lane * stride)));
  }
  return offsets.size * apart;
}

/** Cycles of the whole kernel; null where it would be too long. */
function cyclesOf(
  { tiles, unroll }: Schedule,
  shapes: readonly Shape[],
  epilogue: Shape,
  axes: readonly Axis[],
  machine: Machine,
): number | null {
  const sizes = axes.map((axis) => Math.ceil(axis.size / (tiles.find(([tiled]) => tiled === axis)?.[1] ?? 1)));
  const invocations = sizes.reduce((product, size) => product * size, 1);
  const last = sizes.findLastIndex((size) => size > 1);
  const lane = last >= 0 && canShare(sizes[last], machine) ? axes[last] : null;
  const lanes = tiles.reduce((product, [, by]) => product * by, 1);
  let cycles = machine.point;
  let statements = 12;
  for (const shape of [...shapes, epilogue]) {
    const times = shape.unrolls(unroll) ? unroll : 1;
    const copies = shape.inner === null || times === 1 ? tiles : [...tiles, [shape.inner, times] as const];
    let work = 0;
    for (const load of shape.loads) {
      const count = distinct(load, copies);
      const shared = lane !== null && isShared(load, lane, shape) ? Math.floor(count / machine.members) * machine.members : 0;
      const loaded = count - shared + shared / machine.members;
      work += loaded * (machine.load + (load.guarded ? machine.guard : 0)) + shared * machine.broadcast;
      statements += loaded * (load.guarded ? 2 : 1) + shared;
    }
    for (const { axes, cost } of shape.operations) {
      const count = copies.reduce((product, [axis, by]) => (axes.has(axis) ? product * by : product), 1);
      work += count * cost * (machine.operation + machine.latency / lanes);
      statements += count * cost;
    }
    const sums = shape.group.length * lanes;
    work += sums * times * machine.sum;
    statements += sums * times * shape.fold;
    if (shape === epilogue) work += lanes * times * machine.load;
    cycles += (shape.rounds / times) * work + turns(shape.loops, times) * (machine.round + sums * machine.carry);
  }
  if (lanes > 1 && statements > machine.maxStatements) return null;
  return Math.ceil(invocations / machine.width) * cycles + statements * machine.statement;
}

/** Rounds of all loops together, the innermost of which does so many at once. */
function turns(sizes: readonly number[], times: number): number {
  let rounds = 1;
  let sum = 0;
  sizes.forEach((size, i) => {
    const count = i === sizes.length - 1 ? size / times : size;
    rounds *= count;
    if (count > 1) sum += rounds;
  });
  return sum;
}

/** The points of an axis that an invocation takes: `by` neighbours from `start` on. */
export function applySchedule(pool: ExprPool, nest: GpuNest, schedule: Schedule): GpuNest {
  const stages = unrollStages(pool, nest.stages, schedule.unroll);
  const stores = unrollStores(pool, nest.stores, schedule.unroll);
  if (schedule.tiles.length === 0) return { ...nest, stages, stores };
  const tiles = schedule.tiles.map(([axis, by]): Tile => {
    const outer = pool.newAxis(axis.name, Math.ceil(axis.size / by));
    const start = pool.mul(pool.axis(outer), pool.int(by));
    // The last tile overlaps the one before: what both compute is the same, and nothing is left over.
    return { axis, outer, lanes: by, start: axis.size % by === 0 ? start : pool.min(start, pool.int(axis.size - by)) };
  });
  // Group by group, so that the copies of stages that share a loop are neighbours and still do.
  const order = groupsOf(stages).flat();
  const { at, points, ...made } = jam(pool, { ...nest, stages, stores }, tiles, { bodies, copy, same }, order);
  return made;
}

const bodies = ({ rounds }: GpuStage): readonly Expr[] => rounds.map(({ body }) => body);
const copy = (stage: GpuStage, at: (e: Expr) => Expr): GpuStage => ({ ...stage, rounds: stage.rounds.map((round) => mapRound(round, at)) });
const same = (a: GpuStage, b: GpuStage): boolean =>
  a.rounds.every(({ body, condition }, i) => body === b.rounds[i].body && condition === b.rounds[i].condition);

/** All groups of stages whose loops allow for it. */
function unrollStages(pool: ExprPool, stages: readonly GpuStage[], by: number): readonly GpuStage[] {
  return groupsOf(stages).flatMap((group) => {
    const members = group.map((i) => stages[i]);
    return unrollings(members[0]).includes(by) ? unroll(pool, members, by) : members;
  });
}
