/** Definitions that become one kernel: the group, and what can be asked of it. */

import type { Axis, Expr, Structure } from "../kernel/ir.js";
import { pointCount } from "../kernel/points.js";
import type { ExprPool } from "../kernel/simplify.js";
import type { HostDefinition, LineDefinition, MapDefinition, PartDefinition, ReduceDefinition } from "./define.js";
import { refsOf } from "./refs.js";

/** A definition inside a loop kernel, in terms of the kernel's axes. */
export interface Member {
  readonly definition: MapDefinition | ReduceDefinition | PartDefinition;
  /** Index of the element in the value's own shape, over the kernel's axes and `inner`. */
  index: readonly Expr[];
  /** Loops of this member inside the kernel's axes (the row). Empty for members of one value a point. */
  inner: readonly Axis[];
  /** For reductions. */
  reduceAxes: readonly Axis[];
  /** Element (map, part) or body (reduce), with refs. */
  expr: Expr;
  /** Part of the kernel's points where the member exists, if not all. */
  guard: Expr | null;
  /** How deep the expression is once values of the same kernel are written into it. */
  readonly depth: number;
}

export interface LoopGroup {
  readonly kind: "loops";
  readonly id: number;
  axes: readonly Axis[];
  readonly members: Member[];
}
export interface SoloGroup {
  readonly kind: "solo";
  readonly id: number;
  readonly definition: LineDefinition | HostDefinition;
}
export type Group = LoopGroup | SoloGroup;

/** Points of axes together. */
/** The contraction of a group, if it has one. */
export function structureOf(group: LoopGroup): Structure | null {
  for (const member of group.members)
    if (member.definition.kind === "reduce" && member.definition.structure !== null) return member.definition.structure;
  return null;
}

/** Elements of the rows that a group's plain reductions run over, or null without any. */
export function rowOf(group: LoopGroup): number | null {
  const member = group.members.find((m) => m.definition.kind === "reduce" && m.definition.structure === null);
  return member === undefined ? null : pointCount(member.reduceAxes);
}

/** Whether a definition reads something that the group's reductions read too, or an element of the group's own rows. */
export function sharesRow(group: LoopGroup, reads: ReadonlyMap<number, unknown>): boolean {
  for (const member of group.members) {
    if (member.inner.length > 0 && reads.has(member.definition.value)) return true;
    if (member.definition.kind === "reduce") for (const value of refsOf(member.expr).keys()) if (reads.has(value)) return true;
  }
  return false;
}

export function loopShapes(group: LoopGroup): (readonly Axis[])[] {
  const out: (readonly Axis[])[] = [];
  for (const member of group.members) {
    if (member.reduceAxes.length > 0 && member.definition.kind === "reduce" && member.definition.structure === null)
      out.push(member.reduceAxes);
    if (member.inner.length > 0) out.push(member.inner);
  }
  return out;
}

/** Replaces one axis of a kernel by several that number the same points, outermost first. */
export function splitAxis(pool: ExprPool, group: LoopGroup, axis: Axis, into: readonly Axis[]): void {
  let flat: Expr = pool.int(0);
  for (const part of into) flat = pool.add(pool.mul(flat, pool.int(part.size)), pool.axis(part));
  const substitution = new Map([[axis, flat]]);
  group.axes = group.axes.flatMap((a) => (a === axis ? into : [a]));
  for (const member of group.members) {
    member.index = member.index.map((e) => pool.substitute(e, substitution));
    member.expr = pool.substitute(member.expr, substitution);
    if (member.guard !== null) member.guard = pool.substitute(member.guard, substitution);
  }
}
