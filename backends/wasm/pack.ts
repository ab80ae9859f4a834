/**
 * Packing, for large contractions: an operand that the innermost loops would read in long strides is first copied into panels, in the
 * order in which they read it; and the loops are split so that the panels at work stay in the caches.
 */

import { affine } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr, Stage, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { mapExprs, type Nest } from "../loops/nest.js";
import { Blocks, pointOf } from "./blocks.js";
import type { PlanePlan } from "./planes.js";
import { copyNest, placeOf } from "./window.js";

export interface Packed {
  /** In order: copies, then the contraction. */
  readonly nests: readonly Nest[];
  /** Elements of the arrays of float32 that follow the kernel's buffers. */
  readonly scratch: readonly number[];
}

/** Multiplications and additions below which packing does not pay. */
const minWork = 2 ** 21;
/** How often each packed element is read at least. */
const minReuse = 32;
/** Columns of a panel: two vectors. Rows: one tile. */
const columns = 8;
const rows = 4;
/** Rows that are taken through all columns before the next ones, so that they stay in the second-level cache. */
const blockRows = 64;
const blockBytes = 2 ** 18;
/** Elements of all rows that stay in the second-level cache, beside what else is in it. */
const mostRowElements = 2 ** 17;
/** Fewer panels could not be shared among threads. */
const leastPanels = 16;

export function strideOf(index: Expr, axis: Axis): number | null {
  const terms = affine(index)?.terms ?? [];
  if (terms.some(({ factor }) => factor.op !== "axis")) return null;
  return terms.find(({ factor }) => factor.op === "axis" && factor.axis === axis)?.coefficient ?? 0;
}

interface Contraction {
  readonly stage: Stage;
  /** Read where columns are neighbours, or will be. */
  readonly b: LoadExpr;
  readonly a: LoadExpr;
  readonly column: Axis;
  /** Axes of `a` alone, the innermost last. */
  readonly rowAxes: readonly Axis[];
  readonly rounds: number;
  /** Which operands are better copied. */
  readonly packA: boolean;
  readonly packB: boolean;
}

function contractionOf(nest: Nest): Contraction | null {
  const [stage] = nest.stages;
  if (nest.stages.length !== 1 || stage.combine !== "add" || stage.body.op !== "call" || stage.body.fn !== "mul") return null;
  const [x, y] = stage.body.args;
  if (x.op !== "load" || y.op !== "load" || x === y || x.guard !== null || y.guard !== null || stage.body.dtype !== "float32") return null;
  const rounds = pointCount(stage.axes);
  if (pointCount(nest.axes) * rounds < minWork || rounds < 32 || nest.stores.some((store) => store.axes.length > 0)) return null;
  const inner = stage.axes[stage.axes.length - 1];
  const onlyIn = (load: LoadExpr, other: LoadExpr): Axis[] =>
    nest.axes.filter((axis) => axesOf(load).has(axis) && !axesOf(other).has(axis));
  // Columns run along the result's rows.
  const column = nest.axes.find((axis) => nest.stores.every((store) => strideOf(store.index, axis) === 1));
  if (column === undefined || column.size % columns !== 0) return null;
  const [a, b] = axesOf(y).has(column) ? [x, y] : [y, x];
  if (axesOf(a).has(column)) return null;
  const rowAxes = onlyIn(a, b);
  if (rowAxes.length === 0 || pointCount(rowAxes) < minReuse) return null;
  const isFar = (load: LoadExpr): boolean => Math.abs(strideOf(load.index, inner) ?? 0) >= 16;
  const packB = strideOf(b.index, column) !== 1 || (isFar(b) && rounds >= 128);
  const packA = isFar(a) && rowAxes[rowAxes.length - 1].size % rows === 0 && pointCount(onlyIn(b, a)) >= minReuse;
  return { stage, a, b, column, rowAxes, rounds, packA, packB };
}

/**
 * Panel by panel of the columns, each copied just before all rows meet it: for rows that fit the second-level cache. Null where the nest is
 * nothing of that kind.
 */
export function panelPlan(pool: ExprPool, nest: Nest, buffers: number): PlanePlan | null {
  const found = contractionOf(nest);
  if (found === null || !found.packB || found.packA || pointCount(found.rowAxes) * found.rounds > mostRowElements) return null;
  const { stage, b, column } = found;
  if (stage.axes.some((axis) => !axesOf(b).has(axis))) return null;
  const [panel, lane] = [pool.newAxis(column.name, column.size / columns), pool.newAxis(column.name, columns)];
  const place = pool.add(pool.mul(pool.axis(panel), pool.int(columns)), pool.axis(lane));
  const outer = [...nest.axes.filter((axis) => axis !== column && axesOf(b).has(axis)), panel];
  if (pointCount(outer) < leastPanels) return null;
  const blocks = new Blocks(pool, pointCount(outer));
  const point = pointOf(pool, outer, blocks.number);
  const there = (e: Expr): Expr => pool.substitute(pool.substitute(e, new Map([[column, place]])), point);
  const order = [...stage.axes, lane];
  const element = pool.add(pool.mul(pool.axis(blocks.step), pool.int(pointCount(order))), placeOf(pool, order));
  const value = there(b);
  const packed = pool.load(buffers, element, "float32");
  const main = mapExprs(nest, (e) => pool.rewrite(there(e), (node) => (node === value ? packed : null)));
  const axes = [...nest.axes.filter((axis) => axis !== column && !outer.includes(axis)), lane];
  return {
    main: { blocks, nests: [copyNest(order, element, buffers, value), { ...main, axes }] },
    scratch: blocks.steps * pointCount(order),
  };
}

/** Null where the nest is better as it is. */
export function packNest(pool: ExprPool, nest: Nest, buffers: number): Packed | null {
  const found = contractionOf(nest);
  if (found === null || !(found.packA || found.packB)) return null;
  const { stage, a, b, column, rowAxes, rounds, packA, packB } = found;
  const row = rowAxes[rowAxes.length - 1];

  const split = (axis: Axis, by: number): readonly [Axis, Axis] => [pool.newAxis(axis.name, axis.size / by), pool.newAxis(axis.name, by)];
  const joined = ([outer, lane]: readonly [Axis, Axis]): Expr => pool.add(pool.mul(pool.axis(outer), pool.int(lane.size)), pool.axis(lane));
  const panel = split(column, columns);
  const tile = packA ? split(row, rows) : null;
  const map = new Map([[column, joined(panel)]]);
  if (tile !== null) map.set(row, joined(tile));
  const scratch: number[] = [];
  const nests: Nest[] = [];
  const replaced = new Map<Expr, Expr>();
  /** Copies what `load` reads into a new array where `lanes` run fastest, then the terms. */
  const copy = (load: LoadExpr, [block, lane]: readonly [Axis, Axis], axis: Axis): void => {
    const outer = nest.axes.filter((other) => other !== axis && axesOf(load).has(other));
    const order = [...outer, block, ...stage.axes.filter((other) => axesOf(load).has(other)), lane];
    const place = order.reduce((sum, other) => pool.add(pool.mul(sum, pool.int(other.size)), pool.axis(other)), pool.int(0));
    const buffer = buffers + scratch.length;
    scratch.push(pointCount(order));
    const value = pool.substitute(load, map);
    const store: Store = { buffer, axes: [], index: place, value, guard: null };
    nests.push({ axes: order, stages: [], stores: [store] });
    replaced.set(value, pool.load(buffer, place, load.dtype));
  };
  if (packB) copy(b, panel, column);
  if (tile !== null) copy(a, tile, row);

  // Rows of the panel's columns before the next panel, in blocks where there are many.
  const rest = nest.axes.filter((axis) => axis !== column && axis !== row);
  const outerRow = tile?.[0] ?? row;
  const perBlock = blockRows / (tile === null ? 1 : rows);
  let order: readonly Axis[] = [...rest, panel[0], ...(tile ?? [row]), panel[1]];
  if (rounds * row.size * 4 > 2 * blockBytes && outerRow.size % perBlock === 0 && outerRow.size > perBlock) {
    const [block, within] = split(outerRow, perBlock);
    const places = new Map([[outerRow, joined([block, within])]]);
    const main = rewritten(pool, rewritten(pool, nest, map, replaced), places, new Map());
    order = [...rest, block, panel[0], within, ...(tile === null ? [] : [tile[1]]), panel[1]];
    return { nests: [...nests, { ...main, axes: order }], scratch };
  }
  return { nests: [...nests, { ...rewritten(pool, nest, map, replaced), axes: order }], scratch };
}

function rewritten(pool: ExprPool, nest: Nest, map: ReadonlyMap<Axis, Expr>, loads: ReadonlyMap<Expr, Expr>): Nest {
  return mapExprs(nest, (e) => pool.rewrite(pool.substitute(e, map), (node) => loads.get(node) ?? null));
}
