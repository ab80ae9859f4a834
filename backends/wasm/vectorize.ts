/**
 * Which four points of a kernel are done at once. Either neighbours along one of the parallel axes (the *lanes* are points, and each
 * stage's sum is a vector; or a stage sums each point's terms four at a time, and the four sums become a vector in the end), or, point
 * by point, the terms of each stage and the elements of each store along axes of their own.
 */

import type { DType } from "../../engine/dtype.js";
import { affine } from "../../engine/kernel/affine.js";
import type { Axis, Combine, Expr, LoadExpr, Stage, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { type ClampedStage, clampStage, type Loop } from "../loops/clamp.js";
import { type Nest, storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf, stagesOf } from "../loops/walk.js";
import { isExpensive } from "./scalar.js";

/** A reduction. `partial`: the lanes are terms, and the result is what they come to together. */
export interface Reduction extends ClampedStage {
  readonly kind: "reduction";
  readonly partial: boolean;
}
/** A vector from one stage for each lane; with several lists, their vectors combined in order. */
export interface Packing {
  readonly kind: "packing";
  readonly parts: readonly (readonly number[])[];
  readonly combine: Combine;
  readonly dtype: DType;
}
/** Several stages' results as one. */
export interface Joining {
  readonly kind: "joining";
  readonly parts: readonly number[];
  readonly combine: Combine;
  readonly dtype: DType;
}
export type VectorStage = Reduction | Packing | Joining;

export interface VectorNest {
  readonly axes: readonly Axis[];
  readonly stages: readonly VectorStage[];
  /** Those of one point after those of another. */
  readonly stores: readonly Store[];
  readonly points: number;
  readonly weakened: ReadonlySet<LoadExpr>;
  readonly lanes: ReadonlySet<Axis>;
  /** Four loads each, of elements side by side, whose lanes lie apart at the same distance. */
  readonly quads: readonly (readonly LoadExpr[])[];
}

const width = 4;
/** Sums that a row is added up in. */
const chains = 4;

/** Elements from one point of `axis` to the next; null where they are not evenly spaced. */
export const strideOf = (index: Expr, axis: Axis): number | null => {
  if (!axesOf(index).has(axis)) return 0;
  const terms = affine(index)?.terms ?? [];
  const own = terms.filter(({ factor }) => axesOf(factor).has(axis));
  return own.length === 1 && own[0].factor.op === "axis" ? own[0].coefficient : null;
};

const none: ReadonlySet<Expr> = new Set();

/** Loads that run along another axis than `axis`: those are transposed (see {@link VectorNest.quads}). */
function crossedBy({ axes, stages, stores }: Nest, axis: Axis): ReadonlySet<Expr> {
  if (stages.length > 0 || stores.some((store) => store.axes.length > 0)) return none;
  const others = axes.filter((other) => other !== axis && other.size >= width);
  const loads = [...loadsOf(stores.flatMap(storeExprs))].filter(({ guard, dtype }) => guard === null && dtype !== "bool");
  return new Set(loads.filter(({ index }) => others.some((other) => strideOf(index, other) === 1)));
}

/** Rough costs in instructions for one point, or for four along `axis`. */
function costOf(roots: readonly Expr[], axis: Axis | null, inner: readonly Axis[], crossed: ReadonlySet<Expr> = none): number {
  let sum = 0;
  for (const e of nodesOf(roots)) {
    const varies = axis !== null && axesOf(e).has(axis);
    const repeated = varies || inner.some((other) => axesOf(e).has(other)) || stagesOf(e).size > 0;
    if (e.op === "load") {
      const stride = axis === null ? 0 : strideOf(e.index, axis);
      sum += !repeated ? 0.1 : stride === 0 || stride === 1 ? 1 : stride === null ? 12 : crossed.has(e) ? 3 : 5;
    } else if (e.op === "call" && repeated) {
      if (e.dtype === "int32") sum += varies && (e.fn === "idiv" || e.fn === "mod") ? 8 : 0.2;
      else sum += isExpensive(e.fn) ? (varies || axis === null ? 15 : 2) : 1;
    }
  }
  return sum;
}

const lastOf = <T>(list: readonly T[]): T | undefined => list[list.length - 1];

const scalarCost = ({ axes, body }: Stage): number => pointCount(axes) * (costOf([body], null, axes) + 2);

/** A stage whose terms are taken four at a time, for one point. */
function termsCost({ axes, body, combine }: Stage): number {
  const last = lastOf(axes);
  // Partial products could overflow where the product in order does not.
  if (last === undefined || last.size < width || combine === "mul") return Infinity;
  const rest = last.size % width;
  const outer = pointCount(axes) / last.size;
  const rounds = outer * Math.floor(last.size / width);
  return rounds * (costOf([body], last, axes) + 2) + outer * rest * (costOf([body], null, axes) + 2) + 6;
}

function storeCost(store: Store, axis: Axis | null, outer: readonly Axis[] = [], crossed: ReadonlySet<Expr> = none): number {
  const stride = axis === null ? 0 : strideOf(store.index, axis);
  const cost = costOf(storeExprs(store), axis, [...outer, ...store.axes], crossed);
  return pointCount(store.axes) * (cost + (stride === 0 || stride === 1 ? 1 : stride === null ? 10 : 4));
}

/** Elements of a store four at a time along its own last axis, for one point. */
function ownStoreCost(store: Store): number {
  const last = lastOf(store.axes);
  if (last === undefined || last.size < width) return Infinity;
  return (storeCost(store, last) / last.size) * (Math.floor(last.size / width) + (last.size % width) * 1.5);
}

/** Whether each stage sums terms in lanes, when the lanes of the rest are points along `axis`. */
function stageModes(nest: Nest, axis: Axis): readonly boolean[] {
  const modes: boolean[] = [];
  nest.stages.forEach((stage, i) => {
    const depends = [...stagesOf(stage.body)];
    const allowed = depends.every((used) => modes[used]);
    const points = pointCount(stage.axes) * (costOf([stage.body], axis, stage.axes) + 2);
    modes[i] = allowed && width * termsCost(stage) < points;
  });
  return modes;
}

/** The axis along which four points are done at once; null: each point by itself. */
function chooseAxis(nest: Nest): Axis | null {
  let best: Axis | null = null;
  let least = 0;
  for (const stage of nest.stages) least += Math.min(scalarCost(stage), termsCost(stage));
  for (const store of nest.stores) least += Math.min(storeCost(store, null, nest.axes), ownStoreCost(store));
  least += 2;
  for (const axis of nest.axes) {
    if (axis.size < 2) continue;
    const modes = stageModes(nest, axis);
    let cost = 2;
    nest.stages.forEach((stage, i) => {
      cost += modes[i] ? width * termsCost(stage) : pointCount(stage.axes) * (costOf([stage.body], axis, stage.axes) + 2);
    });
    const crossed = crossedBy(nest, axis);
    for (const store of nest.stores) cost += storeCost(store, axis, [], crossed);
    const perPoint = (cost * Math.ceil(axis.size / width)) / axis.size;
    if (perPoint < least) [best, least] = [axis, perPoint];
  }
  return best;
}

/** float64 has no place in four lanes of 32 bits. */
const hasDoubles = (nest: Nest): boolean =>
  [...nodesOf([...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)])].some((e) => e.dtype === "float64");

export function vectorize(pool: ExprPool, nest: Nest): readonly VectorNest[] {
  if (hasDoubles(nest)) return [new Builder(pool, nest, false).points(null)];
  const axis = chooseAxis(nest);
  if (axis === null) return [new Builder(pool, nest, true).points(null)];
  const count = Math.floor(axis.size / width);
  const rest = axis.size % width;
  const parts: VectorNest[] = [];
  const modes = stageModes(nest, axis);
  const part = (blocks: number, lanes: number, start: number): void => {
    const outer = pool.newAxis(axis.name, blocks);
    const lane = pool.newAxis(`${axis.name}lane`, lanes);
    parts.push(new Builder(pool, nest, true).points({ axis, outer, lane, start, modes }));
  };
  if (count > 0) part(count, width, 0);
  if (rest > 0) part(1, rest, count * width);
  return parts;
}

interface Split {
  readonly axis: Axis;
  readonly outer: Axis;
  readonly lane: Axis;
  readonly start: number;
  readonly modes: readonly boolean[];
}

class Builder {
  private readonly stages: VectorStage[] = [];
  private readonly lanes = new Set<Axis>();
  private readonly weakened = new Set<LoadExpr>();
  /** Per old stage: the new one that has its result. */
  private readonly numbers: number[] = [];
  /** Per old stage that was packed: the stage of each lane. */
  private readonly ofLane: (readonly number[] | undefined)[] = [];

  constructor(
    private readonly pool: ExprPool,
    private readonly nest: Nest,
    private readonly vectors: boolean,
  ) {}

  points(split: Split | null): VectorNest {
    const { pool, nest } = this;
    const point = new Map<Axis, Expr>();
    let base: Expr | null = null;
    if (split !== null) {
      base = pool.add(pool.mul(pool.axis(split.outer), pool.int(width)), pool.int(split.start));
      point.set(split.axis, pool.add(base, pool.axis(split.lane)));
      if (split.lane.size > 1) this.lanes.add(split.lane);
    }
    nest.stages.forEach((stage, old) => {
      const lane = split !== null && base !== null && axesWithStages(nest, old).has(split.axis);
      if (split === null || base === null || !lane) {
        const single = this.vectors && termsCost(stage) < scalarCost(stage);
        this.numbers[old] = single
          ? this.joined(stage, (e) => this.moved(e, point, null))
          : this.plain(stage, (e) => this.moved(e, point, null));
        if (split !== null) this.ofLane[old] = new Array<number>(split.lane.size).fill(this.numbers[old]);
      } else if (split.modes[old]) {
        this.packed(stage, old, split, base);
      } else {
        this.numbers[old] = this.plain(stage, (e) => this.moved(e, point, null));
      }
    });
    const stores = nest.stores.map((store) => ({
      ...store,
      index: this.moved(store.index, point, null),
      value: this.moved(store.value, point, null),
      guard: store.guard && this.moved(store.guard, point, null),
    }));
    const axes = nest.axes.map((axis) => (axis === split?.axis ? split.outer : axis)).filter((axis) => axis.size > 1);
    const own = split === null && this.vectors ? this.ownLanes(stores) : stores;
    return { axes, stages: this.stages, stores: own, points: 1, weakened: this.weakened, lanes: this.lanes, quads: [] };
  }

  /** At other points, with stages' new numbers; of packed stages the one for `lane`. */
  private moved(e: Expr, point: ReadonlyMap<Axis, Expr>, lane: number | null): Expr {
    const { pool } = this;
    const there = point.size === 0 ? e : pool.substitute(e, point);
    if (stagesOf(there).size === 0) return there;
    const number = (stage: number): number => (lane === null ? this.numbers[stage] : (this.ofLane[stage]?.[lane] ?? this.numbers[stage]));
    return pool.rewrite(there, (node) => (node.op === "acc" ? pool.acc(number(node.stage), node.dtype) : null));
  }

  private add(stage: VectorStage): number {
    return this.stages.push(stage) - 1;
  }

  private plain(stage: Stage, move: (e: Expr) => Expr, partial = false): number {
    const body = move(stage.body);
    const onLanes = (condition: Expr): boolean => [...axesOf(condition)].some((axis) => this.lanes.has(axis));
    const clamped = clampStage(this.pool, { ...stage, body }, onLanes);
    const before = loadsOf([body]);
    for (const load of loadsOf([clamped.body])) if (!before.has(load)) this.weakened.add(load);
    // A loop of one step goes, but what has to hold before it is entered stays, for the next loop or for the body.
    const { pool } = this;
    const loops: Loop[] = [];
    let required = pool.bool(true);
    for (const loop of clamped.loops) {
      required = pool.and(required, loop.condition);
      if (loop.axis.size === 1) continue;
      loops.push({ ...loop, condition: required });
      required = pool.bool(true);
    }
    return this.add({ ...clamped, loops, condition: pool.and(required, clamped.condition), kind: "reduction", partial });
  }

  private readonly splits = new Map<
    Axis,
    {
      readonly outer: Axis;
      readonly lane: Axis;
      readonly left: Axis;
      readonly map: ReadonlyMap<Axis, Expr>;
      readonly rest: ReadonlyMap<Axis, Expr>;
    }
  >();

  /** An axis as whole vectors and what is left of it. */
  private split(axis: Axis) {
    const { pool } = this;
    let known = this.splits.get(axis);
    if (known === undefined) {
      const count = Math.floor(axis.size / width);
      const outer = pool.newAxis(axis.name, count);
      const lane = pool.newAxis(`${axis.name}lane`, width);
      const left = pool.newAxis(axis.name, axis.size % width);
      const map = new Map([[axis, pool.add(pool.mul(pool.axis(outer), pool.int(width)), pool.axis(lane))]]);
      const rest = new Map([[axis, pool.add(pool.axis(left), pool.int(count * width))]]);
      known = { outer, lane, left, map, rest };
      this.splits.set(axis, known);
      this.lanes.add(lane);
    }
    return known;
  }

  private withLast = (axes: readonly Axis[], last: Axis): readonly Axis[] => [...axes.slice(0, -1), last];

  /** The terms in lanes: whole vectors, then what is left. */
  private terms(stage: Stage, move: (e: Expr) => Expr): { readonly whole: () => number; readonly left: (() => number) | null } {
    const { pool } = this;
    const { outer, left, map, rest } = this.split(lastOf(stage.axes) as Axis);
    return {
      whole: () => this.plain({ ...stage, axes: this.withLast(stage.axes, outer) }, (e) => pool.substitute(move(e), map), true),
      left:
        left.size === 0
          ? null
          : () => this.plain({ ...stage, axes: this.withLast(stage.axes, left) }, (e) => pool.substitute(move(e), rest)),
    };
  }

  private joined(stage: Stage, move: (e: Expr) => Expr): number {
    const { whole, left } = this.terms(stage, move);
    const parts = this.chains(stage, move) ?? [whole()];
    if (left !== null) parts.push(left());
    return parts.length === 1 ? parts[0] : this.add({ kind: "joining", parts, combine: stage.combine, dtype: stage.body.dtype });
  }

  /** A long row as several sums at once, as each addition waits for the one before; null where it is short, or products are summed. */
  private chains(stage: Stage, move: (e: Expr) => Expr): number[] | null {
    const { pool } = this;
    const last = lastOf(stage.axes) as Axis;
    const step = chains * width;
    const rounds = Math.floor(last.size / step);
    if (rounds < 4 || (stage.body.op === "call" && stage.body.fn === "mul")) return null;
    const { lane } = this.split(last);
    const part = (axis: Axis, by: number, start: number): number => {
      const at = pool.add(pool.add(pool.mul(pool.axis(axis), pool.int(by)), pool.int(start)), pool.axis(lane));
      const there = new Map([[last, at]]);
      return this.plain({ ...stage, axes: this.withLast(stage.axes, axis) }, (e) => pool.substitute(move(e), there), true);
    };
    const outer = pool.newAxis(last.name, rounds);
    const parts = Array.from({ length: chains }, (_, i) => part(outer, step, i * width));
    const rest = Math.floor((last.size % step) / width);
    if (rest > 0) parts.push(part(pool.newAxis(last.name, rest), width, rounds * step));
    return parts;
  }

  private packed(stage: Stage, old: number, { axis, lane, modes }: Split, base: Expr): void {
    const { pool } = this;
    const { combine, body } = stage;
    const lanes = Array.from({ length: lane.size }, (_, i) =>
      this.terms(stage, (e) => this.moved(e, new Map([[axis, pool.add(base, pool.int(i))]]), i)),
    );
    const whole = lanes.map((terms) => terms.whole());
    const left = lanes.flatMap((terms) => (terms.left === null ? [] : [terms.left()]));
    const parts = left.length > 0 ? [whole, left] : [whole];
    const laterInLanes = this.nest.stages.some((later, i) => i > old && modes[i] && stagesOf(later.body).has(old));
    if (laterInLanes) {
      this.ofLane[old] = whole.map((number, i) =>
        left.length === 0 ? number : this.add({ kind: "joining", parts: [number, left[i]], combine, dtype: body.dtype }),
      );
    }
    const dtype = body.dtype;
    if (lane.size > 1) this.numbers[old] = this.add({ kind: "packing", parts, combine, dtype });
    else this.numbers[old] = left.length === 0 ? whole[0] : this.add({ kind: "joining", parts: [whole[0], left[0]], combine, dtype });
  }

  /** Stores over axes of their own, four elements at a time where that pays. */
  private ownLanes(stores: readonly Store[]): readonly Store[] {
    const { pool } = this;
    const result: Store[] = [];
    const rest: Store[] = [];
    for (const store of stores) {
      const last = lastOf(store.axes);
      // All stores over the same axes go together, as they may exchange values in place.
      const group = stores.filter(
        (other) => other.axes.length === store.axes.length && other.axes.every((axis, i) => axis === store.axes[i]),
      );
      const sum = (cost: (store: Store) => number): number => group.reduce((total, other) => total + cost(other), 0);
      if (last === undefined || sum(ownStoreCost) >= sum((other) => storeCost(other, null))) {
        result.push(store);
        continue;
      }
      const { outer, left, map, rest: places } = this.split(last);
      const at = (axis: Axis, where: ReadonlyMap<Axis, Expr>): Store => ({
        ...store,
        axes: this.withLast(store.axes, axis).filter(({ size }) => size !== 1),
        index: pool.substitute(store.index, where),
        value: pool.substitute(store.value, where),
        guard: store.guard && pool.substitute(store.guard, where),
      });
      result.push(at(outer, map));
      if (left.size > 0) rest.push(at(left, places));
    }
    return [...result, ...rest];
  }
}

/** The axes that a stage's value depends on, those of stages that it uses included. */
function axesWithStages(nest: Nest, stage: number): ReadonlySet<Axis> {
  const { body } = nest.stages[stage];
  const axes = new Set(axesOf(body));
  for (const used of stagesOf(body)) for (const axis of axesWithStages(nest, used)) axes.add(axis);
  return axes;
}
