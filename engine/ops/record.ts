/** One record an operation: name, rule of shapes and dtypes, gradient, lowering, samples, documentation. */
import type { DType } from "../dtype.js";
import { InternalError } from "../errors.js";
import type { Combine, Expr, Structure, Template } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import type { Shape } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** Attributes are JSON data (numbers may be ±Infinity or NaN); they are part of a plan's key, so nothing that varies per step belongs here. */
export type Attrs = Readonly<Record<string, unknown>>;

export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a lowering sees of its node. */
export interface LowerContext<A extends Attrs = Attrs> {
  readonly pool: ExprPool;
  readonly attrs: A;
  readonly inputs: readonly Spec[];
  readonly output: Spec;
  /** The value of input `i` at an index (one int32 expression a dim). A guard says where the index is valid; elsewhere the value is 0. */
  input(i: number, index: readonly Expr[], guard?: Expr | null): Expr;
}

/**
 * How an operation becomes kernel IR. The scheduler knows these kinds and no operation by name.
 * - leaf: has a value, or an expression of its index alone (iota, constants).
 * - elementwise: inputs have the output's shape; a scalar expression.
 * - view: an index rewrite, with a guard and a fill value where the index leaves the input.
 * - gather: a value at an index that depends on data.
 * - reduce: a body over reduction axes; `repeats(i)` tells whether input i's elements are read many times, so that work is not inlined there.
 * - concat: inputs stored side by side along `attrs.dim`.
 * - line: a template along the last `lineDims` dims of input 0; `slow` is its definition.
 * - composite: `slow` alone.
 * - host: a named function on the host (`hostCall`).
 */
export type Lowering<A extends Attrs = Attrs> =
  | { readonly kind: "leaf"; readonly value?: (ctx: LowerContext<A>, index: readonly Expr[]) => Expr }
  | { readonly kind: "elementwise"; readonly expr: (pool: ExprPool, args: readonly Expr[], attrs: A, dtype: DType) => Expr }
  | {
      readonly kind: "view";
      readonly index: (ctx: LowerContext<A>, out: readonly Expr[]) => { index: readonly Expr[]; guard?: Expr | null; fill?: number };
    }
  | { readonly kind: "gather"; readonly value: (ctx: LowerContext<A>, out: readonly Expr[]) => Expr }
  | {
      readonly kind: "reduce";
      readonly combine: Combine | ((attrs: A) => Combine);
      readonly structure: Structure | null;
      readonly axes: (ctx: Pick<LowerContext<A>, "attrs" | "inputs" | "output">) => readonly number[];
      readonly body: (ctx: LowerContext<A>, out: readonly Expr[], reduce: readonly Expr[]) => Expr;
      readonly repeats: (input: number) => boolean;
      /** The result is compared with the input's elements elsewhere, so all readers must see the very numbers that are stored, equally rounded. */
      readonly exact?: boolean;
    }
  | { readonly kind: "concat" }
  | {
      readonly kind: "line";
      readonly template: (attrs: A, inputs: readonly Spec[]) => Template;
      readonly lineDimsIn: number;
      readonly lineDimsOut: number;
      readonly slow: (inputs: readonly Tensor[], attrs: A) => Tensor;
    }
  | { readonly kind: "composite"; readonly slow: (inputs: readonly Tensor[], attrs: A) => Tensor }
  | { readonly kind: "host" };

export interface GradContext<A extends Attrs = Attrs> {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  /** Gradient of the output: its shape and dtype. */
  readonly grad: Tensor;
  readonly attrs: A;
  /** Whether input i needs a gradient; a rule may return null where it is false. */
  needs(i: number): boolean;
}

/** Returns one gradient an input, of the input's shape and dtype, or null for none. It neither accumulates nor undoes broadcasting. */
export type GradRule<A extends Attrs = Attrs> = (ctx: GradContext<A>) => readonly (Tensor | null)[];

/** Written out where there is no gradient: integers, comparisons, indices. */
export const nonDifferentiable = "nonDifferentiable" as const;
/** The gradient is that of the slow definition. */
export const throughSlow = "throughSlow" as const;

/** Inputs and attributes that tests try. `range` keeps off kinks and poles. */
export interface Sample<A extends Attrs = Attrs> {
  readonly shapes: readonly Shape[];
  readonly attrs?: A;
  readonly range?: readonly [number, number];
  readonly dtypes?: readonly DType[];
  /** Exact input values, e.g. valid indices, in place of random ones. */
  readonly data?: readonly (readonly number[] | null)[];
}

export interface OpRecord<A extends Attrs = Attrs> {
  readonly name: string;
  /** One sentence or two; formulas welcome. */
  readonly doc: string;
  /** PyTorch's name, or the paper or specification. */
  readonly reference: string;
  /** Shape and dtype of the output; throws OpError. */
  readonly infer: (inputs: readonly Spec[], attrs: A) => Spec;
  readonly lower: Lowering<A>;
  readonly grad: GradRule<A> | typeof nonDifferentiable | typeof throughSlow;
  readonly samples: readonly Sample<A>[];
  /** The int32 input whose values must lie in 0 to `attrs.size - 1`; where `attrs.checked` is false the device checks them. */
  readonly indexInput?: number;
  /** For `explain` and the fusion rules: cost of one element in additions (default 1). */
  readonly cost?: number;
}

const table = new Map<string, OpRecord>();

/** Adds an operation to the table and returns its record. */
/* @__NO_SIDE_EFFECTS__ */
export function defineOp<A extends Attrs>(record: OpRecord<A>): OpRecord<A> {
  if (table.has(record.name)) throw new InternalError(`operation ${record.name} is defined twice`);
  table.set(record.name, record as unknown as OpRecord);
  return record;
}

/** Every operation, by name, in order of definition. */
export const opTable: ReadonlyMap<string, OpRecord> = table;
