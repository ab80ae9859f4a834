/** One group → one kernel: refs become loads, results of stages, or the expressions of values computed in the same kernel. */

import { bytesOf } from "../dtype.js";
import { InternalError } from "../errors.js";
import type { Node } from "../graph.js";
import type { Axis, BufferSpec, Expr, Kernel, RefExpr, ScalarFn, Stage, Store } from "../kernel/ir.js";
import { pointCount } from "../kernel/points.js";
import type { ExprPool } from "../kernel/simplify.js";
import { axesOf } from "../kernel/simplify.js";
import { numel, strides } from "../shape.js";
import type { Group, LoopGroup, Member, SoloGroup } from "./loop-group.js";
import type { KernelInfo } from "./plan.js";
import { refsOf } from "./refs.js";

export interface KernelContext {
  /** Values that have a buffer. */
  readonly stored: ReadonlySet<number>;
  readonly slotOf: ReadonlyMap<number, number>;
  /** Node of each value. */
  readonly named: readonly Node[];
  /** Slot that an output shares with a leaf it overwrites. */
  readonly donorSlot: ReadonlyMap<number, number>;
}

export interface BuiltKernel {
  readonly kernel: Kernel;
  /** Slots of the plan, one a buffer of the kernel. */
  readonly slots: readonly number[];
  readonly ops: readonly string[];
}

/** Buffers of a kernel, in order of first use. */
class Buffers {
  readonly specs: { dtype: BufferSpec["dtype"]; length: number; access: BufferSpec["access"] }[] = [];
  readonly slots: number[] = [];

  constructor(private readonly ctx: KernelContext) {}

  use(value: number, access: "read" | "write"): number {
    const own = this.ctx.slotOf.get(value);
    if (own === undefined) throw new InternalError(`value ${value} has no buffer`);
    const slot = this.ctx.donorSlot.get(own) ?? own;
    const node = this.ctx.named[value];
    let at = this.slots.indexOf(slot);
    if (at < 0) {
      at = this.slots.length;
      this.slots.push(slot);
      this.specs.push({ dtype: node.dtype, length: numel(node.shape), access });
    } else if (this.specs[at].access !== access) this.specs[at].access = "readwrite";
    return at;
  }
}

function flatIndex(pool: ExprPool, node: Node, index: readonly Expr[]): Expr {
  const steps = strides(node.shape);
  return index.reduce((sum, e, i) => pool.add(sum, pool.mul(e, pool.int(steps[i]))), pool.int(0));
}

export function buildKernel(pool: ExprPool, group: Group, ctx: KernelContext): BuiltKernel {
  const buffers = new Buffers(ctx);
  const load = (ref: RefExpr, index: readonly Expr[]): Expr => {
    const node = ctx.named[ref.value];
    if (numel(node.shape) === 0) return pool.const(0, node.dtype);
    return pool.load(buffers.use(ref.value, "read"), flatIndex(pool, node, index), node.dtype, ref.guard);
  };
  return group.kind === "loops" ? buildLoops(pool, group, ctx, buffers, load) : buildLine(pool, group, ctx, buffers, load);
}

function buildLine(
  pool: ExprPool,
  group: SoloGroup,
  ctx: KernelContext,
  buffers: Buffers,
  load: (ref: RefExpr, index: readonly Expr[]) => Expr,
): BuiltKernel {
  const d = group.definition;
  if (d.kind !== "line") throw new InternalError("a host call is no kernel");
  const input = pool.rewrite(d.input, (e) => (e.op === "ref" ? load(e, e.index) : null));
  const buffer = buffers.use(d.value, "write");
  const store: Store = {
    buffer,
    axes: d.lineOut,
    index: flatIndex(pool, ctx.named[d.value], d.index),
    value: pool.acc(0, d.dtype),
    guard: null,
  };
  const rows = pointCount(d.outer);
  const kernel: Kernel = {
    kind: "template",
    name: `${d.template.name}_${rows}x${d.lineOut.map((axis) => axis.size).join("x")}`,
    template: d.template,
    buffers: buffers.specs,
    axes: d.outer,
    lineIn: d.lineIn,
    input,
    lineOut: d.lineOut,
    stores: [store],
  };
  return { kernel, slots: buffers.slots, ops: d.ops };
}

function buildLoops(
  pool: ExprPool,
  group: LoopGroup,
  ctx: KernelContext,
  buffers: Buffers,
  load: (ref: RefExpr, index: readonly Expr[]) => Expr,
): BuiltKernel {
  const resolved = new Map<number, { member: Member; expr: Expr }>();
  const stages: Stage[] = [];
  const resolve = (e: Expr): Expr =>
    pool.rewrite(e, (at) => {
      if (at.op !== "ref") return null;
      const here = resolved.get(at.value);
      return here === undefined ? load(at, at.index) : inPlace(pool, here.member, here.expr, at);
    });

  for (const member of neededMembers(group, ctx.stored)) {
    const d = member.definition;
    const expr = resolve(member.expr);
    if (d.kind === "reduce") {
      stages.push({ axes: member.reduceAxes, combine: d.combine, body: expr, structure: d.structure });
      resolved.set(d.value, { member, expr: pool.acc(stages.length - 1, d.dtype) });
    } else if (d.kind === "map") resolved.set(d.value, { member, expr });
    else resolved.set(-1 - resolved.size, { member, expr });
  }

  const stores: Store[] = [];
  for (const { member, expr } of resolved.values()) {
    const d = member.definition;
    if (d.kind !== "part" && !ctx.stored.has(d.value)) continue;
    const buffer = buffers.use(d.value, "write");
    stores.push({ buffer, axes: member.inner, index: flatIndex(pool, ctx.named[d.value], member.index), value: expr, guard: member.guard });
  }
  const ops: string[] = [];
  for (const member of group.members) for (const op of member.definition.ops) if (!ops.includes(op)) ops.push(op);
  const kernel: Kernel = { kind: "loops", name: kernelName(group, ops), buffers: buffers.specs, axes: group.axes, stages, stores };
  return { kernel, slots: buffers.slots, ops };
}

/** Members that are stored, or that such a member reads. */
function neededMembers(group: LoopGroup, stored: ReadonlySet<number>): Member[] {
  const wanted = new Set<number>();
  const out: Member[] = [];
  for (let i = group.members.length - 1; i >= 0; i--) {
    const member = group.members[i];
    const { kind, value } = member.definition;
    if (kind !== "part" && !stored.has(value) && !wanted.has(value)) continue;
    out.push(member);
    for (const read of refsOf(member.expr).keys()) wanted.add(read);
  }
  return out.reverse();
}

/** A value computed earlier in the same kernel, at the index where it is read: its row's axes take the index asked for. */
function inPlace(pool: ExprPool, member: Member, expr: Expr, ref: RefExpr): Expr {
  const guarded = (value: Expr): Expr =>
    ref.guard === null ? value : pool.where(ref.guard, pool.withGuard(value, ref.guard), pool.const(0, value.dtype));
  if (member.inner.length === 0) return guarded(expr);
  const map = new Map<Axis, Expr>();
  member.index.forEach((there, i) => {
    if (there.op === "axis" && member.inner.includes(there.axis)) map.set(there.axis, ref.index[i]);
  });
  if (map.size !== member.inner.length) throw new InternalError("a row is read at an index that cannot be solved for");
  return guarded(pool.substitute(expr, map));
}

function kernelName(group: LoopGroup, ops: readonly string[]): string {
  const main = group.members.find((m) => m.definition.kind === "reduce");
  const dims = group.axes.map((axis) => axis.size);
  const reduce = main === undefined ? [] : main.reduceAxes.map((axis) => axis.size);
  const first = main?.definition.kind === "reduce" ? (main.definition.structure ?? main.definition.node.op.name) : "map";
  const shown = ops.filter((op) => op !== first).slice(0, 5);
  return [first, [...dims, ...reduce].join("x") || "1", ...shown].join("_");
}

const FREE: ReadonlySet<ScalarFn> = new Set<ScalarFn>(["where", "cast", "and", "or", "not", "lt", "le", "gt", "ge", "eq", "ne", "isNaN"]);

function countFlops(e: Expr, seen: Set<Expr>): number {
  if (seen.has(e) || e.op !== "call") return 0;
  seen.add(e);
  const own = e.dtype === "int32" || e.dtype === "bool" || FREE.has(e.fn) ? 0 : 1;
  return e.args.reduce((n, arg) => n + countFlops(arg, seen), own);
}

const points = (axes: Iterable<Axis>): number => {
  let n = 1;
  for (const axis of axes) n *= axis.size;
  return n;
};

/** Work and traffic of a kernel, for profiles: a function of the kernel alone. */
export function kernelInfo(kernel: Kernel, ops: readonly string[], group: Group): KernelInfo {
  const outer = points(kernel.axes);
  let flops = 0;
  if (kernel.kind === "template") {
    const n = points(kernel.lineOut);
    flops = outer * (kernel.template.name === "scan" ? n : 2.5 * n * Math.log2(Math.max(2, n)));
  } else {
    for (const stage of kernel.stages) flops += outer * points(stage.axes) * (countFlops(stage.body, new Set()) + 1);
    const seen = new Set<Expr>();
    for (const store of kernel.stores) {
      const used = axesOf(store.value);
      const each = store.axes.length > 0 && store.axes.some((axis) => used.has(axis)) ? points(store.axes) : 1;
      flops += outer * each * countFlops(store.value, seen);
    }
  }
  const bytes = bytesOf(kernel.buffers) + bytesOf(kernel.buffers.filter(({ access }) => access === "readwrite"));
  const nodes = group.kind === "solo" ? [group.definition.node] : group.members.map((m) => m.definition.node);
  return { ops, modules: [...new Set(nodes.map((n) => n.module).filter((m) => m !== ""))], flops, bytes };
}
