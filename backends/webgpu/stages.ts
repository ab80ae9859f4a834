/**
 * Stages as shaders run them: loops, of which the last may be unrolled by a fixed number of rounds, and sums of sums where a sum is long.
 * How a sum falls into parts depends on the kernel's shape alone, so that every schedule of a kernel adds in the same order.
 */

import { conjuncts } from "../../engine/kernel/affine.js";
import type { Axis, Combine, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { clampStage, type Loop, required, roundsOf } from "../loops/clamp.js";
import type { Nest } from "../loops/nest.js";
import { loadsOf, stagesOf } from "../loops/walk.js";

/** Partial sums have no fewer rounds. */
const fewestRounds = 12;
/** Windows no wider than this are unrolled whole. */
const widestWindow = 11;

/** One round of the innermost loop's body. */
export interface Round {
  /** What must hold for the body to count; tested by a branch. */
  readonly condition: Expr;
  /** Where it is known to be false, the body is the identity; the body itself tests it too. */
  readonly presence: Expr;
  readonly body: Expr;
}

export interface GpuStage {
  readonly loops: readonly Loop[];
  /** The loop before which partial sums begin; null where there is one sum only. */
  readonly split: number | null;
  readonly combine: Combine;
  readonly rounds: readonly Round[];
}

export interface GpuNest {
  readonly axes: readonly Axis[];
  readonly stages: readonly GpuStage[];
  readonly stores: readonly Store[];
  /** Loads whose guards went into the loops, so that they are safe only there. */
  readonly weakened: ReadonlySet<LoadExpr>;
}

/** Invocations of a workgroup that share a point, at most. */
export const teamSize = 64;

/**
 * Windows are clamped in all axes but the innermost, whose edges are left to the loads: so neighbours along it share a loop. For a `team` of
 * invocations that share a point, long innermost loops begin with one that the team can divide among its members.
 */
export function gpuNest(pool: ExprPool, nest: Nest, team: boolean): GpuNest {
  const weakened = new Set<LoadExpr>();
  const pieces = new Pieces(pool);
  const before = loadsOf(nest.stages.map((stage) => stage.body));
  const stages = nest.stages.map((stage) => {
    const inner = stage.axes.at(-1);
    const outer = new Set(nest.axes);
    const atInner = (condition: Expr): boolean => {
      if (inner === undefined) return false;
      const axes = axesOf(condition);
      return axes.has(inner) && [...axes].some((axis) => outer.has(axis)) && !isStrided(condition);
    };
    const presence = [...required(stage.body, stage.combine)].filter((condition) => loadsOf([condition]).size === 0 && atInner(condition));
    const clamped = clampStage(pool, stage, atInner);
    for (const load of loadsOf([clamped.body])) if (!before.has(load)) weakened.add(load);
    const round: Round = {
      condition: clamped.condition,
      presence: presence.reduce((all, condition) => pool.and(all, condition), pool.bool(true)),
      body: clamped.body,
    };
    const plain: GpuStage = { loops: clamped.loops, split: null, combine: clamped.combine, rounds: [round] };
    return team ? splitForTeam(pool, pieces, plain) : splitLong(pool, pieces, inFours(pool, pieces, plain));
  });
  return { axes: nest.axes, stages, stores: nest.stores, weakened };
}

/** A remainder becomes the loop's step, which no guard could. */
const isStrided = (condition: Expr): boolean =>
  conjuncts(condition).some((e) => e.op === "call" && e.fn === "eq" && e.args[0].op === "call" && e.args[0].fn === "mod");

const beginsAtZero = ({ lower, step, condition }: Loop): boolean =>
  step === 1 && lower.op === "const" && lower.value === 0 && isTrue(condition);

const isWhole = (loop: Loop): boolean => beginsAtZero(loop) && loop.upper.op === "const" && loop.upper.value === loop.axis.size;

/** The axes into which loops fall: the same for all stages that share a loop, so that they still do. */
class Pieces {
  private readonly known = new Map<string, readonly Axis[]>();

  constructor(private readonly pool: ExprPool) {}

  of({ id, name }: Axis, ...sizes: readonly number[]): readonly Axis[] {
    const key = [id, ...sizes].join();
    const axes = this.known.get(key) ?? sizes.map((size) => this.pool.newAxis(name, size));
    this.known.set(key, axes);
    return axes;
  }
}

/** Four values a round, combined by twos: errors are smaller where fewer are added in a row. Whatever is combined, so that all share loops. */
function inFours(pool: ExprPool, pieces: Pieces, stage: GpuStage): GpuStage {
  const { loops, combine, rounds } = stage;
  const [{ body, condition, presence }] = rounds;
  const inner = loops.at(-1);
  if (inner === undefined || body.dtype === "bool" || !isTrue(condition) || !isTrue(presence) || !isWhole(inner)) return stage;
  const { size } = inner.axis;
  if (size < 16 || size % 4 !== 0) return stage;
  const [outer] = pieces.of(inner.axis, size / 4);
  const first = pool.mul(pool.axis(outer), pool.int(4));
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => pool.substitute(body, new Map([[inner.axis, pool.add(first, pool.int(i))]])));
  const both = (x: Expr, y: Expr): Expr => pool.call(combine, [x, y]);
  return {
    ...stage,
    loops: [...loops.slice(0, -1), { ...inner, axis: outer, upper: pool.int(size / 4) }],
    rounds: [{ condition, presence, body: both(both(a, b), both(c, d)) }],
  };
}

/** Long sums are sums of sums, about as many as each has rounds: for accuracy's sake, and whatever is combined, so that all share loops. */
function splitLong(pool: ExprPool, pieces: Pieces, stage: GpuStage): GpuStage {
  const { loops, rounds } = stage;
  const all = roundsOf(loops);
  if (all <= 2 * fewestRounds) return stage;
  const last = loops.length - 1;
  const inner = loops[last];
  const { size } = inner.axis;
  const terms = partOf(size, all);
  if (2 * terms <= size && beginsAtZero(inner)) {
    const [outer, part] = pieces.of(inner.axis, Math.ceil(size / terms), terms);
    const from = pool.mul(pool.axis(outer), pool.int(terms));
    const isEven = isWhole(inner) && size % terms === 0;
    const upper = isEven ? pool.int(terms) : pool.min(pool.int(terms), pool.sub(inner.upper, from));
    const parts = [...loops.slice(0, last), { ...inner, axis: outer, upper: pool.int(outer.size) }, { ...inner, axis: part, upper }];
    const map = new Map([[inner.axis, pool.add(from, pool.axis(part))]]);
    return { ...stage, loops: parts, split: last + 1, rounds: rounds.map((round) => mapRound(round, (e) => pool.substitute(e, map))) };
  }
  let split: number | null = null;
  let inARow = all;
  for (let i = last; i > 0; i--) {
    const inPart = roundsOf(loops.slice(i));
    if (inPart + all / inPart >= inARow) continue;
    inARow = inPart + all / inPart;
    split = i;
  }
  return { ...stage, split };
}

/** Rounds of each part of an axis in a sum of so many: a divisor where there is one of about the right size, so that all parts are alike. */
function partOf(size: number, all: number): number {
  const most = Math.round(1.5 * Math.max(fewestRounds, Math.sqrt(all)));
  for (let terms = most; terms >= most / 2; terms--) if (size % terms === 0) return terms;
  return most;
}

/** Element k of the innermost loop is for member k mod the team's size, so that neighbours read neighbours. */
function splitForTeam(pool: ExprPool, pieces: Pieces, stage: GpuStage): GpuStage {
  const inner = stage.loops.at(-1);
  if (inner === undefined || inner.axis.size <= teamSize || !isWhole(inner)) return splitLong(pool, pieces, stage);
  const { size } = inner.axis;
  const turns = Math.ceil(size / teamSize);
  const [member, turn] = pieces.of(inner.axis, teamSize, turns);
  const own = pool.idiv(pool.sub(pool.int(size + teamSize - 1), pool.axis(member)), pool.int(teamSize));
  const upper = size % teamSize === 0 ? pool.int(turns) : own;
  const map = new Map([[inner.axis, pool.add(pool.mul(pool.axis(turn), pool.int(teamSize)), pool.axis(member))]]);
  const { loops, split, rounds } = splitLong(pool, pieces, {
    ...stage,
    loops: [...stage.loops.slice(0, -1), { ...inner, axis: turn, upper }],
    rounds: stage.rounds.map((round) => mapRound(round, (e) => pool.substitute(e, map))),
  });
  return { ...stage, loops: [{ ...inner, axis: member, upper: pool.int(teamSize) }, ...loops], split: split && split + 1, rounds };
}

export const mapRound = ({ condition, presence, body }: Round, fn: (e: Expr) => Expr): Round => ({
  condition: fn(condition),
  presence: fn(presence),
  body: fn(body),
});

export const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;
const isFalse = (e: Expr): boolean => e.op === "const" && e.value === 0;

/** Rounds that may count. */
export const present = (rounds: readonly Round[]): readonly Round[] =>
  rounds.filter(({ condition, presence }) => !isFalse(condition) && !isFalse(presence));

/** By how much the innermost loop of a stage may be unrolled. */
export function unrollings({ loops, rounds }: GpuStage): readonly number[] {
  const inner = loops.at(-1);
  if (inner === undefined || rounds.length > 1 || !isWhole(inner)) return [1];
  const { size } = inner.axis;
  const options = [1, ...[2, 4, 8].filter((by) => size % by === 0 && by < size)];
  return size > 1 && size <= widestWindow ? [...options, size] : options;
}

/** The stages, which share their loops, with `by` rounds of the innermost one at once. */
export function unroll(pool: ExprPool, stages: readonly GpuStage[], by: number): readonly GpuStage[] {
  if (by === 1) return stages;
  const { loops } = stages[0];
  const inner = loops[loops.length - 1];
  const count = inner.axis.size / by;
  const outer = pool.newAxis(inner.axis.name, count);
  const base = count === 1 ? pool.int(0) : pool.mul(pool.axis(outer), pool.int(by));
  const fewer = [...loops.slice(0, -1), ...(count === 1 ? [] : [{ ...inner, axis: outer, upper: pool.int(count) }])];
  const maps = Array.from({ length: by }, (_, i) => new Map([[inner.axis, pool.add(base, pool.int(i))]]));
  return stages.map((stage) => ({
    ...stage,
    loops: fewer,
    rounds: maps.map((map) => mapRound(stage.rounds[0], (e) => pool.substitute(e, map))),
  }));
}

/** Whether the innermost loop of a store can do `by` elements at once. */
export const storeUnrolls = ({ axes }: Store, by: number): boolean => by > 1 && axes.length > 0 && axes[axes.length - 1].size % by === 0;

/** The stores, with `by` elements of each innermost loop at once where that divides it. */
export function unrollStores(pool: ExprPool, stores: readonly Store[], by: number): readonly Store[] {
  const outers = new Map<Axis, Axis>();
  return stores.flatMap((store) => {
    if (!storeUnrolls(store, by)) return [store];
    const inner = store.axes[store.axes.length - 1];
    const outer = outers.get(inner) ?? pool.newAxis(inner.name, inner.size / by);
    outers.set(inner, outer);
    return Array.from({ length: by }, (_, i) => {
      const map = new Map([[inner, pool.add(pool.mul(pool.axis(outer), pool.int(by)), pool.int(i))]]);
      const at = (e: Expr): Expr => pool.substitute(e, map);
      return {
        ...store,
        axes: [...store.axes.slice(0, -1), outer],
        index: at(store.index),
        value: at(store.value),
        guard: store.guard && at(store.guard),
      };
    });
  });
}

/** Runs of stages over the same loops that do not use one another: they share the loop. */
export function groupsOf(stages: readonly GpuStage[]): readonly (readonly number[])[] {
  const groups: number[][] = [];
  stages.forEach((stage, number) => {
    const group = groups.at(-1);
    const uses = (i: number): boolean => stage.rounds.some(({ body, condition }) => stagesOf(body).has(i) || stagesOf(condition).has(i));
    if (group !== undefined && sameLoops(stages[group[0]], stage) && !group.some(uses)) group.push(number);
    else groups.push([number]);
  });
  return groups;
}

function sameLoops(a: GpuStage, b: GpuStage): boolean {
  if (a.loops.length !== b.loops.length || a.split !== b.split || a.rounds.length !== b.rounds.length) return false;
  return a.loops.every(({ axis, lower, upper, step, condition }, i) => {
    const other = b.loops[i];
    const sameBounds = lower === other.lower && upper === other.upper && step === other.step;
    return axis === other.axis && sameBounds && condition === other.condition;
  });
}
