/**
 * Expressions to WGSL: common subexpressions get names, and each is placed in the outermost block where all that it depends on is known.
 * Blocks are loops and branches; what must not run in vain (an expensive call, a load out of bounds) does not leave a branch.
 */
import { InternalError } from "../../engine/errors.js";
import { children, conjuncts, sumOf, type Term } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { axesOf } from "../../engine/kernel/simplify.js";
import { nodesOf, stagesOf } from "../loops/walk.js";
import { atom, binary, isExpensive, literal, prefix, printCall, stored, type Text, typeOf } from "./scalar.js";

/** A name or a number, which needs no other name. */
const isName = /^\w[\w.]*$/;
/** What would hide a type. */
const typeNames: ReadonlySet<string> = new Set(["i32", "u32", "f32", "f16"]);
/** Longer inline text gets a name. */
const maxInline = 90;

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

const isConjunction = (e: Expr): boolean => e.op === "call" && e.fn === "and";
/** Split by where their parts are known, as conjunctions are. */
const isSum = (e: Expr): boolean =>
  e.op === "call" &&
  e.dtype === "int32" &&
  (e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const"));

const keyOf = (terms: readonly Term[]): string => terms.map(({ coefficient, factor }) => `${coefficient}*${factor.id}`).join("+");

export class Writer {
  /** Helpers of the library that the text calls. */
  readonly helpers = new Set<string>();
  /** Extensions of WGSL that the text uses. */
  readonly extensions = new Set<string>();
  private block = new Block(null, false, false);
  private readonly axisNames = new Map<Axis, string>();
  private readonly axisBlocks = new Map<Axis, Block>();
  private readonly results = new Map<number, { readonly name: string; readonly block: Block }>();
  private readonly uses = new Map<Expr, number>();
  /** How many sums share these terms and differ in their constants. */
  private readonly sumUses = new Map<string, number>();
  private readonly counted = new Set<Expr>();
  private readonly harmless = new Map<Expr, boolean>();
  private readonly taken = new Map<string, number>();
  private readonly specials = new Map<number, string>();
  private readonly pending: string[] = [];

  constructor(
    private readonly buffers: readonly BufferSpec[],
    /** Loads that are safe only inside of the loops that took over their guards. */
    private readonly weakened: ReadonlySet<LoadExpr> = new Set(),
  ) {}

  readonly use = (helper: string): void => {
    this.helpers.add(helper);
  };

  /** Tells of an expression that will be asked for; do so for all before the first {@link value}. */
  count(e: Expr): void {
    this.uses.set(e, (this.uses.get(e) ?? 0) + 1);
    if (this.counted.has(e)) return;
    this.counted.add(e);
    if (isSum(e)) {
      const { terms } = sumOf(e);
      for (const { factor } of terms) this.count(factor);
      const key = keyOf(terms);
      this.sumUses.set(key, (this.sumUses.get(key) ?? 0) + 1);
    } else {
      for (const child of isConjunction(e) ? conjuncts(e) : children(e)) this.count(child);
    }
  }

  /** A new name that begins with `prefix`. */
  name(prefix: string): string {
    const count = this.taken.get(prefix) ?? 0;
    this.taken.set(prefix, count + 1);
    const name = `${prefix}${count}`;
    return typeNames.has(name) ? this.name(prefix) : name;
  }

  get depth(): number {
    return this.block.depth;
  }

  /** Text of the finished function body. */
  finish(): string {
    // A value that the compiler knew to be NaN or infinite would be an error.
    const specials = [...this.specials].map(([bits, name]) => `let ${name}Bits = ${hex(bits)};\nlet ${name} = bitcast<f32>(${name}Bits);`);
    return [...specials, ...this.block.lines].join("\n");
  }

  line(code: string): void {
    this.block.lines.push(code);
  }

  /** Declares a parallel axis, known everywhere. */
  defineAxis(axis: Axis, code: string): void {
    this.line(`let ${this.axisName(axis)} = ${code};`);
    this.axisBlocks.set(axis, this.block);
  }

  /** Declares an axis outside of all loops. */
  defineRootAxis(axis: Axis, code: string): void {
    this.inside(this.root(), () => this.defineAxis(axis, code));
  }

  /** Gives a value a name in the current block. */
  define(e: Expr, text: Text): void {
    const name = atom(this.name(prefixOf(e)));
    this.line(`let ${name.code} = ${text.code};`);
    this.block.names.set(e, name);
  }

  /** Opens `for (…) {` over an axis. */
  openLoop(axis: Axis, lower: Text, upper: Text, step: number, mayBeEmpty: boolean): void {
    const name = this.axisName(axis);
    const end = isName.test(upper.code) ? upper.code : this.name("end");
    if (end !== upper.code) this.line(`let ${end} = ${upper.code};`);
    const advance = step === 1 ? `${name}++` : `${name} += ${step}`;
    this.open(`for (var ${name} = ${lower.code}; ${name} < ${end}; ${advance}) {`, true, mayBeEmpty);
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

  resultOf(stage: number): string {
    return (this.results.get(stage) as { name: string }).name;
  }

  /** Made up, as many a plain word is reserved in WGSL; the axis's own name is kept for the reader. */
  private axisName(axis: Axis): string {
    let name = this.axisNames.get(axis);
    if (name === undefined) {
      name = this.name(`${axis.name.replace(/\W/g, "")}_`);
      if (!/^[A-Za-z]/.test(name)) name = this.name("x_");
      this.axisNames.set(axis, name);
    }
    return name;
  }

  literal(value: number, dtype: Expr["dtype"]): Text {
    return literal(value, dtype, (bits) => {
      let name = this.specials.get(bits);
      if (name === undefined) {
        name = `special${this.specials.size}`;
        this.specials.set(bits, name);
      }
      return name;
    });
  }

  /** The value of `e` in the current block; may write lines here and in outer blocks. */
  value(e: Expr): Text {
    if (e.op === "const") return this.literal(e.value, e.dtype);
    if (e.op === "axis") return atom(this.axisName(e.axis));
    if (e.op === "acc") return atom(this.resultOf(e.stage));
    const known = this.lookUp(e);
    if (known !== undefined) return known;
    const home = this.home(e);
    if (home === this.block && (this.uses.get(e) ?? 0) <= 1) {
      const text = this.print(e);
      return text.code.length <= maxInline ? text : this.declare(e, text, prefixOf(e));
    }
    return this.inside(home, () => this.declare(e, this.print(e), prefixOf(e)));
  }

  /** The value under a name of its own, so that later writes do not change it. */
  hold(e: Expr, guard: Expr | null): Text {
    const text = guard === null ? this.value(e) : this.choose(guard, e.dtype, e, null);
    if (isName.test(text.code)) return text;
    const name = atom(this.name(prefixOf(e)));
    this.line(`let ${name.code} = ${text.code};`);
    return name;
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

  private declare(key: Expr | string, text: Text, prefix: string): Text {
    let named = text;
    if (!isName.test(text.code)) {
      named = atom(this.name(prefix));
      this.line(`let ${named.code} = ${text.code};`);
    }
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
    return (this.uses.get(e) ?? 0) > 1 && !isExpensive(e);
  }

  /** Whether evaluating `e` where nobody asked for it reads nothing out of bounds. */
  private isHarmless(e: Expr): boolean {
    let result = this.harmless.get(e);
    if (result === undefined) {
      result = children(e).every((child) => this.isHarmless(child));
      if (e.op === "load" && (e.guard === null || this.weakened.has(e))) result &&= this.isInside(e);
      this.harmless.set(e, result);
    }
    return result;
  }

  private isInside(e: LoadExpr): boolean {
    return e.index.lo >= 0 && e.index.hi < this.buffers[e.buffer].length;
  }

  private print(e: Expr): Text {
    if (e.op === "load") return e.guard === null ? this.element(e) : this.choose(e.guard, e.dtype, e, null);
    if (isSum(e)) return this.sum(e);
    if (isConjunction(e)) return this.conjunction(e);
    if (e.op !== "call") throw new InternalError(`webgpu cannot print a ${e.op}`);
    if (e.fn === "where") return this.choose(e.args[0], e.dtype, e.args[1], e.args[2]);
    return printCall(
      e,
      e.args.map((arg) => this.value(arg)),
      this.use,
    );
  }

  private element(e: LoadExpr): Text {
    const code = atom(`b${e.buffer}[${this.value(e.index).code}]`);
    return e.dtype === "bool" ? binary(code, "!=", atom("0u")) : code;
  }

  /** The statement that stores a value. */
  assign(buffer: number, index: Expr, value: Text): void {
    this.line(`b${buffer}[${this.value(index).code}] = ${stored(value, this.buffers[buffer].dtype).code};`);
  }

  /** A choice: by `select`, which evaluates both sides, where that is cheap and can do no harm; else by a branch. A null is zero. */
  private choose(condition: Expr, dtype: Expr["dtype"], a: Expr, b: Expr | null): Text {
    const test = this.value(condition);
    const first = (): Text => (a.op === "load" && a.guard === condition ? this.element(a) : this.value(a));
    const second = (): Text => (b === null ? this.literal(0, dtype) : this.value(b));
    if (this.isCheap(a, condition) && (b === null || this.isCheap(b, null))) {
      const [x, y] = [first(), second()];
      return atom(`select(${y.code}, ${x.code}, ${test.code})`);
    }
    const name = this.name("t");
    // Both sides are written before either is put in its place: what they hoist comes first.
    const assigned = (value: () => Text): readonly string[] => {
      const block = new Block(this.block, false, true);
      const text = this.inside(block, value);
      return [...block.lines, `${name} = ${text.code};`].map((line) => `  ${line}`);
    };
    const [then, otherwise] = [assigned(first), b === null ? [] : assigned(second)];
    // Said for loops, where Dawn's compiler does not begin each round with zero.
    this.line(`var ${name}: ${typeOf(dtype)}${b === null ? ` = ${this.literal(0, dtype).code}` : ""};`);
    this.line(`if (${test.code}) {`);
    for (const line of then) this.line(line);
    if (b !== null) {
      this.line("} else {");
      for (const line of otherwise) this.line(line);
    }
    this.line("}");
    return atom(name);
  }

  /** Whether both sides of a choice may be evaluated. A load may be out of bounds: WGSL then gives some element, which is not chosen. */
  private isCheap(e: Expr, guard: Expr | null): boolean {
    // Its index is computed in either case, or on the way to a neighbour's.
    if (e.op === "load") return (e.guard === null || e.guard === guard) && this.isPlain(e.index);
    let count = 0;
    for (const node of nodesOf([e])) {
      if (isExpensive(node) && this.lookUp(node) === undefined) return false;
      if (node.op === "load") return false;
      if (++count > 12) return false;
    }
    return true;
  }

  /** Whether an index is computed from coordinates alone. */
  private isPlain(index: Expr): boolean {
    for (const node of nodesOf([index])) if (node.op === "load" || (isExpensive(node) && this.lookUp(node) === undefined)) return false;
    return true;
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
      return terms.reduce<Text>((sum, term) => this.addTerm(sum, term), this.literal(constant, "int32"));
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
    if (text === null) return this.literal(constant, "int32");
    return constant === 0 ? text : binary(text, "+", this.literal(constant, "int32"));
  }

  private partial(home: Block, key: string, make: () => Text): Text {
    return this.lookUp(key) ?? this.inside(home, () => this.declare(key, make(), "i"));
  }

  private addTerm(sum: Text | null, { coefficient, factor }: Term): Text {
    const text = this.value(factor);
    // The smallest int32 has no positive counterpart.
    const negative = coefficient < 0 && coefficient !== -(2 ** 31);
    const size = negative ? -coefficient : coefficient;
    const part = size === 1 ? text : binary(text, "*", this.literal(size, "int32"));
    if (sum === null) return negative ? prefix("-", part) : part;
    return binary(sum, negative ? "-" : "+", part);
  }

  private conjunction(e: Expr): Text {
    let text: Text | null = null;
    let key = "and";
    for (const [home, group] of this.byHome(conjuncts(e), (part) => part)) {
      key += group.map((part) => ` ${part.id}`).join("");
      const outer = text;
      const more = (): Text =>
        group.reduce<Text | null>((all, part) => (all === null ? this.value(part) : binary(all, "&&", this.value(part))), outer) as Text;
      text = home === this.block ? more() : (this.lookUp(key) ?? this.inside(home, () => this.declare(key, more(), "g")));
    }
    return text ?? this.literal(1, "bool");
  }
}

const hex = (bits: number): string => `0x${bits.toString(16).padStart(8, "0")}u`;

function prefixOf(e: Expr): string {
  return e.dtype === "int32" ? "i" : e.dtype === "bool" ? "g" : "v";
}
