/**
 * Stages as shaders run them: loops, of which the last may be unrolled by a fixed number of rounds, and sums of sums where a sum is long.
 * How a sum falls into parts depends on the kernel's shape alone, so that every schedule of a kernel adds in the same order.
 */
import { conjuncts } from "../../engine/kernel/affine.js";
import type { Axis, Combine, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { clampStage, type Loop, required } from "../loops/clamp.js";
import type { Nest } from "../loops/nest.js";
import { loadsOf, stagesOf } from "../loops/walk.js";

/** Sums of more terms than this are sums of sums of so many. */
const block = 256;
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

const sizeOf = (axes: readonly Axis[]): number => axes.reduce((product, axis) => product * axis.size, 1);

/** Invocations of a workgroup that share a point, at most. */
export const teamSize = 64;

/**
 * Windows are clamped in all axes but the innermost, whose edges are left to the loads: so neighbours along it share a loop. For a `team` of
 * invocations that share a point, long innermost loops begin with one that the team can divide among its members.
 */
export function gpuNest(pool: ExprPool, nest: Nest, team: boolean): GpuNest {
  const weakened = new Set<LoadExpr>();
  const pieces = new Map<Axis, readonly Axis[]>();
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
    return (team ? splitForTeam : splitLong)(pool, pieces, {
      loops: clamped.loops,
      split: null,
      combine: clamped.combine,
      rounds: [round],
    });
  });
  return { axes: nest.axes, stages, stores: nest.stores, weakened };
}

/** A remainder becomes the loop's step, which no guard could. */
const isStrided = (condition: Expr): boolean =>
  conjuncts(condition).some((e) => e.op === "call" && e.fn === "eq" && e.args[0].op === "call" && e.args[0].fn === "mod");

const isWhole = ({ axis, lower, upper, step, condition }: Loop): boolean =>
  step === 1 &&
  lower.op === "const" &&
  lower.value === 0 &&
  upper.op === "const" &&
  upper.value === axis.size &&
  condition.op === "const" &&
  condition.value !== 0;

/** The innermost loops that together are short enough get sums of their own: for accuracy's sake, and whatever is combined, so that all share loops. */
function splitLong(pool: ExprPool, pieces: Map<Axis, readonly Axis[]>, stage: GpuStage): GpuStage {
  const { loops, combine, rounds } = stage;
  if (sizeOf(loops.map((loop) => loop.axis)) <= block) return stage;
  const last = loops.length - 1;
  const inner = loops[last];
  if (inner.axis.size > 2 * block && isWhole(inner)) {
    const { name, size } = inner.axis;
    const terms = partOf(size);
    const [outer, part] = pieces.get(inner.axis) ?? [pool.newAxis(name, Math.ceil(size / terms)), pool.newAxis(name, terms)];
    pieces.set(inner.axis, [outer, part]); // stages that share a loop still do
    const from = pool.mul(pool.axis(outer), pool.int(terms));
    const whole = (axis: Axis, upper: Expr): Loop => ({ ...inner, axis, upper });
    const parts = [
      ...loops.slice(0, last),
      whole(outer, pool.int(outer.size)),
      whole(part, size % terms === 0 ? pool.int(terms) : pool.min(pool.int(terms), pool.sub(pool.int(size), from))),
    ];
    const map = new Map([[inner.axis, pool.add(from, pool.axis(part))]]);
    return { loops: parts, split: last + 1, combine, rounds: rounds.map((round) => mapRound(round, (e) => pool.substitute(e, map))) };
  }
  let terms = 1;
  for (let i = last; i > 0; i--) {
    terms *= loops[i].axis.size;
    if (terms >= block / 8 || i === 1) return { ...stage, split: i };
  }
  return stage;
}

/** Terms of each part of a long sum: a divisor where there is one of about the right size, so that all parts are alike. */
function partOf(size: number): number {
  for (let terms = block; terms >= block / 2; terms--) if (size % terms === 0) return terms;
  return block;
}

/** Element k of the innermost loop is for member k mod the team's size, so that neighbours read neighbours. */
function splitForTeam(pool: ExprPool, pieces: Map<Axis, readonly Axis[]>, stage: GpuStage): GpuStage {
  const { loops, rounds } = stage;
  const inner = loops.at(-1);
  if (inner === undefined || inner.axis.size <= teamSize || !isWhole(inner)) return splitLong(pool, pieces, stage);
  const { name, size } = inner.axis;
  const turns = Math.ceil(size / teamSize);
  const blocks = turns > 2 * block ? Math.ceil(turns / block) : 1;
  const axes = pieces.get(inner.axis) ?? [
    pool.newAxis("member", teamSize),
    pool.newAxis(name, blocks),
    pool.newAxis(name, blocks > 1 ? block : turns),
  ];
  pieces.set(inner.axis, axes);
  const [member, outer, part] = axes;
  const before = blocks > 1 ? pool.mul(pool.axis(outer), pool.int(block)) : pool.int(0);
  const own = pool.idiv(pool.sub(pool.int(size + teamSize - 1), pool.axis(member)), pool.int(teamSize));
  const left = size % teamSize === 0 ? pool.int(turns) : own;
  const whole = (axis: Axis, upper: Expr = pool.int(axis.size)): Loop => ({ ...inner, axis, upper });
  const rest = loops.slice(0, -1);
  const last = whole(part, blocks > 1 ? pool.min(pool.int(block), pool.sub(left, before)) : left);
  const turn = pool.add(before, pool.axis(part));
  const map = new Map([[inner.axis, pool.add(pool.mul(turn, pool.int(teamSize)), pool.axis(member))]]);
  const divided = [whole(member), ...rest, ...(blocks > 1 ? [whole(outer)] : []), last];
  const long = sizeOf(divided.slice(1).map((loop) => loop.axis)) > block;
  return {
    ...stage,
    loops: divided,
    split: long && divided.length > 2 ? divided.length - 1 : null,
    rounds: rounds.map((round) => mapRound(round, (e) => pool.substitute(e, map))),
  };
}

export const mapRound = ({ condition, presence, body }: Round, fn: (e: Expr) => Expr): Round => ({
  condition: fn(condition),
  presence: fn(presence),
  body: fn(body),
});

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
