/** Unroll and jam: a nest for several points of some axes at once. Loads that the points have in common are then one expression. */
import type { Axis, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import type { ExprPool } from "../../engine/kernel/simplify.js";
import { loadsOf, stagesOf } from "./walk.js";

/** Points of an axis that are done at once: `lanes` neighbours from `start`, which is a function of `outer`. */
export interface Tile {
  readonly axis: Axis;
  readonly outer: Axis;
  readonly lanes: number;
  readonly start: Expr;
}

/** Of each axis the points in whole tiles, and those that are left in a tile of their own: together all points, once. */
export function wholeAndLeft(
  pool: ExprPool,
  tilings: readonly { readonly axis: Axis; readonly by: number }[],
): readonly (readonly Tile[])[] {
  let parts: readonly (readonly Tile[])[] = [[]];
  for (const { axis, by } of tilings) {
    const tile = (count: number, lanes: number, first: number): Tile => {
      const outer = pool.newAxis(axis.name, count);
      return { axis, outer, lanes, start: pool.add(pool.mul(pool.axis(outer), pool.int(lanes)), pool.int(first)) };
    };
    const [count, rest] = [Math.floor(axis.size / by), axis.size % by];
    const own = [tile(count, by, 0), ...(rest > 0 ? [tile(1, rest, count * by)] : [])];
    parts = parts.flatMap((tiles) => own.map((each) => [...tiles, each]));
  }
  return parts;
}

interface JammedNest<S> {
  readonly axes: readonly Axis[];
  readonly stages: readonly S[];
  readonly stores: readonly Store[];
  readonly weakened: ReadonlySet<LoadExpr>;
}

/** What must be known of an emitter's stages. */
interface Stages<S> {
  /** What a stage sums up. */
  bodies(stage: S): readonly Expr[];
  /** The stage at another point, where stages have other numbers. */
  copy(stage: S, at: (e: Expr) => Expr, number: (stage: number) => number): S;
  same(a: S, b: S): boolean;
}

/** The nest for all points of the tiles at once, and an expression at the n-th of them. `order`: that of stages, each with its copies. */
export function jam<S>(
  pool: ExprPool,
  nest: JammedNest<S>,
  tiles: readonly Tile[],
  { bodies, copy, same }: Stages<S>,
  order: readonly number[] = nest.stages.map((_, i) => i),
): JammedNest<S> & { readonly points: number; readonly at: (e: Expr, point: number) => Expr } {
  let points: readonly ReadonlyMap<Axis, Expr>[] = [new Map()];
  for (const { axis, lanes, start } of tiles) {
    points = points.flatMap((point) =>
      Array.from({ length: lanes }, (_, lane) => new Map([...point, [axis, pool.add(start, pool.int(lane))] as const])),
    );
  }
  const stages: S[] = [];
  const weakened = new Set(nest.weakened);
  /** Per point, the new number of each old stage. */
  const numbers: number[][] = points.map(() => []);
  const at = (e: Expr, point: number): Expr => {
    const moved = pool.substitute(e, points[point]);
    if (stagesOf(moved).size === 0) return moved;
    return pool.rewrite(moved, (node) => (node.op === "acc" ? pool.acc(numbers[point][node.stage], node.dtype) : null));
  };
  for (const old of order) {
    const stage = nest.stages[old];
    const weak = [...loadsOf(bodies(stage))].filter((load) => nest.weakened.has(load));
    points.forEach((_, point) => {
      const moved = copy(
        stage,
        (e) => at(e, point),
        (number) => numbers[point][number],
      );
      // A stage that does not depend on the tiled axes is done once for all points.
      if (point > 0 && same(stages[numbers[0][old]], moved)) {
        numbers[point][old] = numbers[0][old];
        return;
      }
      numbers[point][old] = stages.length;
      stages.push(moved);
      for (const load of weak) weakened.add(at(load, point) as LoadExpr);
    });
  }
  const stores = points.flatMap((_, point) =>
    nest.stores.map((store) => ({
      ...store,
      index: at(store.index, point),
      value: at(store.value, point),
      guard: store.guard && at(store.guard, point),
    })),
  );
  const outers = new Map(tiles.map(({ axis, outer }) => [axis, outer]));
  const axes = nest.axes.map((axis) => outers.get(axis) ?? axis).filter((axis) => axis.size > 1);
  return { axes, stages, stores, weakened, points: points.length, at };
}
