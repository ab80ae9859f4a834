import { children } from "./affine.js";
import { type Environment, forEachPoint } from "./interpret.js";
import type { Axis, Expr } from "./ir.js";

/** Whether the axes alone decide its value. */
export function isClosed(e: Expr, seen = new Set<Expr>()): boolean {
  if (seen.has(e)) return true;
  seen.add(e);
  return e.op !== "load" && e.op !== "ref" && e.op !== "acc" && children(e).every((child) => isClosed(child, seen));
}

export const pointCount = (axes: readonly Axis[]): number => axes.reduce((count, axis) => count * axis.size, 1);

type Box = (environment: Environment, visit: () => void) => void;

/** The whole space when it has at most `limit` points; else the box of about so many points at its first corner, and that at its last. */
export function boxes(axes: readonly Axis[], limit: number): { readonly complete: boolean; readonly corners: readonly Box[] } {
  if (pointCount(axes) <= limit) return { complete: true, corners: [(environment, visit) => forEachPoint(axes, environment, visit)] };
  let cap = Math.max(...axes.map((axis) => axis.size));
  const capped = (): Axis[] => axes.map((axis) => ({ ...axis, size: Math.min(axis.size, cap) }));
  while (cap > 2 && pointCount(capped()) > limit) cap = Math.floor(cap * 0.9);
  const box = capped();
  const first: Box = (environment, visit) => forEachPoint(box, environment, visit);
  const last: Box = (environment, visit) => forEachPoint(box, shifted(environment, axes, box), visit);
  return { complete: false, corners: [first, last] };
}

/** Sets each axis as far from its end as the box's is from its own. */
function shifted(environment: Environment, axes: readonly Axis[], box: readonly Axis[]): Pick<Environment, "set"> {
  const offset = new Map(axes.map((axis, i) => [axis.id, axis.size - box[i].size]));
  return { set: (axis, value) => environment.set(axis, value + (offset.get(axis.id) ?? 0)) };
}
