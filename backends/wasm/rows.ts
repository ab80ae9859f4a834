/**
 * Rows that are gone over more than once: what a pass computes at a price and a later one needs again (the exponentials of a softmax) is
 * put down where the kernel's result will be, row by row, while the row is in the nearest cache.
 */

import type { Axis, Expr, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { mapExprs, type Nest, storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf, stagesOf } from "../loops/walk.js";
import { Blocks, pointOf } from "./blocks.js";
import { isExpensive } from "./scalar.js";
import type { BlockPlan } from "./window.js";

/** Elements of a row below which a call for each pass costs too much. */
const leastRow = 96;

const sameAxes = (a: readonly Axis[], b: readonly Axis[]): boolean => a.length === b.length && a.every((axis, i) => axis === b[i]);

/** Null where no pass repeats another's work. */
export function rowPlan(pool: ExprPool, nest: Nest): BlockPlan | null {
  if (nest.axes.length === 0) return null;
  const parts = splitRows(pool, nest);
  if (parts === null) return null;
  const blocks = new Blocks(pool, pointCount(nest.axes));
  const at = pointOf(pool, nest.axes, blocks.number);
  return { blocks, nests: parts.map((part) => ({ ...mapExprs(part, (e) => pool.substitute(e, at)), axes: [] })) };
}

/** Up to what is put down, and from there on. Null where no pass repeats another's work. */
export function splitRows(pool: ExprPool, nest: Nest, least = leastRow): readonly [Nest, Nest] | null {
  for (const [number, stage] of nest.stages.entries()) {
    const value = stage.body;
    if (value.op !== "call" || !isExpensive(value.fn) || value.dtype !== "float32" || pointCount(stage.axes) < least) continue;
    // A sum that all rows share is not to be taken again for each.
    if (nest.axes.some((axis) => !axesOf(value).has(axis))) continue;
    const users = nest.stores.filter((store) => nodesOf(storeExprs(store)).has(value));
    const home = users.find((store) => store.guard === null && store.value.dtype === "float32");
    if (home === undefined || users.some((store) => !sameAxes(store.axes, stage.axes))) continue;
    if ([...loadsOf(exprsOf(nest))].some((load) => load.buffer === home.buffer)) continue;
    if (nest.stores.some((store) => store !== home && store.buffer === home.buffer)) continue;
    const parts = split(pool, nest, number, value, home);
    if (parts !== null) return parts;
  }
  return null;
}

const exprsOf = (nest: Nest): readonly Expr[] => [...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)];

function split(pool: ExprPool, nest: Nest, number: number, value: Expr, home: Store): readonly [Nest, Nest] | null {
  const kept = pool.load(home.buffer, home.index, "float32");
  const later = (e: Expr): Expr => pool.rewrite(e, (node) => (node === value ? kept : null));
  const rest: Nest = { ...nest, stages: nest.stages.slice(number) };
  if (exprsOf(rest).some((e) => [...stagesOf(later(e))].some((used) => used < number))) return null;
  const before: Nest = { ...nest, stages: nest.stages.slice(0, number), stores: [{ ...home, value }] };
  const shifted = (e: Expr): Expr =>
    pool.rewrite(later(e), (node) => (node.op === "acc" ? pool.acc(node.stage - number, node.dtype) : null));
  return [before, mapExprs(rest, shifted)];
}
