/**
 * Loads that the lanes of a subgroup share. Neighbours along the last axis want the same elements wherever an index does not depend on that
 * axis: each of them then loads one of several such elements, and tells the others. What is computed of them does not change.
 */

import { affine } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { stagesOf } from "../loops/walk.js";
import { atom } from "./scalar.js";
import type { Writer } from "./writer.js";

export class Sharing {
  private member: Axis | null = null;

  constructor(
    private readonly pool: ExprPool,
    private readonly writer: Writer,
    /** Invocations of a subgroup. */
    private readonly size: number,
    private readonly lane: Axis,
  ) {}

  /** Whether all members of a subgroup come by together where this is the bound or the condition of a loop. */
  isUniform(e: Expr): boolean {
    return !axesOf(e).has(this.lane) && stagesOf(e).size === 0;
  }

  /** Writes the loads among these that can be shared, in the loop over `inner`: members of a subgroup must come by together. */
  write(loads: Iterable<LoadExpr>, inner: Axis): void {
    const families = new Map<string, { readonly load: LoadExpr; readonly at: number }[]>();
    for (const load of loads) {
      const sum = affine(load.index);
      if (sum === null || load.guard !== null || load.dtype === "bool" || !axesOf(load.index).has(inner) || !this.isUniform(load.index))
        continue;
      const key = `${load.buffer} ${sum.terms.map(({ coefficient, factor }) => `${coefficient}*${factor.id}`).join("+")}`;
      const family = families.get(key) ?? [];
      families.set(key, [...family, { load, at: sum.constant }]);
    }
    const shared = [...families.values()].flatMap((family) => {
      family.sort((a, b) => a.at - b.at);
      return this.progressions(family.map(({ at }) => at)).map(([step, part]) => {
        const parts = part.map((at) => family.find((each) => each.at === at)?.load as LoadExpr);
        return { parts, own: this.ownPart(parts[0], step) };
      });
    });
    for (const { own } of shared) this.writer.count(own);
    for (const { parts, own } of shared) this.writeShared(parts, own);
  }

  /** Elements a fixed step apart, as many as there are members; by the step that leaves the fewest alone. */
  private progressions(sorted: readonly number[]): readonly (readonly [step: number, part: readonly number[]])[] {
    let best: (readonly [number, readonly number[]])[] = [];
    for (const step of new Set(sorted.slice(1).map((at) => at - sorted[0]))) {
      const left = new Set(sorted);
      const found: (readonly [number, readonly number[]])[] = [];
      for (const first of sorted) {
        const part = Array.from({ length: this.size }, (_, i) => first + i * step);
        if (!part.every((at) => left.has(at))) continue;
        for (const at of part) left.delete(at);
        found.push([step, part]);
      }
      if (found.length > best.length) best = found;
    }
    return best;
  }

  /** What a member loads of elements a step apart. */
  private ownPart({ buffer, index, dtype }: LoadExpr, step: number): LoadExpr {
    const { pool, writer } = this;
    if (this.member === null) {
      this.member = pool.newAxis("member", this.size);
      writer.defineRootAxis(this.member, `i32(lane & ${this.size - 1}u)`);
      writer.extensions.add("subgroups");
    }
    return pool.load(buffer, pool.add(index, pool.mul(pool.axis(this.member), pool.int(step))), dtype, null) as LoadExpr;
  }

  private writeShared(parts: readonly LoadExpr[], own: LoadExpr): void {
    const name = this.writer.hold(own, null);
    parts.forEach((load, i) => {
      this.writer.define(load, atom(`subgroupBroadcast(${name.code}, ${i}u)`));
    });
  }
}
