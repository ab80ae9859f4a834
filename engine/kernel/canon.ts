/**
 * Kernels by what they compute, independent of the order in which a pool happened to make their expressions: what commutes is sorted by
 * structure, and axes go by their names or positions.
 */
import type { DType } from "../dtype.js";
import { affine, flatten, type Term } from "./affine.js";
import type { AnyKernel, Axis, CallExpr, Expr, ScalarFn } from "./ir.js";

const commutative: ReadonlySet<ScalarFn> = new Set<ScalarFn>(["mul", "min", "max", "bitAnd", "bitOr", "bitXor", "xor", "eq", "ne"]);

/** A constant such that its dtype can be told: `2`, `2.0`, `2.0d`, `true`. */
export function constantText(value: number, dtype: DType): string {
  if (dtype === "bool") return value === 0 ? "false" : "true";
  if (dtype === "int32") return String(value);
  const digits = Object.is(value, -0) ? "-0" : String(value);
  return (/^-?\d+$/.test(digits) ? `${digits}.0` : digits) + (dtype === "float64" ? "d" : "");
}

/** Mixes two 32-bit numbers (after MurmurHash3). Collisions cost no more than the order of two operands. */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ (b + 0x9e3779b9), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

function hashText(text: string): number {
  let h = text.length;
  for (let i = 0; i < text.length; i++) h = mix(h, text.charCodeAt(i));
  return h;
}

/** An integer compared with a constant, with its sign chosen by structure. */
export interface Comparison {
  readonly fn: ScalarFn;
  readonly terms: readonly Term[];
  readonly limit: number;
}

/** What an expression is, without its parts, and its parts in an order of their own. Parts that are no terms of a sum have coefficient 1. */
export interface Parts {
  readonly label: string;
  readonly terms: readonly Term[];
}

const plain = (parts: readonly Expr[]): readonly Term[] => parts.map((factor) => ({ coefficient: 1, factor }));

export class Canon {
  private readonly digests = new Map<Expr, number>();

  constructor(private readonly axis: (axis: Axis) => string | number) {}

  /** Label and parts tell everything of an expression. */
  parts(e: Expr): Parts {
    switch (e.op) {
      case "const":
        return { label: constantText(e.value, e.dtype), terms: [] };
      case "axis":
        return { label: `axis ${this.axis(e.axis)}`, terms: [] };
      case "acc":
        return { label: `acc ${e.stage} ${e.dtype}`, terms: [] };
      case "load":
        return { label: `load ${e.buffer} ${e.dtype}`, terms: plain(e.guard === null ? [e.index] : [e.index, e.guard]) };
      case "ref":
        return { label: `ref ${e.value} ${e.dtype} ${e.guard !== null}`, terms: plain(e.guard === null ? e.index : [...e.index, e.guard]) };
      case "call": {
        const comparison = this.comparison(e);
        if (comparison !== null) return { label: `${comparison.fn} ${comparison.limit}`, terms: this.sortedTerms(comparison.terms) };
        const sum = isSum(e) ? affine(e) : null;
        if (sum !== null) return { label: `sum ${sum.constant}`, terms: this.sortedTerms(sum.terms) };
        return { label: `${e.fn} ${e.dtype}`, terms: plain(this.arguments(e)) };
      }
    }
  }

  /** Operands, sorted where their order means nothing. Floats keep it: they are rounded in that order. */
  arguments(e: CallExpr): readonly Expr[] {
    if (e.fn === "and" || e.fn === "or") return this.sorted(flatten(e, e.fn));
    if (commutative.has(e.fn) && (e.args[0].dtype === "int32" || e.args[0].dtype === "bool")) return this.sorted(e.args);
    return e.args;
  }

  private sorted(operands: readonly Expr[]): readonly Expr[] {
    return [...operands].sort((a, b) => Number(a.op === "const") - Number(b.op === "const") || this.digest(a) - this.digest(b));
  }

  /** Largest coefficients first, as in a row-major index. */
  sortedTerms(terms: readonly Term[]): readonly Term[] {
    return [...terms].sort((a, b) => b.coefficient - a.coefficient || this.digest(a.factor) - this.digest(b.factor));
  }

  /** The pool makes the coefficient of its oldest factor positive; here, that of the largest or else the smallest digest. */
  comparison(e: CallExpr): Comparison | null {
    const [left, right] = e.args;
    const signed = e.fn === "lt" || e.fn === "ge" || e.fn === "eq" || e.fn === "ne";
    if (!signed || left.dtype !== "int32" || right.op !== "const" || left.op !== "call" || !isSum(left)) return null;
    const sum = affine(left);
    // A sum with a constant or without bounds is compared as it stands.
    if (sum === null || sum.constant !== 0 || sum.terms.length === 0 || !Number.isFinite(left.lo)) return null;
    const [first] = [...sum.terms].sort(
      (a, b) => Math.abs(b.coefficient) - Math.abs(a.coefficient) || this.digest(a.factor) - this.digest(b.factor),
    );
    if (first.coefficient > 0) return { fn: e.fn, terms: sum.terms, limit: right.value };
    const terms = sum.terms.map(({ coefficient, factor }) => ({ coefficient: -coefficient, factor }));
    if (e.fn === "eq" || e.fn === "ne") return { fn: e.fn, terms, limit: -right.value };
    return { fn: e.fn === "lt" ? "ge" : "lt", terms, limit: 1 - right.value };
  }

  /** A hash of the structure below, which knows no ids. */
  private digest(e: Expr): number {
    let digest = this.digests.get(e);
    if (digest === undefined) {
      const { label, terms } = this.parts(e);
      digest = terms.reduce((h, { coefficient, factor }) => mix(h, mix(coefficient, this.digest(factor))), hashText(label));
      this.digests.set(e, digest);
    }
    return digest;
  }
}

export function isSum(e: CallExpr): boolean {
  if (e.dtype !== "int32") return false;
  return e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const");
}

/** All axes of a kernel, outermost first. */
export function axesOfKernel(kernel: AnyKernel): readonly Axis[] {
  if (kernel.kind === "chain")
    return [...kernel.axes, ...kernel.parts.flatMap((part) => axesOfKernel({ ...kernel, ...part, kind: "loops" }))];
  const inner = kernel.kind === "loops" ? kernel.stages.flatMap((stage) => stage.axes) : [...kernel.lineIn, ...kernel.lineOut];
  return [...kernel.axes, ...inner, ...kernel.stores.flatMap((store) => store.axes)];
}

/** A text that two kernels share where they are equal, but for the names of their axes, and only then: a line an expression, then the rest. */
export function kernelKey(kernel: AnyKernel): string {
  const positions = new Map<number, number>();
  for (const { id } of axesOfKernel(kernel)) positions.set(id, positions.get(id) ?? positions.size);
  const canon = new Canon(({ id }) => positions.get(id) ?? "?");
  const lines = new Map<string, number>();
  const known = new Map<Expr, number>();
  const number = (e: Expr): number => {
    let at = known.get(e);
    if (at === undefined) {
      const { label, terms } = canon.parts(e);
      const line = `${label}${terms.map(({ coefficient, factor }) => ` ${coefficient}*${number(factor)}`).join("")}`;
      at = lines.get(line) ?? lines.size;
      lines.set(line, at);
      known.set(e, at);
    }
    return at;
  };
  const rest = JSON.stringify(kernel, (_, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    if ("op" in value) return number(value as Expr);
    return "id" in value ? [positions.get((value as Axis).id), (value as Axis).size] : value;
  });
  return [...lines.keys(), rest].join("\n");
}
