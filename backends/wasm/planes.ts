/**
 * Windows over single planes, as depthwise convolutions and their gradients have them: what the windows of a block cover is copied with
 * its zeros around, once, so that the sums need no tests and any of their axes can be tiled.
 */

import { affine } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { mapExprs, type Nest } from "../loops/nest.js";
import { Blocks, pointOf } from "./blocks.js";
import { type BlockPlan, copyNest, placeOf } from "./window.js";

/** Multiplications of a block below which the copy does not pay. */
const minWork = 2 ** 13;
/** How often each copied element is read at least. */
const minReuse = 8;
/** Elements that fit the second-level cache. */
const mostElements = 2 ** 17;

/** An axis of the points and one of the terms that move through the same dim of the image, in the same direction or against it. */
interface Pair {
  readonly point: Axis;
  readonly term: Axis;
  readonly against: boolean;
  readonly both: Axis;
}

export interface PlanePlan {
  readonly main: BlockPlan;
  /** Elements of the array of float32 that follows the kernel's buffers. */
  readonly scratch: number;
}

/** Null where the nest is nothing of that kind. */
export function planePlan(pool: ExprPool, nest: Nest, buffers: number): PlanePlan | null {
  const [stage] = nest.stages;
  if (nest.stages.length !== 1 || stage.combine !== "add" || stage.body.op !== "call" || stage.body.fn !== "mul") return null;
  if (stage.body.dtype !== "float32" || nest.stores.some((store) => store.axes.length > 0)) return null;
  const image = stage.body.args.find((arg) => arg.op === "load" && arg.guard !== null) as LoadExpr | undefined;
  const other = stage.body.args.find((arg) => arg !== image);
  if (image === undefined || other?.op !== "load" || other.guard !== null) return null;
  const pairs = pairsOf(pool, image, nest.axes, stage.axes);
  if (pairs.length === 0) return null;

  const inner = nest.axes.filter((axis) => pairs.some(({ point }) => point === axis));
  const outer = nest.axes.filter((axis) => !inner.includes(axis));
  const extra = stage.axes.filter((axis) => axesOf(image).has(axis) && !pairs.some(({ term }) => term === axis));
  const order = [...extra, ...pairs.map(({ both }) => both)];
  const work = pointCount(inner) * pointCount(stage.axes);
  const size = pointCount(order);
  if (outer.length === 0 || outer.some((axis) => !axesOf(image).has(axis))) return null;
  if (work < minWork || work < minReuse * size || size > mostElements) return null;

  // In place of a point and a term: their distance from the first element that any window covers.
  const alone = new Map<Axis, Expr>();
  const together = new Map<Axis, Expr>();
  for (const { point, term, against, both } of pairs) {
    const last = pool.int(term.size - 1);
    alone.set(point, against ? pool.sub(pool.axis(both), last) : pool.axis(both));
    alone.set(term, pool.int(0));
    together.set(both, against ? pool.add(pool.sub(pool.axis(point), pool.axis(term)), last) : pool.add(pool.axis(point), pool.axis(term)));
  }
  const whole = pool.substitute(image, alone);
  // What the image's tests say of points and terms, they must say of both together.
  if (pool.substitute(whole, together) !== image) return null;

  const blocks = new Blocks(pool, pointCount(outer));
  const at = pointOf(pool, outer, blocks.number);
  const element = pool.add(pool.mul(pool.axis(blocks.step), pool.int(size)), placeOf(pool, order));
  const copy = copyNest(order, element, buffers, pool.substitute(whole, at));
  const packed = pool.load(buffers, pool.substitute(element, together), "float32");
  const rewritten = mapExprs(nest, (e) =>
    pool.substitute(
      pool.rewrite(e, (node) => (node === image ? packed : null)),
      at,
    ),
  );
  return {
    main: { blocks, nests: [copy, { ...rewritten, axes: inner }] },
    scratch: blocks.steps * size,
  };
}

function pairsOf(pool: ExprPool, image: LoadExpr, points: readonly Axis[], terms: readonly Axis[]): readonly Pair[] {
  const parts = affine(image.index)?.terms ?? [];
  if (parts.some(({ factor }) => factor.op !== "axis")) return [];
  const strideOf = (axis: Axis): number => parts.find(({ factor }) => factor.op === "axis" && factor.axis === axis)?.coefficient ?? 0;
  const pairs: Pair[] = [];
  for (const point of points) {
    const stride = strideOf(point);
    const term = terms.find((axis) => stride !== 0 && Math.abs(strideOf(axis)) === Math.abs(stride));
    if (term === undefined) continue;
    const both = pool.newAxis(`${point.name}${term.name}`, point.size + term.size - 1);
    pairs.push({ point, term, against: strideOf(term) !== stride, both });
  }
  return pairs;
}
