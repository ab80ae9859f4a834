/**
 * Expressions to JavaScript, or a dialect of it: common subexpressions become constants, and each is placed in the outermost block where all that it
 * depends on is known. Blocks are loops and branches; what must not run in vain (a load that only a guard makes legal, an expensive
 * call) does not leave a branch.
 */
import type { DType } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import { children, conjuncts, postorder, sumOf, type Term } from "../../engine/kernel/affine.js";
import type { Axis, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf } from "../../engine/kernel/simplify.js";
import { Names } from "./names.js";
import { atom, choice, type Dialect, operand, strength, type Text } from "./text.js";
import { stagesOf } from "./walk.js";

/** A name or a number, which needs no other name. */
const isName = /^-?[\w.]+$/;
/** Longer inline text gets a name. */
const maxInline = 90;
/** So do parts of expressions that are deeper. */
const maxDepth = 64;

class Block {
  readonly lines: string[] = [];
  readonly names = new Map<Expr | string, Text>();
  readonly depth: number;

  constructor(
    readonly parent: Block | null,
    readonly isLoop: boolean,
    /** Whether it may be entered not at all. */
    readonly conditional: boolean,
  ) {
    this.depth = parent === null ? 0 : parent.depth + 1;
  }
}

/** A conjunction of several parts or an int32 sum: both are split by where their parts are known. */
const isConjunction = (e: Expr): boolean => e.op === "call" && e.fn === "and";
const isSum = (e: Expr): boolean =>
  e.op === "call" &&
  e.dtype === "int32" &&
  (e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const"));

const keyOf = (terms: readonly Term[]): string => terms.map(({ coefficient, factor }) => `${coefficient}*${factor.id}`).join("+");

/** An array of the generated code. */
export interface Memory {
  readonly name: string;
  readonly length: number;
}

export class Writer {
  private block = new Block(null, false, false);
  private readonly names: Names;
  private readonly axisBlocks = new Map<Axis, Block>();
  private readonly results = new Map<number, { readonly name: string; readonly block: Block }>();
  private readonly uses = new Map<Expr, number>();
  /** How many sums share these terms and differ in their constants. */
  private readonly sumUses = new Map<string, number>();
  /** Of every counted expression: how many calls deep it is. */
  private readonly heights = new Map<Expr, number>();
  private readonly visited = new Set<Expr>();
  private readonly harmless = new Map<Expr, boolean>();

  constructor(
    private readonly dialect: Dialect,
    private readonly memory: readonly Memory[],
    /** Loads that are safe only inside of the loops that took over their guards. */
    private readonly weakened: ReadonlySet<LoadExpr> = new Set(),
  ) {
    this.names = new Names(dialect.reserved);
  }

  /** Tells of an expression that will be asked for; do so for all before the first {@link value}. */
  count(e: Expr): void {
    this.use(e);
    for (const node of postorder(e, (below) => this.heights.has(below))) {
      const below = children(node);
      this.heights.set(node, below.reduce((most, child) => Math.max(most, this.heights.get(child) ?? 0), 0) + 1);
    }
    // Sums and conjunctions are printed from their parts, so that their inner nodes are not asked for.
    const waiting = [e];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (this.visited.has(node)) continue;
      this.visited.add(node);
      let parts = isConjunction(node) ? conjuncts(node) : children(node);
      if (isSum(node)) {
        const { terms } = sumOf(node);
        const key = keyOf(terms);
        this.sumUses.set(key, (this.sumUses.get(key) ?? 0) + 1);
        parts = terms.map((term) => term.factor);
      }
      for (const part of parts) this.use(part);
      waiting.push(...parts);
    }
  }

  private use(e: Expr): void {
    this.uses.set(e, (this.uses.get(e) ?? 0) + 1);
  }

  /** A new name that begins with `prefix`. */
  name(prefix: string): string {
    return this.names.fresh(prefix);
  }

  get depth(): number {
    return this.block.depth;
  }

  /** Text of the finished function body. */
  finish(): string {
    return this.block.lines.join("\n");
  }

  line(code: string): void {
    this.block.lines.push(code);
  }

  /** Declares an axis as a number that is known here. */
  defineAxis(axis: Axis, code: string): void {
    this.line(`const ${this.names.axis(axis)} = ${code};`);
    this.axisBlocks.set(axis, this.block);
  }

  axisName(axis: Axis): string {
    return this.names.axis(axis);
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

  /** Opens `if (condition) {`. */
  openBranch(condition: Text): void {
    this.open(`if (${condition.code}) {`, false, true);
  }

  private open(header: string, isLoop: boolean, conditional: boolean): void {
    this.pending.push(header);
    this.block = new Block(this.block, isLoop, conditional);
  }

  private readonly pending: string[] = [];

  close(): void {
    const { parent, lines } = this.block;
    if (parent === null) throw new InternalError("no block is open");
    parent.lines.push(this.pending.pop() as string, ...lines.map((line) => `  ${line}`), "}");
    this.block = parent;
  }

  /** Declares the result of a stage: known in the current block from now on. */
  setResult(stage: number, name: string): void {
    this.results.set(stage, { name, block: this.block });
  }

  /** The value of `e` in the current block; may write lines here and in outer blocks. */
  value(e: Expr): Text {
    if (e.op === "const") return this.dialect.literal(e.value, e.dtype);
    if (e.op === "axis") return atom(this.names.axis(e.axis));
    if (e.op === "acc") return this.read((this.results.get(e.stage) as { name: string }).name, e.dtype);
    const known = this.lookUp(e);
    if (known !== undefined) return known;
    if ((this.heights.get(e) ?? 0) > 2 * maxDepth) this.nameDeepParts(e);
    const home = this.home(e);
    if (home === this.block && (this.uses.get(e) ?? 0) <= 1) {
      const text = this.print(e);
      return text.code.length <= maxInline ? text : this.declare(e, text, prefixOf(e));
    }
    return this.inside(home, () => this.declare(e, this.print(e), prefixOf(e)));
  }

  /** Printing recurses: of a long chain of calls every {@link maxDepth}-th gets a name beforehand, from the bottom up. */
  private nameDeepParts(e: Expr): void {
    const isShallow = (node: Expr): boolean => (this.heights.get(node) ?? 0) < maxDepth || this.lookUp(node) !== undefined;
    for (const node of postorder(e, isShallow)) {
      const isCut = node !== e && (this.heights.get(node) ?? 0) % maxDepth === 0;
      if (isCut && this.isHarmless(node)) this.inside(this.home(node), () => this.declare(node, this.print(node), prefixOf(node)));
    }
  }

  /** The value under a name of its own, so that later writes do not change it. */
  hold(e: Expr, guard: Expr | null): Text {
    const text =
      guard === null
        ? this.value(e)
        : this.choose(
            this.value(guard),
            e.dtype,
            () => this.value(e),
            () => this.dialect.literal(0, e.dtype),
          );
    if (isName.test(text.code)) return text;
    return this.constant(text, e.dtype, prefixOf(e));
  }

  /** Declares a constant. */
  private constant(text: Text, dtype: DType, prefix: string): Text {
    const name = this.name(prefix);
    this.line(`const ${name} = ${this.keep(text, dtype).code};`);
    return this.read(name, dtype);
  }

  private keep(value: Text, dtype: DType): Text {
    return dtype === "bool" && this.dialect.keptBooleans ? this.dialect.keptBooleans.keep(value) : value;
  }

  private read(name: string, dtype: DType): Text {
    return dtype === "bool" && this.dialect.keptBooleans ? this.dialect.keptBooleans.read(name) : atom(name);
  }

  private lookUp(key: Expr | string): Text | undefined {
    for (let block: Block | null = this.block; block !== null; block = block.parent) {
      const text = block.names.get(key);
      if (text !== undefined) return text;
    }
    return undefined;
  }

  private inside<T>(block: Block, action: () => T): T {
    const before = this.block;
    this.block = block;
    const result = action();
    this.block = before;
    return result;
  }

  /** A constant in the current block; what is a mere name already stays one. */
  private declare(key: Expr | string, text: Text, prefix: string): Text {
    const dtype = typeof key === "string" ? (prefix === "g" ? "bool" : "int32") : key.dtype;
    const named = isName.test(text.code) ? text : this.constant(text, dtype, prefix);
    this.block.names.set(key, named);
    return named;
  }

  /** The outermost block in which everything that `e` depends on is known. */
  private needed(e: Expr): Block {
    let deepest: Block | null = null;
    for (const axis of axesOf(e)) {
      const block = this.axisBlocks.get(axis);
      if (block && block.depth > (deepest?.depth ?? -1)) deepest = block;
    }
    for (const stage of stagesOf(e)) {
      const block = this.results.get(stage)?.block;
      if (block && block.depth > (deepest?.depth ?? -1)) deepest = block;
    }
    return deepest ?? this.root();
  }

  private root(): Block {
    let block = this.block;
    while (block.parent !== null) block = block.parent;
    return block;
  }

  private home(e: Expr): Block {
    const needed = this.needed(e);
    let block = this.block;
    while (block.depth > needed.depth && (!block.conditional || this.mayLeave(e, block, needed))) block = block.parent as Block;
    return block;
  }

  /** Out of a branch goes what can do no harm, if that saves work: a loop's repetitions, or a cheap shared value's second copy. */
  private mayLeave(e: Expr, from: Block, to: Block): boolean {
    if (!this.isHarmless(e)) return false;
    for (let block: Block | null = from; block !== null && block !== to; block = block.parent) if (block.isLoop) return true;
    return (this.uses.get(e) ?? 0) > 1 && !this.dialect.isExpensive(e);
  }

  /** Whether evaluating `e` where nobody asked for it reads nothing out of bounds. */
  private isHarmless(e: Expr): boolean {
    for (const node of postorder(e, (below) => this.harmless.has(below))) {
      let result = children(node).every((child) => this.harmless.get(child));
      if (node.op === "load" && (node.guard === null || this.weakened.has(node))) {
        result &&= node.index.lo >= 0 && node.index.hi < this.memory[node.buffer].length;
      }
      this.harmless.set(node, result);
    }
    return this.harmless.get(e) === true;
  }

  private print(e: Expr): Text {
    if (e.op === "load") return this.load(e);
    if (isSum(e)) return this.sum(e);
    if (isConjunction(e)) return this.conjunction(e);
    if (e.op !== "call") throw new InternalError(`no text for a ${e.op}`);
    if (e.fn === "where") {
      const [condition, a, b] = e.args;
      return this.choose(
        this.value(condition),
        e.dtype,
        () => this.value(a),
        () => this.value(b),
      );
    }
    return this.dialect.call(
      e,
      e.args.map((arg) => this.value(arg)),
    );
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

  private load(e: LoadExpr): Text {
    const element = (): Text => {
      const code = atom(this.element(e.buffer, e.index));
      return e.dtype === "bool" ? { code: `${code.code} !== 0`, strength: strength.equality } : code;
    };
    return e.guard === null ? element() : this.choose(this.value(e.guard), e.dtype, element, () => this.dialect.literal(0, e.dtype));
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

  /** The parts by the block where they are known, outermost first. */
  private byHome<T>(parts: readonly T[], factor: (part: T) => Expr): (readonly [Block, readonly T[]])[] {
    const groups = new Map<Block, T[]>();
    for (const part of parts) {
      const home = this.home(factor(part));
      groups.set(home, [...(groups.get(home) ?? []), part]);
    }
    return [...groups].sort(([a], [b]) => a.depth - b.depth);
  }

  /** Outer partial sums are hoisted, so that an inner loop only adds; the constant comes last, so that neighbours share the rest. */
  private sum(e: Expr): Text {
    const { constant, terms } = sumOf(e);
    if (constant > 0 && terms.every(({ coefficient, factor }) => coefficient < 0 && this.home(factor) === this.block)) {
      return terms.reduce<Text>((sum, term) => this.addTerm(sum, term), this.dialect.literal(constant, "int32"));
    }
    let text: Text | null = null;
    const done: Term[] = [];
    for (const [home, group] of this.byHome(terms, (term) => term.factor)) {
      done.push(...group);
      const outer = text;
      const more = (): Text => group.reduce<Text | null>((sum, term) => this.addTerm(sum, term), outer) as Text;
      const shared = (this.sumUses.get(keyOf(terms)) ?? 0) > 1 && done.length === terms.length;
      text = home === this.block && !shared ? more() : this.partial(home, keyOf(done), more);
    }
    if (text === null) return this.dialect.literal(constant, "int32");
    return constant === 0
      ? text
      : this.dialect.plus(text, Math.sign(constant), this.dialect.literal(Math.abs(constant), "int32"), Math.abs(constant));
  }

  private partial(home: Block, key: string, make: () => Text): Text {
    return this.lookUp(key) ?? this.inside(home, () => this.declare(key, make(), "i"));
  }

  private addTerm(sum: Text | null, { coefficient, factor }: Term): Text {
    return this.dialect.plus(sum, coefficient, this.value(factor), Math.max(-factor.lo, factor.hi));
  }

  private conjunction(e: Expr): Text {
    let text: Text | null = null;
    let key = "and";
    for (const [home, group] of this.byHome(conjuncts(e), (part) => part)) {
      key += group.map((part) => ` ${part.id}`).join("");
      const outer = text;
      const more = (): Text => {
        const parts = group.map((part) => operand(this.value(part), strength.and));
        return { code: (outer === null ? parts : [operand(outer, strength.and), ...parts]).join(" && "), strength: strength.and };
      };
      text = home === this.block ? more() : (this.lookUp(key) ?? this.inside(home, () => this.declare(key, more(), "g")));
    }
    return text ?? this.dialect.literal(1, "bool");
  }
}

function prefixOf(e: Expr): string {
  return e.dtype === "int32" ? "i" : e.dtype === "bool" ? "g" : "v";
}
