/**
 * The definition of each value: its axes and the expression of one element, in terms of other values (`ref`). Everything inlined is pulled
 * in here: views rewrite the index, elementwise operations apply to what they pull.
 */
import type { DType } from "../dtype.js";
import { InternalError } from "../errors.js";
import type { Node } from "../graph.js";
import type { Axis, Combine, Expr, Structure, Template } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import type { LowerContext } from "../ops/record.js";
import type { Shape } from "../shape.js";
import type { Values } from "./values.js";

interface DefinitionBase {
  /** Number of the value; refs name it. */
  readonly value: number;
  readonly node: Node;
  readonly shape: Shape;
  readonly dtype: DType;
  /** One a dim; dims of size 1 have none. */
  readonly axes: readonly Axis[];
  /** Index of the element, one expression a dim. */
  readonly index: readonly Expr[];
  /** Operations computed here, in order: for names and `explain`. */
  readonly ops: readonly string[];
}
export interface MapDefinition extends DefinitionBase {
  readonly kind: "map";
  readonly expr: Expr;
}
export interface ReduceDefinition extends DefinitionBase {
  readonly kind: "reduce";
  readonly reduceAxes: readonly Axis[];
  readonly combine: Combine;
  readonly body: Expr;
  readonly structure: Structure | null;
}
export interface LineDefinition extends DefinitionBase {
  readonly kind: "line";
  readonly template: Template;
  readonly outer: readonly Axis[];
  readonly lineIn: readonly Axis[];
  readonly input: Expr;
  readonly lineOut: readonly Axis[];
}
/** One operand of a concatenation: stored into its part of the whole. `value` is the whole's number. */
export interface PartDefinition extends DefinitionBase {
  readonly kind: "part";
  readonly expr: Expr;
  /** Where the element goes in the whole. */
  readonly target: readonly Expr[];
}
export interface HostDefinition extends DefinitionBase {
  readonly kind: "host";
  readonly inputs: readonly number[];
}
export type Definition = MapDefinition | ReduceDefinition | LineDefinition | PartDefinition | HostDefinition;

export interface DefineInput {
  readonly pool: ExprPool;
  readonly nodes: readonly Node[];
  readonly values: Values;
  /** Numbers of values: leaves with data, and value nodes. */
  readonly number: ReadonlyMap<Node, number>;
}

export function defineValues(input: DefineInput): Definition[] {
  const out: Definition[] = [];
  for (const node of input.nodes) {
    if (node.value === null && input.values.isValue.has(node)) out.push(...new Definer(input).define(node));
  }
  return out;
}

class Definer {
  private readonly memo = new Map<string, Expr>();
  private readonly ops: string[] = [];
  private readonly seen = new Set<Node>();
  private absorbing: Axis[] | null = null;

  constructor(private readonly plan: DefineInput) {}

  define(node: Node): Definition[] {
    const { pool } = this.plan;
    const lower = node.op.lower;
    if (lower.kind === "concat") return this.parts(node);
    const axes: Axis[] = [];
    const index = node.shape.map((size, dim) => {
      if (size === 1) return pool.int(0);
      const axis = pool.newAxis(axisName(dim, node.shape.length), size);
      axes.push(axis);
      return pool.axis(axis);
    });
    const base = { value: this.valueOf(node), node, shape: node.shape, dtype: node.dtype, axes, index, ops: this.ops };
    if (lower.kind === "host") return [{ ...base, kind: "host", inputs: node.inputs.map((input) => this.valueOf(input)) }];
    if (lower.kind === "reduce") {
      this.note(node);
      const ctx = this.context(node, null);
      const reduceAxes: Axis[] = [];
      const reduce = lower.axes(ctx).map((size, i) => {
        if (size === 1) return pool.int(0);
        const axis = pool.newAxis(reduceName(i), size);
        reduceAxes.push(axis);
        return pool.axis(axis);
      });
      this.absorbing = reduceAxes;
      const body = lower.body(ctx, index, reduce);
      this.absorbing = null;
      const combine = typeof lower.combine === "function" ? lower.combine(node.attrs) : lower.combine;
      const structure = lower.structure ?? this.absorbedStructure;
      return [{ ...base, kind: "reduce", reduceAxes, combine, body, structure }];
    }
    if (lower.kind === "line") return [this.line(node, base)];
    return [{ ...base, kind: "map", expr: this.expand(node, index, null) }];
  }

  private absorbedStructure: Structure | null = null;

  private line(node: Node, base: DefinitionBase): LineDefinition {
    const { pool } = this.plan;
    const lower = node.op.lower;
    if (lower.kind !== "line") throw new InternalError("line expected");
    this.note(node);
    const source = node.inputs[0];
    const outerRank = node.shape.length - lower.lineDimsOut;
    const outerIndex = base.index.slice(0, outerRank);
    const lineAxes = (shape: readonly number[], count: number, name: string): Axis[] =>
      shape.slice(shape.length - count).map((size, i) => pool.newAxis(`${name}${i}`, size));
    const lineIn = lineAxes(source.shape, lower.lineDimsIn, "j");
    const lineOut = lineAxes(node.shape, lower.lineDimsOut, "k");
    const index = [...outerIndex, ...lineOut.map((axis) => pool.axis(axis))];
    const input = this.pull(source, [...outerIndex, ...lineIn.map((axis) => pool.axis(axis))], null);
    const outer = base.axes.filter((axis) => outerIndex.some((e) => e.op === "axis" && e.axis === axis));
    return {
      ...base,
      kind: "line",
      index,
      axes: [...outer, ...lineOut],
      outer,
      lineIn,
      lineOut,
      input,
      template: lower.template(node.attrs, node.inputs),
    };
  }

  private parts(node: Node): PartDefinition[] {
    const { pool } = this.plan;
    const dim = node.attrs.dim as number;
    let offset = 0;
    return node.inputs.map((source) => {
      const definer = new Definer(this.plan);
      const axes: Axis[] = [];
      const index = source.shape.map((size, d) => {
        if (size === 1) return pool.int(0);
        const axis = pool.newAxis(axisName(d, source.shape.length), size);
        axes.push(axis);
        return pool.axis(axis);
      });
      const target = index.map((e, d) => (d === dim ? pool.add(e, pool.int(offset)) : e));
      offset += source.shape[dim];
      definer.note(node);
      const expr = definer.pull(source, index, null);
      return {
        kind: "part",
        value: this.valueOf(node),
        node,
        shape: source.shape,
        dtype: node.dtype,
        axes,
        index,
        ops: definer.ops,
        expr,
        target,
      };
    });
  }

  private valueOf(node: Node): number {
    const value = this.plan.number.get(node);
    if (value === undefined) throw new InternalError(`${node.op.name} has no number in the plan`);
    return value;
  }

  private note(node: Node): void {
    if (this.seen.has(node)) return;
    this.seen.add(node);
    if (node.op.lower.kind !== "view" && node.op.lower.kind !== "leaf") this.ops.push(node.op.name);
  }

  private pull(node: Node, index: readonly Expr[], guard: Expr | null): Expr {
    const number = this.plan.number.get(node);
    if (number !== undefined) return this.plan.pool.ref(number, index, node.dtype, guard);
    const key = `${node.id}:${index.map((e) => e.id).join(",")}:${guard?.id ?? ""}`;
    let expr = this.memo.get(key);
    if (expr === undefined) {
      expr = this.expand(node, index, guard);
      this.memo.set(key, expr);
    }
    return expr;
  }

  private context(node: Node, guard: Expr | null): LowerContext {
    const pool = this.plan.pool;
    return {
      pool,
      attrs: node.attrs,
      inputs: node.inputs,
      output: node,
      input: (i, index, extra) => {
        if (!extra) return this.pull(node.inputs[i], index, guard);
        const value = this.pull(node.inputs[i], index, guard === null ? extra : pool.and(guard, extra));
        // Views on the way may have filled in something else than zero where the guard is false.
        return pool.where(extra, value, pool.const(0, value.dtype));
      },
    };
  }

  private expand(node: Node, index: readonly Expr[], guard: Expr | null): Expr {
    const { pool } = this.plan;
    const lower = node.op.lower;
    switch (lower.kind) {
      case "leaf":
        if (lower.value === undefined) throw new InternalError(`${node.op.name} has neither a value nor an expression`);
        return lower.value(this.context(node, guard), index);
      case "elementwise": {
        const args = node.inputs.map((input) => this.pull(input, index, guard));
        this.note(node);
        return lower.expr(pool, args, node.attrs, node.dtype);
      }
      case "view": {
        const at = lower.index(this.context(node, guard), index);
        const inside = at.guard ?? null;
        const both = inside === null ? guard : guard === null ? inside : pool.and(guard, inside);
        const value = this.pull(node.inputs[0], at.index, both);
        this.note(node);
        return inside === null ? value : pool.where(inside, value, pool.const(at.fill ?? 0, node.dtype));
      }
      case "gather": {
        const value = lower.value(this.context(node, guard), index);
        this.note(node);
        return value;
      }
      case "reduce": {
        if (this.absorbing === null || !this.plan.values.absorbed.has(node)) throw new InternalError(`${node.op.name} cannot be inlined`);
        const ctx = this.context(node, guard);
        const into = this.absorbing;
        const reduce = lower.axes(ctx).map((size, i) => {
          if (size === 1) return pool.int(0);
          const axis = pool.newAxis(`${reduceName(i)}${into.length}`, size);
          into.push(axis);
          return pool.axis(axis);
        });
        this.absorbedStructure ??= lower.structure;
        const body = lower.body(ctx, index, reduce);
        this.note(node);
        return body;
      }
      default:
        throw new InternalError(`${node.op.name} (${lower.kind}) cannot be inlined`);
    }
  }
}

const axisName = (dim: number, rank: number): string =>
  rank <= 4 ? ["n", "c", "h", "w"].slice(rank === 4 ? 0 : 4 - rank)[dim] : `i${dim}`;
const reduceName = (i: number): string => ["k", "r", "s", "t"][i] ?? `r${i}`;
