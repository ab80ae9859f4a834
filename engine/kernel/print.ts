/**
 * Kernels as text: for people, and as cache key. Complete (equal text means equal kernels) and independent of the order in which a pool
 * happened to make its expressions: what commutes is sorted by structure, and axes go by their names.
 */
import type { DType } from "../dtype.js";
import { affine, children, flatten, type Term } from "./affine.js";
import type { Axis, BufferSpec, CallExpr, Expr, Kernel, ScalarFn, Store, Template } from "./ir.js";

/** Text and how tightly it binds. */
interface Text {
  readonly text: string;
  readonly level: number;
}

const levels = { choice: 0, or: 1, and: 2, compare: 3, bits: 4, sum: 5, product: 6, unary: 7, atom: 8 } as const;

const infix: { readonly [fn in ScalarFn]?: readonly [symbol: string, level: number] } = {
  lt: ["<", levels.compare],
  le: ["≤", levels.compare],
  gt: [">", levels.compare],
  ge: ["≥", levels.compare],
  eq: ["=", levels.compare],
  ne: ["≠", levels.compare],
  bitAnd: ["&", levels.bits],
  bitOr: ["|", levels.bits],
  bitXor: ["^", levels.bits],
  shl: ["<<", levels.bits],
  shr: [">>>", levels.bits],
  add: ["+", levels.sum],
  sub: ["-", levels.sum],
  mul: ["*", levels.product],
  div: ["/", levels.product],
  idiv: ["//", levels.product],
  mod: ["%", levels.product],
};

const commutative: ReadonlySet<ScalarFn> = new Set<ScalarFn>(["mul", "min", "max", "bitAnd", "bitOr", "bitXor", "xor", "eq", "ne"]);

const combineSymbol = { add: "Σ", mul: "Π", max: "max", min: "min" } as const;

/** Shared parts longer than this are named. */
const inlineLength = 24;

/** What a text means something else by. */
const reserved = /^((s|in|out|io|buffer)\d+|line|true|false|if|NaN|Infinity)$/;

/** A constant such that its dtype can be told: `2`, `2.0`, `2.0d`, `true`. */
function constantText(value: number, dtype: DType): string {
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

const hashText = (text: string): number => [...text].reduce((h, c) => mix(h, c.codePointAt(0) ?? 0), text.length);

/** An integer compared with a constant, with its sign chosen by structure. */
interface Comparison {
  readonly fn: ScalarFn;
  readonly terms: readonly Term[];
  readonly limit: number;
}

class Printer {
  private readonly axisNames = new Map<number, string>();
  private readonly digests = new Map<Expr, number>();
  private readonly uses = new Map<Expr, number>();
  private readonly names = new Map<Expr, string>();
  /** Definitions of the shared parts that the text since the last flush uses. */
  private definitions: string[] = [];

  constructor(
    axes: readonly Axis[],
    private readonly buffers: readonly BufferSpec[],
    private readonly accumulator: (stage: number) => string,
  ) {
    const taken = new Set<string>();
    for (const { id, name } of axes) {
      if (this.axisNames.has(id)) continue;
      let unique = name;
      for (let i = 2; taken.has(unique) || reserved.test(unique); i++) unique = `${name}_${i}`;
      taken.add(unique);
      this.axisNames.set(id, unique);
    }
  }

  axis(axis: Axis): string {
    return this.axisNames.get(axis.id) ?? axis.name;
  }

  loops(axes: readonly Axis[]): string {
    return axes.map((axis) => `${this.axis(axis)}∈0..${axis.size}`).join(", ");
  }

  /** Counts the uses of every part, before anything is printed. */
  count(e: Expr): void {
    const uses = this.uses.get(e) ?? 0;
    this.uses.set(e, uses + 1);
    if (uses === 0) for (const part of this.parts(e)) this.count(part);
  }

  /** One statement, after the definitions that it needs. */
  statement(write: () => string): string[] {
    const line = write();
    const lines = [...this.definitions, line];
    this.definitions = [];
    return lines;
  }

  text(e: Expr, level: number = levels.choice): string {
    const name = this.names.get(e);
    if (name !== undefined) return name;
    const printed = this.print(e);
    if ((this.uses.get(e) ?? 0) > 1 && printed.text.length > inlineLength) {
      const fresh = `$${this.names.size}`;
      this.names.set(e, fresh);
      this.definitions.push(`${fresh} = ${printed.text}`);
      return fresh;
    }
    return printed.level >= level ? printed.text : `(${printed.text})`;
  }

  /** What is printed inside of the text of `e`, whatever nodes it is made of. */
  private parts(e: Expr): readonly Expr[] {
    if (e.op !== "call") return children(e);
    const comparison = this.comparison(e);
    if (comparison !== null) return comparison.terms.map((term) => term.factor);
    if (isSum(e)) return this.sortedTerms(affine(e)?.terms ?? []).map((term) => term.factor);
    if (e.fn === "and" || e.fn === "or") return flatten(e, e.fn);
    return e.args;
  }

  private print(e: Expr): Text {
    switch (e.op) {
      case "const":
        return { text: constantText(e.value, e.dtype), level: e.value < 0 || Object.is(e.value, -0) ? levels.unary : levels.atom };
      case "axis":
        return { text: this.axis(e.axis), level: levels.atom };
      case "acc":
        return { text: this.accumulator(e.stage), level: levels.atom };
      case "load":
        return this.element(this.buffer(e.buffer), [e.index], e.guard);
      case "ref":
        return this.element(`%${e.value}:${e.dtype}`, e.index, e.guard);
      case "call":
        return this.call(e);
    }
  }

  buffer(index: number): string {
    const access = this.buffers[index]?.access;
    return `${access === undefined ? "buffer" : access === "read" ? "in" : access === "write" ? "out" : "io"}${index}`;
  }

  private element(name: string, index: readonly Expr[], guard: Expr | null): Text {
    const condition = guard === null ? "" : ` if ${this.text(guard)}`;
    return { text: `${name}[${index.map((e) => this.text(e)).join(", ")}${condition}]`, level: levels.atom };
  }

  private call(e: CallExpr): Text {
    const comparison = this.comparison(e);
    if (comparison !== null) {
      const [symbol, level] = infix[comparison.fn] ?? ["?", 0];
      return { text: `${this.sum(0, comparison.terms).text} ${symbol} ${comparison.limit}`, level };
    }
    if (isSum(e)) {
      const { constant, terms } = affine(e) ?? { constant: 0, terms: [] };
      return this.sum(constant, terms);
    }
    const args = this.arguments(e);
    switch (e.fn) {
      case "and":
      case "or": {
        const level = levels[e.fn];
        return { text: args.map((arg) => this.text(arg, level + 1)).join(e.fn === "and" ? " && " : " || "), level };
      }
      case "where": {
        const [condition, a, b] = args;
        return { text: `${this.text(condition, 1)} ? ${this.text(a, 1)} : ${this.text(b)}`, level: levels.choice };
      }
      case "neg":
      case "not":
        return { text: `${e.fn === "neg" ? "-" : "!"}${this.text(args[0], levels.atom)}`, level: levels.unary };
      default: {
        const operator = infix[e.fn];
        if (operator === undefined) {
          return { text: `${e.fn === "cast" ? e.dtype : e.fn}(${args.map((arg) => this.text(arg)).join(", ")})`, level: levels.atom };
        }
        const [symbol, level] = operator;
        return { text: `${this.text(args[0], level)} ${symbol} ${this.text(args[1], level + 1)}`, level };
      }
    }
  }

  /** Operands, sorted where their order means nothing. Floats keep it: they are rounded in that order. */
  private arguments(e: CallExpr): readonly Expr[] {
    if (e.fn === "and" || e.fn === "or") return this.sorted(flatten(e, e.fn));
    if (commutative.has(e.fn) && (e.args[0].dtype === "int32" || e.args[0].dtype === "bool")) return this.sorted(e.args);
    return e.args;
  }

  private sorted(operands: readonly Expr[]): readonly Expr[] {
    return [...operands].sort((a, b) => Number(a.op === "const") - Number(b.op === "const") || this.digest(a) - this.digest(b));
  }

  private sum(constant: number, terms: readonly Term[]): Text {
    let text = constant > 0 && terms.every((term) => term.coefficient < 0) ? String(constant) : "";
    const append = (negative: boolean, part: string): void => {
      text += text === "" ? (negative ? "-" : "") + part : (negative ? " - " : " + ") + part;
    };
    const rest = text === "" ? constant : 0;
    for (const { coefficient, factor } of this.sortedTerms(terms)) {
      const size = Math.abs(coefficient);
      const part = this.text(factor, levels.product);
      append(coefficient < 0, size === 1 ? part : `${part}*${size}`);
    }
    if (rest !== 0) append(rest < 0, String(Math.abs(rest)));
    return { text, level: levels.sum };
  }

  /** Largest coefficients first, as in a row-major index. */
  private sortedTerms(terms: readonly Term[]): readonly Term[] {
    return [...terms].sort((a, b) => b.coefficient - a.coefficient || this.digest(a.factor) - this.digest(b.factor));
  }

  /** The pool makes the coefficient of its oldest factor positive; here, that of the largest or else the smallest digest. */
  private comparison(e: CallExpr): Comparison | null {
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
      digest = this.computeDigest(e);
      this.digests.set(e, digest);
    }
    return digest;
  }

  private computeDigest(e: Expr): number {
    const combine = (label: string, parts: readonly Expr[]): number =>
      parts.reduce((h, part) => mix(h, this.digest(part)), hashText(label));
    const total = (label: string, parts: readonly number[]): number =>
      mix(
        hashText(label),
        parts.reduce((sum, part) => (sum + part) | 0, 0),
      );
    const ofTerms = (terms: readonly Term[]): number[] => terms.map(({ coefficient, factor }) => mix(coefficient, this.digest(factor)));
    switch (e.op) {
      case "const":
        return hashText(constantText(e.value, e.dtype));
      case "axis":
        return hashText(this.axis(e.axis));
      case "acc":
        return mix(hashText("acc"), e.stage);
      case "load":
        return combine(`load ${e.buffer} ${e.guard !== null}`, children(e));
      case "ref":
        return combine(`ref ${e.value} ${e.guard !== null}`, children(e));
      case "call": {
        const comparison = this.comparison(e);
        if (comparison !== null) return total(`${comparison.fn} ${comparison.limit}`, ofTerms(comparison.terms));
        const sum = isSum(e) ? affine(e) : null;
        if (sum !== null) return total(`sum ${sum.constant}`, ofTerms(sum.terms));
        return combine(`${e.fn} ${e.dtype}`, this.arguments(e));
      }
    }
  }
}

function isSum(e: CallExpr): boolean {
  if (e.dtype !== "int32") return false;
  return e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const");
}

const templateText = (template: Template): string =>
  template.name === "scan"
    ? `scan ${template.combine}${template.reverse ? " reversed" : ""} ${template.length}`
    : `${template.name} ${template.n}${template.name === "fft" && template.sign > 0 ? " inverse" : ""}`;

/** The kernel as text, one statement a line. */
export function printKernel(kernel: Kernel): string {
  const inner = kernel.kind === "loops" ? kernel.stages.flatMap((stage) => stage.axes) : [...kernel.lineIn, ...kernel.lineOut];
  const axes = [...kernel.axes, ...inner, ...kernel.stores.flatMap((store) => store.axes)];
  const printer = new Printer(axes, kernel.buffers, (stage) => (kernel.kind === "loops" ? `s${stage}` : "line"));
  const bodies = kernel.kind === "loops" ? kernel.stages.map((stage) => stage.body) : [kernel.input];
  for (const e of bodies) printer.count(e);
  for (const { value, index, guard } of kernel.stores) for (const e of [value, index, guard]) if (e !== null) printer.count(e);

  const buffers = kernel.buffers.map((spec, i) => `${printer.buffer(i)} ${spec.dtype}[${spec.length}]`);
  const lines = [`${kernel.name} for ${printer.loops(kernel.axes) || "one point"}`, buffers.join(", ")];
  if (kernel.kind === "loops") {
    kernel.stages.forEach(({ axes, combine, body, structure }, i) => {
      const label = structure === null ? "" : ` (${structure})`;
      lines.push(...printer.statement(() => `s${i}${label} = ${combineSymbol[combine]} ${printer.loops(axes)}: ${printer.text(body)}`));
    });
  } else {
    const { template, lineIn, input } = kernel;
    lines.push(...printer.statement(() => `line = ${templateText(template)} of ${printer.loops(lineIn)}: ${printer.text(input)}`));
  }
  for (const store of kernel.stores) lines.push(...printer.statement(() => storeText(printer, store)));
  return `${lines[0]}\n${lines
    .slice(1)
    .map((line) => `  ${line}\n`)
    .join("")}`;
}

function storeText(printer: Printer, { buffer, axes, index, value, guard }: Store): string {
  const loops = axes.length === 0 ? "" : `${printer.loops(axes)}: `;
  const condition = guard === null ? "" : ` if ${printer.text(guard)}`;
  return `${loops}${printer.buffer(buffer)}[${printer.text(index)}] = ${printer.text(value)}${condition}`;
}

/** One expression. Shared parts come first, as definitions. */
export function printExpr(e: Expr): string {
  const printer = new Printer([], [], (stage) => `s${stage}`);
  printer.count(e);
  return printer.statement(() => printer.text(e)).join("; ");
}
