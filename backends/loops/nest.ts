/** A kernel's loops as backends rewrite them before they are printed. */
import { postorder, sumOf } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoopKernel, Stage, Store } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { nodesOf } from "./walk.js";

/** For each point of `axes` the stages, then the stores, as in a {@link LoopKernel}. */
export interface Nest {
  readonly axes: readonly Axis[];
  readonly stages: readonly Stage[];
  readonly stores: readonly Store[];
}

/** Copies expressions into a pool of this backend's own, where it may make new ones. Axes of one step disappear. */
export class Importer {
  private readonly axes = new Map<Axis, Axis>();
  private readonly known = new Map<Expr, Expr>();

  constructor(readonly pool: ExprPool) {}

  axis(axis: Axis): Axis {
    let own = this.axes.get(axis);
    if (own === undefined) {
      own = this.pool.newAxis(axis.name, axis.size);
      this.axes.set(axis, own);
    }
    return own;
  }

  list(axes: readonly Axis[]): readonly Axis[] {
    return axes.filter((axis) => axis.size !== 1).map((axis) => this.axis(axis));
  }

  expr(e: Expr): Expr {
    for (const node of postorder(e, (below) => this.known.has(below))) this.known.set(node, this.copy(node));
    return this.own(e);
  }

  private own(e: Expr): Expr {
    return this.known.get(e) as Expr;
  }

  /** Of an expression whose operands are copied. */
  private copy(e: Expr): Expr {
    switch (e.op) {
      case "const":
        return this.pool.const(e.value, e.dtype);
      case "axis":
        return this.pool.axis(this.axis(e.axis));
      case "load":
        return this.pool.load(e.buffer, this.own(e.index), e.dtype, e.guard && this.own(e.guard));
      case "ref":
        return this.pool.ref(
          e.value,
          e.index.map((part) => this.own(part)),
          e.dtype,
          e.guard && this.own(e.guard),
        );
      case "acc":
        return this.pool.acc(e.stage, e.dtype);
      case "call":
        return this.pool.call(
          e.fn,
          e.args.map((arg) => this.own(arg)),
          e.dtype,
        );
    }
  }

  store(store: Store): Store {
    return {
      buffer: store.buffer,
      axes: this.list(store.axes),
      index: this.expr(store.index),
      value: this.expr(store.value),
      guard: store.guard && this.expr(store.guard),
    };
  }

  nest(kernel: Pick<LoopKernel, "axes" | "stages" | "stores">): Nest {
    return {
      axes: this.list(kernel.axes),
      stages: kernel.stages.map((stage) => ({ ...stage, axes: this.list(stage.axes), body: this.expr(stage.body) })),
      stores: kernel.stores.map((store) => this.store(store)),
    };
  }
}

export const storeExprs = (store: Store): readonly Expr[] =>
  store.guard === null ? [store.index, store.value] : [store.index, store.value, store.guard];

const nestExprs = (nest: Nest): readonly Expr[] => [...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)];

/** The nest with every expression replaced; axes lists are left to the caller. */
export function mapExprs(nest: Nest, fn: (e: Expr) => Expr): Nest {
  return {
    axes: nest.axes,
    stages: nest.stages.map((stage) => ({ ...stage, body: fn(stage.body) })),
    stores: nest.stores.map((store) => ({
      ...store,
      index: fn(store.index),
      value: fn(store.value),
      guard: store.guard && fn(store.guard),
    })),
  };
}

const axisLists = (nest: Nest): (readonly Axis[])[] => [
  nest.axes,
  ...nest.stages.map((stage) => stage.axes),
  ...nest.stores.map((store) => store.axes),
];

/** Two neighbouring axes as one, where all indices go through both in one stride: [n, c, h, w] of a pointwise convolution is [n, c, hw]. */
export function mergeAxes(pool: ExprPool, nest: Nest): Nest {
  let current = nest;
  for (let merged: Nest | null = current; merged !== null; ) {
    current = merged;
    merged = mergeOnce(pool, current);
  }
  return current;
}

function mergeOnce(pool: ExprPool, nest: Nest): Nest | null {
  const lists = axisLists(nest);
  const tried = new Set<Axis>();
  for (const list of lists) {
    for (let i = 0; i + 1 < list.length; i++) {
      const [outer, inner] = [list[i], list[i + 1]];
      if (tried.has(outer)) continue;
      tried.add(outer);
      const together = lists.every((other) => {
        const at = other.indexOf(outer);
        return at === -1 ? !other.includes(inner) : other[at + 1] === inner;
      });
      const result = together && mergePair(pool, nest, outer, inner);
      if (result) return result;
    }
  }
  return null;
}

/** Whether a step of `outer` is as far as all of `inner`; a quick test that is right for affine indices. */
function isContiguous(index: Expr, outer: Axis, inner: Axis): boolean {
  const strideOf = (axis: Axis): number =>
    sumOf(index).terms.find(({ factor }) => factor.op === "axis" && factor.axis === axis)?.coefficient ?? 0;
  return strideOf(outer) === strideOf(inner) * inner.size;
}

function mergePair(pool: ExprPool, nest: Nest, outer: Axis, inner: Axis): Nest | null {
  for (const e of nodesOf(nestExprs(nest))) if (e.op === "load" && !isContiguous(e.index, outer, inner)) return null;
  for (const store of nest.stores) if (!isContiguous(store.index, outer, inner)) return null;
  const both = pool.newAxis(`${outer.name}${inner.name}`, outer.size * inner.size);
  if (both.size >= 2 ** 31 || both.size === 0) return null;
  const whole = pool.axis(both);
  const map = new Map([
    [outer, pool.idiv(whole, pool.int(inner.size))],
    [inner, pool.mod(whole, pool.int(inner.size))],
  ]);
  const result = mapExprs(nest, (e) => pool.substitute(e, map));
  const divides = (e: Expr): boolean => e.op === "call" && (e.fn === "idiv" || e.fn === "mod") && axesOf(e).has(both);
  for (const e of nodesOf(nestExprs(result))) if (divides(e)) return null;
  const replaced = (axes: readonly Axis[]): readonly Axis[] =>
    axes.filter((axis) => axis !== inner).map((axis) => (axis === outer ? both : axis));
  return {
    axes: replaced(result.axes),
    stages: result.stages.map((stage) => ({ ...stage, axes: replaced(stage.axes) })),
    stores: result.stores.map((store) => ({ ...store, axes: replaced(store.axes) })),
  };
}
