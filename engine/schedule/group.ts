/**
 * Groups definitions into kernels. Each definition starts alone and joins the kernel of a value it reads when that value sits at the very
 * point of the kernel's axes where the definition needs it: as the epilogue of a reduction, as a further store over the same axes, as a
 * further reduction over the same rows, or as the row that is written once its reductions are known. Every refusal leaves its reason.
 */

import type { Axis, Expr, RefExpr } from "../kernel/ir.js";
import { pointCount } from "../kernel/points.js";
import type { ExprPool } from "../kernel/simplify.js";
import type { Definition, HostDefinition, MapDefinition, PartDefinition, ReduceDefinition } from "./define.js";
import {
  type Group,
  type LoopGroup,
  loopShapes,
  type Member,
  rowOf,
  type SoloGroup,
  sharesRow,
  splitAxis,
  structureOf,
} from "./loop-group.js";
import { type Match, matchIndex } from "./match.js";
import { Order } from "./order.js";
import { depthOf, type Refs, refsOf } from "./refs.js";

/** Why a value was not computed in the kernel of a value that it reads. */
export interface Boundary {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

export interface GroupLimits {
  readonly maxOutputs: number;
  readonly maxBuffers: number;
}

/** Longer rows are not kept in one kernel: too few rows would run side by side. */
const MAX_ROW = 1 << 16;
const MAX_LONE_ROW = 1 << 10;
/** Deeper expressions would strain every recursion over them. */
const MAX_EXPR_DEPTH = 400;

/** The expression whose refs are what a definition reads. */
const exprOf = (d: Definition): Expr | null =>
  d.kind === "reduce" ? d.body : d.kind === "line" ? d.input : d.kind === "host" ? null : d.expr;

export class Grouper {
  readonly groups: Group[] = [];
  private made = 0;
  readonly boundaries: Boundary[] = [];
  /** Groups that hold, or write parts of, each value. */
  readonly homes = new Map<number, Set<Group>>();
  private readonly needs = new Map<Group, Set<number>>();
  private readonly order = new Order();
  /** Kernels that read each value. */
  private readonly readers = new Map<number, Set<LoopGroup>>();

  constructor(
    private readonly pool: ExprPool,
    private readonly limits: GroupLimits,
    private readonly fuse: boolean,
  ) {}

  add(definition: Definition): void {
    const expr = exprOf(definition);
    const reads = expr === null ? new Map((definition as HostDefinition).inputs.map((v) => [v, [] as RefExpr[]])) : refsOf(expr);
    if (definition.kind === "line" || definition.kind === "host") {
      const group: SoloGroup = { kind: "solo", id: this.made++, definition };
      this.place(group, definition.value, reads.keys());
      for (const value of reads.keys())
        this.boundary(
          value,
          definition.value,
          definition.kind === "line" ? `${definition.node.op.name} transforms whole lines` : "the host computes it",
        );
      return;
    }
    if (this.fuse && this.join(definition, reads)) return;
    const member: Member = {
      definition,
      index: definition.kind === "part" ? definition.target : definition.index,
      inner: [],
      reduceAxes: definition.kind === "reduce" ? definition.reduceAxes : [],
      expr: expr as Expr,
      guard: null,
      depth: depthOf(expr as Expr, () => 0),
    };
    const group: LoopGroup = { kind: "loops", id: this.made++, axes: definition.axes, members: [member] };
    this.place(group, definition.value, reads.keys());
    if (!this.fuse) for (const value of reads.keys()) this.boundary(value, definition.value, "fusion is off");
  }

  private place(group: Group, value: number, reads: Iterable<number>): void {
    if (!this.needs.has(group)) this.groups.push(group);
    this.record(group, value, reads);
  }

  private record(group: Group, value: number, reads: Iterable<number>): void {
    const homes = this.homes.get(value);
    if (homes) homes.add(group);
    else this.homes.set(value, new Set([group]));
    const needs = this.needs.get(group) ?? new Set<number>();
    for (const read of reads) {
      needs.add(read);
      for (const home of this.homes.get(read) ?? []) this.order.add(home.id, group.id);
      if (group.kind === "loops") this.readers.set(read, (this.readers.get(read) ?? new Set<LoopGroup>()).add(group));
    }
    this.needs.set(group, needs);
  }

  private boundary(from: number, to: number, reason: string): void {
    if (this.homes.has(from)) this.boundaries.push({ from, to, reason });
  }

  /** Values that a kernel reads, its own among them. */
  reads(group: Group): ReadonlySet<number> {
    return this.needs.get(group) ?? new Set();
  }

  /** Values that a kernel computes or writes parts of. */
  writes(group: Group): number[] {
    return group.kind === "solo" ? [group.definition.value] : [...new Set(group.members.map((m) => m.definition.value))];
  }

  /** Whether a kernel reads a leaf only at the very element at which it stores `value`, and in no reduction: then both may share a buffer. */
  readsInPlace(group: LoopGroup, leaf: number, value: number): boolean {
    const target = group.members.find((m) => m.definition.value === value);
    if (target === undefined || target.definition.kind !== "map") return false;
    for (const member of group.members) {
      for (const ref of refsOf(member.expr).get(leaf) ?? []) {
        if (member.definition.kind === "reduce" || member.inner.length !== target.inner.length) return false;
        if (!member.inner.every((axis, i) => axis === target.inner[i])) return false;
        if (!ref.index.every((e, i) => e === target.index[i])) return false;
      }
    }
    return true;
  }

  /** Groups that `group` reads from directly. */
  dependencies(group: Group): Set<Group> {
    const out = new Set<Group>();
    for (const value of this.needs.get(group) ?? []) for (const home of this.homes.get(value) ?? []) if (home !== group) out.add(home);
    return out;
  }

  private join(d: MapDefinition | ReduceDefinition | PartDefinition, reads: Refs): boolean {
    const candidates = new Set<LoopGroup>();
    for (const value of reads.keys()) {
      for (const home of this.homes.get(value) ?? []) {
        if (home.kind === "loops") candidates.add(home);
        else this.boundary(value, d.value, `${home.definition.node.op.name} writes whole lines`);
      }
    }
    let joined: { group: LoopGroup; match: Match } | null = null;
    for (const group of [...candidates].sort((a, b) => b.id - a.id)) {
      const hosted = [...reads.keys()].filter((value) => this.homes.get(value)?.has(group));
      if (joined !== null) {
        const reason = this.tryMerge(joined.group, group, joined.match, d, reads);
        if (reason !== null) for (const value of hosted) this.boundary(value, d.value, reason);
        continue;
      }
      const outcome = this.tryJoin(group, d, reads);
      if (typeof outcome === "string") for (const value of hosted) this.boundary(value, d.value, outcome);
      else joined = { group, match: outcome };
    }
    return joined !== null || (d.kind === "map" && this.joinSibling(d, reads));
  }

  /** Elementwise work that reads a value where another kernel of elementwise work reads it too: one pass over the value serves both. */
  private joinSibling(d: MapDefinition, reads: Refs): boolean {
    const elements = pointCount(d.axes);
    for (const [value, refs] of reads) {
      for (const group of this.readers.get(value) ?? []) {
        if (pointCount(group.axes) !== elements || !group.members.every((m) => m.definition.kind === "map" && m.inner.length === 0))
          continue;
        // Whether it can read the group's own values was tried before, and refused.
        if ([...reads.keys()].some((read) => this.homes.get(read)?.has(group))) continue;
        const there = group.members.map((m) => refsOf(m.expr).get(value)?.[0]).find((ref) => ref !== undefined);
        if (there === undefined) continue;
        const match = matchIndex(this.pool, group, d, [{ member: { index: there.index, inner: [] }, ref: refs[0] }], false);
        if (typeof match === "string" || match.inner.length > 0 || match.split.size > 0) continue;
        const depth = depthOf(d.expr, () => 0);
        if (this.refusal(group, reads) === null) {
          this.insert(group, d, match, depth);
          this.record(group, d.value, reads.keys());
          return true;
        }
      }
    }
    return false;
  }

  /** Why a definition with these reads must not join a kernel: order, or the device's limits. */
  private refusal(group: LoopGroup, reads: ReadonlyMap<number, unknown>): string | null {
    const others = new Set<Group>();
    for (const value of reads.keys()) for (const home of this.homes.get(value) ?? []) if (home !== group) others.add(home);
    for (const other of others) if (this.order.isBefore(group.id, other.id)) return "another kernel lies between them";
    return this.tooMany(group.members.length + 1, [...(this.needs.get(group) ?? []), ...reads.keys()]);
  }

  /** Whether a kernel with as many stores and these reads would go beyond what the device binds. */
  private tooMany(stores: number, reads: readonly number[]): string | null {
    if (stores > this.limits.maxOutputs) return `the device writes at most ${this.limits.maxOutputs} buffers from one kernel`;
    if (new Set(reads).size + stores + 1 > this.limits.maxBuffers)
      return `the device binds at most ${this.limits.maxBuffers} buffers to one kernel`;
    return null;
  }

  private tryJoin(group: LoopGroup, d: MapDefinition | ReduceDefinition | PartDefinition, reads: Refs): Match | string {
    const hostedRefs: { member: Member; ref: RefExpr }[] = [];
    for (const [value, refs] of reads) {
      const homes = this.homes.get(value);
      if (!homes?.has(group)) continue;
      if (homes.size > 1) return "it is put together by several kernels";
      const member = group.members.find((m) => m.definition.value === value);
      if (member === undefined || member.definition.kind === "part") return "a concatenation is complete only when all its parts are";
      for (const ref of refs) hostedRefs.push({ member, ref });
    }
    if (d.kind === "reduce" && d.structure !== null) return `${d.node.op.name} reads its operands many times`;
    const contraction = structureOf(group);
    const depth = depthOf(d.kind === "reduce" ? d.body : d.expr, (value) => {
      const member = group.members.find((m) => m.definition.value === value);
      return member === undefined || member.definition.kind === "reduce" ? 0 : member.depth;
    });
    if (depth > MAX_EXPR_DEPTH) return "the chain of operations behind it is too long for one kernel";
    const match = matchIndex(this.pool, group, d, hostedRefs, contraction !== null);
    if (typeof match === "string") return match;

    const row = rowOf(group);
    const innerSize = pointCount(match.inner);
    if (d.kind === "reduce") {
      if (contraction !== null) return `${contraction} ends its kernel with single elements, and the sum needs many`;
      if (row === null) return "the values it reads are computed point by point, and a reduction needs whole rows of them";
      if (pointCount(d.reduceAxes) !== row) return `rows differ: ${pointCount(d.reduceAxes)} elements here, ${row} there`;
      if (match.inner.length > 0) return "the reduction has more results than the kernel has rows";
    } else if (match.inner.length > 0) {
      if (row === null || contraction !== null) return "each element it reads is used many times";
      if (innerSize !== row) return `rows differ: ${innerSize} elements here, ${row} there`;
      if (!sharesRow(group, reads)) return "it reads none of the rows that the kernel reduces";
      if (row > (pointCount(group.axes) === 1 ? MAX_LONE_ROW : MAX_ROW)) return `rows of ${row} elements are too long for one kernel`;
    }
    const refusal = this.refusal(group, reads);
    if (refusal !== null) return refusal;

    match.split.forEach((axes, axis) => splitAxis(this.pool, group, axis, axes));
    this.insert(group, d, match, depth);
    this.record(group, d.value, reads.keys());
    return match;
  }

  private insert(group: LoopGroup, d: MapDefinition | ReduceDefinition | PartDefinition, match: Match, depth: number): void {
    const substitution = new Map(match.substitution);
    let inner: readonly Axis[] = [];
    let reduceAxes: readonly Axis[] = [];
    const existing = loopShapes(group);
    if (d.kind === "reduce") reduceAxes = this.reuse(existing, d.reduceAxes, substitution);
    else inner = this.reuse(existing, match.inner, substitution);
    const expr = d.kind === "reduce" ? d.body : d.expr;
    group.members.push({
      definition: d,
      index: (d.kind === "part" ? d.target : d.index).map((e) => this.pool.substitute(e, substitution)),
      inner,
      reduceAxes,
      expr: this.within(group, this.pool.substitute(expr, substitution), match.guard),
      guard: match.guard,
      depth,
    });
  }

  /** The expression of a member that exists at some of the kernel's points only: elsewhere it reads nothing from memory. */
  private within(group: LoopGroup, expr: Expr, guard: Expr | null): Expr {
    if (guard === null) return expr;
    const hosted = new Set(group.members.map((member) => member.definition.value));
    return this.pool.rewrite(expr, (e) => (e.op === "ref" && !hosted.has(e.value) ? this.pool.guarded(e, guard) : null));
  }

  /** Loops of a kernel that run over the same sizes, in place of new ones: backends run loops over the same axes together. */
  private reuse(existing: readonly (readonly Axis[])[], axes: readonly Axis[], substitution: Map<Axis, Expr>): readonly Axis[] {
    const same = existing.find((loop) => loop.length === axes.length && loop.every((axis, i) => axis.size === axes[i].size));
    if (same === undefined) return axes;
    axes.forEach((axis, i) => substitution.set(axis, this.pool.axis(same[i])));
    return same;
  }

  /** Moves the rows of `from` into `into`, when a definition that has just joined `into` reads both at the same rows. */
  private tryMerge(
    into: LoopGroup,
    from: LoopGroup,
    match: Match,
    d: MapDefinition | ReduceDefinition | PartDefinition,
    reads: Refs,
  ): string | null {
    if (structureOf(into) !== null || structureOf(from) !== null)
      return `${structureOf(from) ?? structureOf(into)} has a kernel of its own`;
    if (rowOf(into) === null || rowOf(into) !== rowOf(from) || pointCount(into.axes) !== pointCount(from.axes)) return "rows differ";
    const hosted: { member: Member; ref: RefExpr }[] = [];
    for (const [value, refs] of reads) {
      if (!this.homes.get(value)?.has(from)) continue;
      const member = from.members.find((m) => m.definition.value === value);
      if (member === undefined || member.definition.kind === "part") return "a concatenation is complete only when all its parts are";
      for (const ref of refs) hosted.push({ member, ref });
    }
    // What was in the kernel before and reads these values was refused then: it reads them elsewhere.
    const moving = new Set(from.members.map((m) => m.definition.value));
    const reading = into.members.filter((m) => m.definition !== d).flatMap((m) => [...refsOf(m.expr).keys()]);
    if (reading.some((value) => moving.has(value))) return "the kernel reads its values at other positions, too";
    const other = matchIndex(this.pool, from, d, hosted, false);
    if (typeof other === "string") return other;
    if (other.split.size > 0) return "rows are numbered differently";
    if (this.order.isBefore(into.id, from.id)) return "one needs the other's finished result";
    const through = [...this.dependencies(into)].filter((g) => g !== from).some((g) => this.order.isBefore(from.id, g.id));
    if (through) return "another kernel lies between them";
    const crowded = this.tooMany(into.members.length + from.members.length, [
      ...(this.needs.get(into) ?? []),
      ...(this.needs.get(from) ?? []),
    ]);
    if (crowded !== null) return crowded;
    const back = new Map<Axis, Expr>();
    for (const [axis, target] of other.substitution) {
      const here = match.substitution.get(axis);
      if (target.op !== "axis" || here === undefined) return "rows are numbered differently";
      back.set(target.axis, here);
    }
    if (from.axes.some((axis) => !back.has(axis))) return "rows are numbered differently";
    const existing = loopShapes(into);
    const moved = from.members.map((member): Member => {
      const substitution = new Map(back);
      const inner = this.reuse(existing, member.inner, substitution);
      const reduceAxes = this.reuse(existing, member.reduceAxes, substitution);
      return {
        definition: member.definition,
        depth: member.depth,
        inner,
        reduceAxes,
        index: member.index.map((e) => this.pool.substitute(e, substitution)),
        expr: this.pool.substitute(member.expr, substitution),
        guard: member.guard === null ? null : this.pool.substitute(member.guard, substitution),
      };
    });
    into.members.splice(0, 0, ...moved);
    for (const value of this.needs.get(from) ?? []) this.needs.get(into)?.add(value);
    this.needs.delete(from);
    this.order.merge(from.id, into.id);
    for (const readers of this.readers.values()) if (readers.delete(from)) readers.add(into);
    for (const homes of this.homes.values()) if (homes.delete(from)) homes.add(into);
    this.groups.splice(this.groups.indexOf(from), 1);
    return null;
  }
}
