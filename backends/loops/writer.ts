/** Expressions to JavaScript, or a dialect of it. */
import type { DType } from "../../engine/dtype.js";
import { children, postorder, type Term } from "../../engine/kernel/affine.js";
import type { Axis, CallExpr, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { Names } from "./names.js";
import { atom, choice, type Dialect, operand, strength, type Text } from "./text.js";
import { Block, TextWriter } from "./text-writer.js";

/** Parts of expressions that are deeper get names. */
const maxDepth = 64;

/** An array of the generated code. */
export interface Memory {
  readonly name: string;
  readonly length: number;
}

export class Writer extends TextWriter<Text> {
  private readonly names: Names;
  /** Of every counted expression: how many calls deep it is. */
  private readonly heights = new Map<Expr, number>();

  constructor(
    private readonly dialect: Dialect,
    private readonly memory: readonly Memory[],
    weakened: ReadonlySet<LoadExpr> = new Set(),
  ) {
    super(memory, weakened, /^-?[\w.]+$/);
    this.names = new Names(dialect.reserved);
  }

  override count(e: Expr): void {
    for (const node of postorder(e, (below) => this.heights.has(below))) {
      this.heights.set(node, children(node).reduce((most, child) => Math.max(most, this.height(child)), 0) + 1);
    }
    super.count(e);
  }

  private height(e: Expr): number {
    return this.heights.get(e) ?? 0;
  }

  override value(e: Expr): Text {
    if (this.height(e) > 2 * maxDepth && this.lookUp(e) === undefined) this.nameDeepParts(e);
    return super.value(e);
  }

  /** Printing recurses: of a long chain of calls every {@link maxDepth}-th gets a name beforehand, from the bottom up. */
  private nameDeepParts(e: Expr): void {
    const isShallow = (node: Expr): boolean => this.height(node) < maxDepth || this.lookUp(node) !== undefined;
    for (const node of postorder(e, isShallow)) {
      if (node !== e && this.height(node) % maxDepth === 0 && this.isHarmless(node)) this.named(node, this.home(node));
    }
  }

  name(prefix: string): string {
    return this.names.fresh(prefix);
  }

  axisName(axis: Axis): string {
    return this.names.axis(axis);
  }

  /** Declares an axis as a number that is known here. */
  defineAxis(axis: Axis, code: string): void {
    this.line(`const ${this.names.axis(axis)} = ${code};`);
    this.axisBlocks.set(axis, this.block);
  }

  /** Opens `for (…) {` over an axis. */
  openLoop(axis: Axis, lower: Text, upper: Text, step: number, mayBeEmpty: boolean): void {
    const { axisOf } = this.dialect;
    const name = this.names.axis(axis);
    const counter = axisOf === undefined ? name : this.name("n");
    const advance = step === 1 ? `${counter}++` : `${counter} += ${step}`;
    this.open(`for (let ${counter} = ${lower.code}; ${counter} < ${operand(upper, strength.shift)}; ${advance}) {`, true, mayBeEmpty);
    if (axisOf !== undefined) this.line(`const ${name} = ${axisOf(counter)};`);
    this.axisBlocks.set(axis, this.block);
  }

  array(buffer: number): string {
    return this.memory[buffer].name;
  }

  /** Element `index` of a buffer, to be read or assigned. */
  element(buffer: number, index: Expr): string {
    let at = this.value(index);
    if (this.dialect.plainIndices && at.code.includes("(")) at = this.constant(at, "int32", "i");
    return `${this.array(buffer)}[${at.code}]`;
  }

  literal(value: number, dtype: DType): Text {
    return this.dialect.literal(value, dtype);
  }

  protected read(name: string, dtype: DType): Text {
    return dtype === "bool" && this.dialect.keptBooleans ? this.dialect.keptBooleans.read(name) : atom(name);
  }

  protected constant(text: Text, dtype: DType, prefix: string): Text {
    const name = this.name(prefix);
    this.line(`const ${name} = ${this.keep(text, dtype).code};`);
    return this.read(name, dtype);
  }

  private keep(value: Text, dtype: DType): Text {
    return dtype === "bool" && this.dialect.keptBooleans ? this.dialect.keptBooleans.keep(value) : value;
  }

  protected isExpensive(e: Expr): boolean {
    return this.dialect.isExpensive(e);
  }

  protected expression(e: LoadExpr | CallExpr): Text {
    if (e.op === "load") return this.load(e);
    const { fn, args, dtype } = e;
    if (fn !== "where")
      return this.dialect.call(
        e,
        args.map((arg) => this.value(arg)),
      );
    const [a, b] = [args[1], args[2]].map((arg) => () => this.value(arg));
    return this.choose(this.value(args[0]), dtype, a, b);
  }

  private load(e: LoadExpr): Text {
    const element = (): Text => {
      const code = atom(this.element(e.buffer, e.index));
      return e.dtype === "bool" ? { code: `${code.code} !== 0`, strength: strength.equality } : code;
    };
    return e.guard === null ? element() : this.orZero(e.guard, e.dtype, element);
  }

  protected guarded(e: Expr, guard: Expr): Text {
    return this.orZero(guard, e.dtype, () => this.value(e));
  }

  private orZero(guard: Expr, dtype: DType, value: () => Text): Text {
    return this.choose(this.value(guard), dtype, value, () => this.dialect.literal(0, dtype));
  }

  /** `condition ? a : b`, or a variable and an `if` where a branch needs lines of its own. */
  private choose(condition: Text, dtype: DType, a: () => Text, b: () => Text): Text {
    const [first, second] = [this.branch(a), this.branch(b)];
    if (first.lines.length === 0 && second.lines.length === 0) {
      return (this.dialect.choice ?? choice)(condition, first.text, second.text);
    }
    const name = this.name("t");
    this.line(this.dialect.variable(name, dtype));
    this.line(`if (${condition.code}) {`);
    for (const line of [...first.lines, `${name} = ${this.keep(first.text, dtype).code};`]) this.line(`  ${line}`);
    this.line("} else {");
    for (const line of [...second.lines, `${name} = ${this.keep(second.text, dtype).code};`]) this.line(`  ${line}`);
    this.line("}");
    return this.read(name, dtype);
  }

  private branch(value: () => Text): { text: Text; lines: readonly string[] } {
    const block = new Block(this.block, false, true);
    const text = this.inside(block, value);
    return { text, lines: block.lines };
  }

  protected addTerm(sum: Text | null, { coefficient, factor }: Term, text: Text): Text {
    return this.dialect.plus(sum, coefficient, text, Math.max(-factor.lo, factor.hi));
  }

  protected addConstant(sum: Text, constant: number): Text {
    const size = Math.abs(constant);
    return this.dialect.plus(sum, Math.sign(constant), this.dialect.literal(size, "int32"), size);
  }

  protected and(parts: readonly Text[]): Text {
    return { code: parts.map((part) => operand(part, strength.and)).join(" && "), strength: strength.and };
  }
}
