/**
 * Windows as matrices: a convolution, block by block of its result's rows, copies what the windows of a block cover into panels (zeros
 * where they overlap the edge) and multiplies those with the weights, which are copied into panels of their own once.
 */

import type { Axis, BufferSpec, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { mapExprs, type Nest } from "../loops/nest.js";
import { nodesOf } from "../loops/walk.js";
import { Blocks, pointOf } from "./blocks.js";
import { strideOf } from "./pack.js";

export interface BlockPlan {
  readonly blocks: Blocks;
  /** For each block, one after the other; the blocks' axes are free in them. */
  readonly nests: readonly Nest[];
}

export interface WindowPlan {
  /** A phase of its own. */
  readonly weights: Nest;
  readonly main: BlockPlan;
  /** Elements of the arrays of float32 that follow the kernel's buffers. */
  readonly scratch: readonly number[];
}

/** Multiplications and additions below which copying does not pay, of the kernel and of each copied element. */
const minWork = 2 ** 21;
const minReuse = 16;
const minTerms = 32;
/** Fewer blocks could not be shared among threads. */
const leastBlocks = 4;
/** Elements of a panel that fit the second-level cache. */
const mostElements = 2 ** 18;
const rows = 4;

/** The width of panels that wastes least of a row. */
const widthFor = (size: number): number => (Math.ceil(size / 8) * 8 > Math.ceil(size / 4) * 4 * 1.15 ? 4 : 8);

const divides = (e: Expr): boolean => e.op === "call" && (e.fn === "idiv" || e.fn === "mod") && e.dtype === "int32";

/** In a product of two loads under one guard, as in the gradient to a convolution's input, the other's zeros are enough: it is read plainly where it can be. */
export function withoutSecondGuards(pool: ExprPool, nest: Nest, buffers: readonly BufferSpec[]): Nest {
  const [stage] = nest.stages;
  if (nest.stages.length !== 1 || stage.combine !== "add" || stage.body.op !== "call" || stage.body.fn !== "mul") return nest;
  const [x, y] = stage.body.args;
  if (x.op !== "load" || y.op !== "load" || x.guard === null || x.guard !== y.guard) return nest;
  const plain = [y, x].find(({ buffer, index }) => index.lo >= 0 && index.hi < buffers[buffer].length);
  if (plain === undefined) return nest;
  const load = pool.load(plain.buffer, plain.index, plain.dtype);
  return { ...nest, stages: [{ ...stage, body: pool.rewrite(stage.body, (e) => (e === plain ? load : null)) }] };
}

/** Null where the nest is no convolution of that kind. */
export function windowPlan(pool: ExprPool, nest: Nest, buffers: number): WindowPlan | null {
  const [stage] = nest.stages;
  if (nest.stages.length !== 1 || stage.combine !== "add" || stage.body.op !== "call" || stage.body.fn !== "mul") return null;
  const [x, y] = stage.body.args;
  if (x.op !== "load" || y.op !== "load" || x === y || stage.body.dtype !== "float32") return null;
  if (stage.axes.length < 2 || nest.stores.some((store) => store.axes.length > 0)) return null;
  const column = nest.axes.find((axis) => nest.stores.every((store) => strideOf(store.index, axis) === 1));
  if (column === undefined || column.size < 7 || axesOf(x).has(column) === axesOf(y).has(column)) return null;
  const [weight, image] = axesOf(y).has(column) ? [x, y] : [y, x];
  if (weight.guard !== null || !isWindow(image, column, stage.axes) || [...nodesOf([x, y])].some(divides)) return null;
  const row = nest.axes.findLast((axis) => axesOf(weight).has(axis) && !axesOf(image).has(axis));
  const terms = pointCount(stage.axes);
  if (row === undefined || row.size % rows !== 0 || row.size < minReuse || terms < minTerms) return null;
  if (pointCount(nest.axes) * terms < minWork || column.size * terms > mostElements) return null;

  const lane = pool.newAxis("lane", widthFor(column.size));
  const panel = pool.newAxis(column.name, Math.ceil(column.size / lane.size));
  const [group, member] = [pool.newAxis(row.name, row.size / rows), pool.newAxis(row.name, rows)];
  const joined = (outer: Axis, inner: Axis): Expr => pool.add(pool.mul(pool.axis(outer), pool.int(inner.size)), pool.axis(inner));
  const place = (order: readonly Axis[]): Expr => placeOf(pool, order);

  // The weights, for all blocks.
  const others = nest.axes.filter((axis) => axis !== row && axesOf(weight).has(axis));
  const weightOrder = [...others, group, ...stage.axes, member];
  const split = new Map([[row, joined(group, member)]]);
  const weights = copyNest(weightOrder, place(weightOrder), buffers, pool.substitute(weight, split));

  const outer = nest.axes.filter((axis) => axis !== row && axis !== column);
  if (pointCount(outer) < leastBlocks || outer.some((axis) => !axesOf(image).has(axis))) return null;
  const blocks = new Blocks(pool, pointCount(outer));
  const point = pointOf(pool, outer, blocks.number);
  const at = new Map<Axis, Expr>([...point, ...split, [column, joined(panel, lane)]]);
  const exists = pool.lt(joined(panel, lane), pool.int(column.size));
  const isExact = panel.size * lane.size === column.size;
  const covered = pool.substitute(image, at) as LoadExpr;
  const guard = isExact ? covered.guard : covered.guard === null ? exists : pool.and(covered.guard, exists);
  const order = [panel, ...stage.axes, lane];
  const element = pool.add(pool.mul(pool.axis(blocks.step), pool.int(pointCount(order))), place(order));
  const copy = copyNest(order, element, buffers + 1, pool.load(covered.buffer, covered.index, covered.dtype, guard));

  const packed = new Map<Expr, Expr>([
    [pool.substitute(weight, at), pool.load(buffers, pool.substitute(place(weightOrder), point), "float32")],
    [covered, pool.load(buffers + 1, element, "float32")],
  ]);
  const moved = mapExprs(nest, (e) => pool.rewrite(pool.substitute(e, at), (node) => packed.get(node) ?? null));
  const stores = moved.stores.map(
    (store): Store => (isExact ? store : { ...store, guard: store.guard === null ? exists : pool.and(store.guard, exists) }),
  );
  return {
    weights,
    main: { blocks, nests: [copy, { axes: [panel, group, member, lane], stages: moved.stages, stores }] },
    scratch: [pointCount(weightOrder), blocks.steps * pointCount(order)],
  };
}

/** Whether columns and terms go through the same dim of the image: neighbours, or windows side by side. */
function isWindow(image: LoadExpr, column: Axis, terms: readonly Axis[]): boolean {
  const stride = Math.abs(strideOf(image.index, column) ?? 0);
  return (
    stride !== 0 &&
    terms.some((axis) => {
      const own = Math.abs(strideOf(image.index, axis) ?? 0);
      return own !== 0 && stride % own === 0 && stride / own <= axis.size;
    })
  );
}

/** Position in row-major order. */
export const placeOf = (pool: ExprPool, order: readonly Axis[]): Expr =>
  order.reduce((sum, axis) => pool.add(pool.mul(sum, pool.int(axis.size)), pool.axis(axis)), pool.int(0));

export const copyNest = (axes: readonly Axis[], index: Expr, buffer: number, value: Expr): Nest => ({
  axes,
  stages: [],
  stores: [{ buffer, axes: [], index, value, guard: null }],
});
