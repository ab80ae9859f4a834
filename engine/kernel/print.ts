/** Kernels as text, for people. Complete (equal text means equal kernels), and in the order of `canon.ts`. */
import { affine, type Term } from "./affine.js";
import { axesOfKernel, Canon, constantText, isSum } from "./canon.js";
import type { AnyKernel, Axis, BufferSpec, CallExpr, ChainKernel, Expr, Kernel, ScalarFn, Stage, Store, Template } from "./ir.js";

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

const combineSymbol = { add: "Σ", mul: "Π", max: "max", min: "min" } as const;

/** Shared parts longer than this are named. */
const inlineLength = 24;

/** What a text means something else by. */
const reserved = /^((s|in|out|io|buffer|row)\d+|line|true|false|if|NaN|Infinity)$/;

class Printer {
  private readonly axisNames = new Map<number, string>();
  private readonly canon = new Canon((axis) => this.axis(axis));
  private readonly uses = new Map<Expr, number>();
  private readonly names = new Map<Expr, string>();
  /** Definitions of the shared parts that the text since the last flush uses. */
  private definitions: string[] = [];

  constructor(
    axes: readonly Axis[],
    private readonly buffers: readonly BufferSpec[],
    private readonly accumulator: (stage: number) => string,
    /** Buffers from here on are a chain's locals. */
    private readonly locals = buffers.length,
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
    return this.canon.parts(e).terms.map((term) => term.factor);
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
    if (index >= this.locals && index < this.buffers.length) return `row${index}`;
    const access = this.buffers[index]?.access;
    return `${access === undefined ? "buffer" : access === "read" ? "in" : access === "write" ? "out" : "io"}${index}`;
  }

  private element(name: string, index: readonly Expr[], guard: Expr | null): Text {
    const condition = guard === null ? "" : ` if ${this.text(guard)}`;
    return { text: `${name}[${index.map((e) => this.text(e)).join(", ")}${condition}]`, level: levels.atom };
  }

  private call(e: CallExpr): Text {
    const comparison = this.canon.comparison(e);
    if (comparison !== null) {
      const [symbol, level] = infix[comparison.fn] ?? ["?", 0];
      return { text: `${this.sum(0, comparison.terms).text} ${symbol} ${comparison.limit}`, level };
    }
    if (isSum(e)) {
      const { constant, terms } = affine(e) ?? { constant: 0, terms: [] };
      return this.sum(constant, terms);
    }
    const args = this.canon.arguments(e);
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

  private sum(constant: number, terms: readonly Term[]): Text {
    let text = constant > 0 && terms.every((term) => term.coefficient < 0) ? String(constant) : "";
    const append = (negative: boolean, part: string): void => {
      text += text === "" ? (negative ? "-" : "") + part : (negative ? " - " : " + ") + part;
    };
    const rest = text === "" ? constant : 0;
    for (const { coefficient, factor } of this.canon.sortedTerms(terms)) {
      const size = Math.abs(coefficient);
      const part = this.text(factor, levels.product);
      append(coefficient < 0, size === 1 ? part : `${part}*${size}`);
    }
    if (rest !== 0) append(rest < 0, String(Math.abs(rest)));
    return { text, level: levels.sum };
  }
}

const templateText = (template: Template): string =>
  template.name === "scan"
    ? `scan ${template.combine}${template.reverse ? " reversed" : ""} ${template.length}`
    : `${template.name} ${template.n}${template.name === "fft" && template.sign > 0 ? " inverse" : ""}`;

/** The kernel as text, one statement a line. */
export function printKernel(kernel: AnyKernel): string {
  if (kernel.kind === "chain") return printChain(kernel);
  const printer = new Printer(axesOfKernel(kernel), kernel.buffers, (stage) => (kernel.kind === "loops" ? `s${stage}` : "line"));
  const bodies = kernel.kind === "loops" ? kernel.stages.map((stage) => stage.body) : [kernel.input];
  for (const e of bodies) printer.count(e);
  for (const { value, index, guard } of kernel.stores) for (const e of [value, index, guard]) if (e !== null) printer.count(e);

  const buffers = kernel.buffers.map((spec, i) => `${printer.buffer(i)} ${spec.dtype}[${spec.length}]`);
  const lines = [`${kernel.name} for ${printer.loops(kernel.axes) || "one point"}`, buffers.join(", ")];
  if (kernel.kind === "loops") {
    kernel.stages.forEach((stage, i) => {
      lines.push(...printer.statement(() => stageText(printer, stage, i)));
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

/** Its parts one below the other, each with its loops. */
function printChain({ name, buffers, locals, axes, parts }: ChainKernel): string {
  const loops = axes.map((axis) => `${axis.name}∈0..${axis.size}`).join(", ");
  const lines = [`${name} for ${loops}`];
  parts.forEach((part, at) => {
    const kernel: Kernel = { kind: "loops", name, buffers, axes, stages: part.stages, stores: part.stores };
    const printer = new Printer(
      [...axes, ...part.axes, ...axesOfKernel(kernel)],
      [...buffers, ...locals],
      (stage) => `s${stage}`,
      buffers.length,
    );
    if (at === 0) {
      const specs = [...buffers, ...locals].map((spec, i) => `${printer.buffer(i)} ${spec.dtype}[${spec.length}]`);
      lines.push(`  ${specs.slice(0, buffers.length).join(", ")}`, `  for each point: ${specs.slice(buffers.length).join(", ")}`);
    }
    for (const { body } of part.stages) printer.count(body);
    for (const { value, index, guard } of part.stores) for (const e of [value, index, guard]) if (e !== null) printer.count(e);
    const over = part.sums ? `, summed along ${axes[axes.length - 1].name}` : "";
    lines.push(`  for ${printer.loops(part.axes) || "the point"}${over}`);
    part.stages.forEach((stage, i) => {
      for (const line of printer.statement(() => stageText(printer, stage, i))) lines.push(`    ${line}`);
    });
    for (const store of part.stores) for (const line of printer.statement(() => storeText(printer, store))) lines.push(`    ${line}`);
  });
  return `${lines.join("\n")}\n`;
}

function stageText(printer: Printer, { axes, combine, body, structure }: Stage, number: number): string {
  const label = structure === null ? "" : ` (${structure})`;
  const loops = axes.length === 0 ? "" : ` ${printer.loops(axes)}`;
  return `s${number}${label} = ${combineSymbol[combine]}${loops}: ${printer.text(body)}`;
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
