/**
 * The kernel IR: what a kernel computes, as plain immutable data.
 *
 * Four nouns: an *axis* is a loop, an *expression* a typed scalar, a *stage* a reduction, a *store* a result. Expressions are made by
 * an {@link ExprPool} (`simplify.ts`), which interns them (equal expressions are the same object) and simplifies as it builds.
 */
import type { DType } from "../dtype.js";

/** A loop from 0 to `size - 1`. Axes are compared by `id`. */
export interface Axis {
  readonly id: number;
  readonly name: string;
  readonly size: number;
}

/**
 * Scalar functions, with the dtypes they take:
 * - arithmetic on floats or int32 (int32 wraps): add sub mul neg abs min max sign; float only: div pow
 *   (`min`/`max` propagate NaN; `sign` of NaN is 0; `pow` as IEEE; `div` by zero gives infinity or NaN);
 * - int32 only: idiv mod (both floor, as Python's; by zero gives 0), shl shr (logical; counts modulo 32), bitAnd bitOr bitXor;
 * - float only: rem (IEEE fmod: exact, the sign of the first; NaN of an infinity and by 0), sqrt exp log log1p expm1 sin cos tan asin acos atan sinh cosh tanh erf floor ceil round (half to even) trunc;
 * - comparisons, any one dtype → bool (NaN compares false, `ne` true): eq ne lt le gt ge; isNaN float → bool;
 * - bool: and or xor not;
 * - where(bool, a, b): only the chosen branch matters; cast: to the expression's dtype (float → int truncates toward zero, saturates,
 *   NaN → 0; anything → bool is `≠ 0`, NaN is true);
 * - threefry(key0, key1, counter0, counter1) → int32: first word of Threefry-2x32-20.
 */
export type ScalarFn =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "neg"
  | "abs"
  | "min"
  | "max"
  | "sign"
  | "pow"
  | "rem"
  | "idiv"
  | "mod"
  | "shl"
  | "shr"
  | "bitAnd"
  | "bitOr"
  | "bitXor"
  | "sqrt"
  | "exp"
  | "log"
  | "log1p"
  | "expm1"
  | "sin"
  | "cos"
  | "tan"
  | "asin"
  | "acos"
  | "atan"
  | "sinh"
  | "cosh"
  | "tanh"
  | "erf"
  | "floor"
  | "ceil"
  | "round"
  | "trunc"
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "isNaN"
  | "and"
  | "or"
  | "xor"
  | "not"
  | "where"
  | "cast"
  | "threefry";

interface ExprBase {
  /** Unique within its pool; equal expressions of a pool have equal ids. */
  readonly id: number;
  readonly dtype: DType;
  /** Bounds of an int32 expression over all axis values (±Infinity where unknown); used to simplify and to verify. */
  readonly lo: number;
  readonly hi: number;
  /** All that it depends on. */
  readonly axes: ReadonlySet<Axis>;
}
export interface ConstExpr extends ExprBase {
  readonly op: "const";
  readonly value: number;
}
export interface AxisExpr extends ExprBase {
  readonly op: "axis";
  readonly axis: Axis;
}
/** Element `index` of a buffer. With a guard: 0 (or false) where the guard is false, and the buffer is not touched. */
export interface LoadExpr extends ExprBase {
  readonly op: "load";
  readonly buffer: number;
  readonly index: Expr;
  readonly guard: Expr | null;
}
/** Only while scheduling: a value of the plan at a multi-dimensional index; becomes a load, or an expression of its kernel. */
export interface RefExpr extends ExprBase {
  readonly op: "ref";
  readonly value: number;
  readonly index: readonly Expr[];
  readonly guard: Expr | null;
}
/** The result of the kernel's stage number `stage`; in a template kernel's stores, stage 0 is the transformed line's element. */
export interface AccExpr extends ExprBase {
  readonly op: "acc";
  readonly stage: number;
}
export interface CallExpr extends ExprBase {
  readonly op: "call";
  readonly fn: ScalarFn;
  readonly args: readonly Expr[];
}
export type Expr = ConstExpr | AxisExpr | LoadExpr | RefExpr | AccExpr | CallExpr;

export interface BufferSpec {
  readonly dtype: DType;
  /** In elements, exactly. */
  readonly length: number;
  /**
   * "write": elements that no store names keep their contents (a concatenation is written by several kernels).
   * "readwrite": an element is loaded only where it is stored, at the same point and step of the store's own axes; all loads there come before
   * the stores.
   */
  readonly access: "read" | "write" | "readwrite";
}

export type Combine = "add" | "mul" | "max" | "min";

/** What a stage is known to be, for backends that have a hand-written schedule for it. The loops alone define the result. */
export type Structure = "matmul" | "conv2d" | "conv2dInputGrad" | "conv2dWeightGrad" | "row";

/**
 * A reduction over `axes`, run once for each point of the kernel's parallel axes. `body` may use the results of earlier stages.
 * Accumulates in the body's dtype or better, in the order of the axes, last axis fastest. An empty range gives the identity of `combine`.
 * Consecutive stages over the same axes that do not use one another may share a loop.
 */
export interface Stage {
  readonly axes: readonly Axis[];
  readonly combine: Combine;
  readonly body: Expr;
  readonly structure: Structure | null;
}

/**
 * One result: for each point of the kernel's parallel axes, and within it of the store's own `axes`, writes `value` at `index`
 * where `guard` is true or absent. All stores of a kernel together write no element twice.
 */
export interface Store {
  readonly buffer: number;
  readonly axes: readonly Axis[];
  readonly index: Expr;
  readonly value: Expr;
  readonly guard: Expr | null;
}

/** Loops: for each point of `axes`, the stages in order, then the stores. */
export interface LoopKernel {
  readonly kind: "loops";
  /** Speaking and unique enough for a profile: `matmul_3136x384_bias_gelu`. */
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  readonly axes: readonly Axis[];
  readonly stages: readonly Stage[];
  readonly stores: readonly Store[];
}

/** Line transforms: a line is read through a hole, transformed as a whole, and written through a hole. */
export type Template =
  /** Running sum along the line, in order; `reverse` from the end. */
  | { readonly name: "scan"; readonly combine: "add"; readonly reverse: boolean; readonly length: number }
  /** Complex to complex, unnormalised: X_k = Σ_j x_j e^(sign 2πi jk/n). lineIn [n,2], lineOut [n,2]. */
  | { readonly name: "fft"; readonly n: number; readonly sign: -1 | 1 }
  /** Real to half-complex, unnormalised, sign -1. lineIn [n], lineOut [n/2+1, 2]. */
  | { readonly name: "rfft"; readonly n: number }
  /** Half-complex to real, unnormalised, sign +1; imaginary parts of bins 0 and n/2 ignored. lineIn [n/2+1, 2], lineOut [n]. */
  | { readonly name: "irfft"; readonly n: number };

/**
 * A line template: for each point of `axes`, gather the line through `input` (an expression of `axes` and `lineIn`), transform it, and
 * run the stores over `lineOut` (whose `acc` of stage 0 is the transformed element). Store `axes` are `lineOut`.
 */
export interface TemplateKernel {
  readonly kind: "template";
  readonly name: string;
  readonly template: Template;
  readonly buffers: readonly BufferSpec[];
  readonly axes: readonly Axis[];
  readonly lineIn: readonly Axis[];
  readonly input: Expr;
  readonly lineOut: readonly Axis[];
  readonly stores: readonly Store[];
}

/** Loops within a point of a chain, as those of a {@link LoopKernel}; they may load and store the chain's locals, too. */
export interface ChainPart extends Pick<LoopKernel, "axes" | "stages" | "stores"> {
  /**
   * Its one stage is a sum that goes on along the chain's last axis. Its one store, of that sum as it is, counts once the axis is through; its
   * place does not depend on that axis.
   */
  readonly sums: boolean;
}

/**
 * Loops one after the other for each point of `axes`, which hand values on through *locals*: arrays of each point's own, numbered after the
 * buffers. So a row of attention's scores is made, normalised and used up, and all of them together have no place in memory.
 */
export interface ChainKernel {
  readonly kind: "chain";
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  readonly locals: readonly BufferSpec[];
  readonly axes: readonly Axis[];
  readonly parts: readonly ChainPart[];
}

/** What the scheduler makes. */
export type Kernel = LoopKernel | TemplateKernel;
/** What devices run: chains are made of loops by the backend that asks for them. */
export type AnyKernel = Kernel | ChainKernel;
