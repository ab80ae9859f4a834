/**
 * Expressions to text, whatever the language: common subexpressions become constants, each where it belongs. Sums of integers and conjunctions
 * are split by where their parts are known.
 */
import type { DType } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import { children, conjuncts, sumOf, type Term } from "../../engine/kernel/affine.js";
import type { Axis, CallExpr, Expr, LoadExpr } from "../../engine/kernel/ir.js";
import { Enclosing, Homes, keyOf } from "./homes.js";

/** Longer inline text gets a name. */
const maxInline = 90;

export class Block<T> extends Enclosing<T, Block<T>> {
  readonly lines: string[] = [];
}

const isConjunction = (e: Expr): boolean => e.op === "call" && e.fn === "and";
const isSum = (e: Expr): boolean =>
  e.op === "call" &&
  e.dtype === "int32" &&
  (e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const"));

/** `T`: text as a language writes it, with what it must know of it. */
export abstract class TextWriter<T extends { readonly code: string }> extends Homes<T, Block<T>> {
  protected block = new Block<T>(null, false, false);
  private readonly pending: string[] = [];
  private readonly results = new Map<number, { readonly name: string; readonly block: Block<T> }>();
  private readonly uses = new Map<Expr, number>();
  /** How many sums share these terms and differ in their constants. */
  private readonly sumUses = new Map<string, number>();
  private readonly visited = new Set<Expr>();

  constructor(
    private readonly arrays: readonly { readonly length: number }[],
    /** Loads that are safe only inside of the loops that took over their guards. */
    private readonly weakened: ReadonlySet<LoadExpr>,
    /** What needs no other name. */
    protected readonly isName: RegExp,
  ) {
    super();
  }

  /** A new name that begins with `prefix`. */
  abstract name(prefix: string): string;
  abstract axisName(axis: Axis): string;
  abstract literal(value: number, dtype: DType): T;
  /** What stands under a name. */
  protected abstract read(name: string, dtype: DType): T;
  /** Declares a constant here. */
  protected abstract constant(text: T, dtype: DType, prefix: string): T;
  /** A load or a call, here. */
  protected abstract expression(e: LoadExpr | CallExpr): T;
  /** The value where the guard is true, else zero. */
  protected abstract guarded(e: Expr, guard: Expr): T;
  /** sum + term, whose factor is at hand. */
  protected abstract addTerm(sum: T | null, term: Term, factor: T): T;
  protected abstract addConstant(sum: T, constant: number): T;
  protected abstract and(parts: readonly T[]): T;
  /** Whether computing it in vain costs more than a branch. Operands are not looked at. */
  protected abstract isExpensive(e: Expr): boolean;

  /** Tells of an expression that will be asked for; do so for all before the first {@link value}. */
  count(e: Expr): void {
    this.countUse(e);
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
      for (const part of parts) this.countUse(part);
      waiting.push(...parts);
    }
  }

  private countUse(e: Expr): void {
    this.uses.set(e, (this.uses.get(e) ?? 0) + 1);
  }

  /** Text of the finished function body. */
  finish(): string {
    return this.block.lines.join("\n");
  }

  line(code: string): void {
    this.block.lines.push(code);
  }

  /** Opens `if (condition) {`. */
  openBranch(condition: T): void {
    this.open(`if (${condition.code}) {`, false, true);
  }

  protected open(header: string, isLoop: boolean, conditional: boolean): void {
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

  protected blockOf(stage: number): Block<T> | undefined {
    return this.results.get(stage)?.block;
  }

  protected isSafe(load: LoadExpr): boolean {
    if (load.guard !== null && !this.weakened.has(load)) return true;
    return load.index.lo >= 0 && load.index.hi < this.arrays[load.buffer].length;
  }

  /** A cheap shared value's second copy is saved. */
  protected override leavesBranches(e: Expr): boolean {
    return (this.uses.get(e) ?? 0) > 1 && !this.isExpensive(e);
  }

  /** The value of `e` in the current block; may write lines here and in outer blocks. */
  value(e: Expr): T {
    if (e.op === "const") return this.literal(e.value, e.dtype);
    if (e.op === "axis") return this.read(this.axisName(e.axis), "int32");
    if (e.op === "acc") return this.read(this.resultOf(e.stage), e.dtype);
    const known = this.lookUp(e);
    if (known !== undefined) return known;
    const home = this.home(e);
    if (home === this.block && (this.uses.get(e) ?? 0) <= 1) {
      const text = this.print(e);
      return text.code.length <= maxInline ? text : this.declare(e, text, prefixOf(e));
    }
    return this.named(e, home);
  }

  /** Under a name in a block. */
  protected named(e: Expr, home: Block<T>): T {
    return this.inside(home, () => this.declare(e, this.print(e), prefixOf(e)));
  }

  /** The value under a name of its own, so that later writes do not change it. */
  hold(e: Expr, guard: Expr | null): T {
    const text = guard === null ? this.value(e) : this.guarded(e, guard);
    return this.isName.test(text.code) ? text : this.constant(text, e.dtype, prefixOf(e));
  }

  /** Gives a value a name in the current block. */
  define(e: Expr, text: T): void {
    this.block.names.set(e, this.constant(text, e.dtype, prefixOf(e)));
  }

  /** A constant in the current block; what is a mere name already stays one. */
  private declare(key: Expr | string, text: T, prefix: string): T {
    const dtype = typeof key === "string" ? (prefix === "g" ? "bool" : "int32") : key.dtype;
    const named = this.isName.test(text.code) ? text : this.constant(text, dtype, prefix);
    this.block.names.set(key, named);
    return named;
  }

  private print(e: Expr): T {
    if (isSum(e)) return this.sum(e);
    if (isConjunction(e)) return this.conjunction(e);
    if (e.op !== "call" && e.op !== "load") throw new InternalError(`no text for a ${e.op}`);
    return this.expression(e);
  }

  /** Outer partial sums are hoisted, so that an inner loop only adds; the constant comes last, so that neighbours share the rest. */
  private sum(e: Expr): T {
    const { constant, terms } = sumOf(e);
    const add = (sum: T | null, term: Term): T => this.addTerm(sum, term, this.value(term.factor));
    if (constant > 0 && terms.every(({ coefficient, factor }) => coefficient < 0 && this.home(factor) === this.block)) {
      return terms.reduce<T>(add, this.literal(constant, "int32"));
    }
    let text: T | null = null;
    const done: Term[] = [];
    for (const [home, group] of this.byHome(terms, (term) => term.factor)) {
      done.push(...group);
      const outer = text;
      const more = (): T => group.reduce<T | null>(add, outer) as T;
      const shared = (this.sumUses.get(keyOf(terms)) ?? 0) > 1 && done.length === terms.length;
      text = home === this.block && !shared ? more() : this.partial(home, keyOf(done), "i", more);
    }
    if (text === null) return this.literal(constant, "int32");
    return constant === 0 ? text : this.addConstant(text, constant);
  }

  private conjunction(e: Expr): T {
    let text: T | null = null;
    let key = "and";
    for (const [home, group] of this.byHome(conjuncts(e), (part) => part)) {
      key += group.map((part) => ` ${part.id}`).join("");
      const outer = text;
      const more = (): T => {
        const parts = group.map((part) => this.value(part));
        return this.and(outer === null ? parts : [outer, ...parts]);
      };
      text = home === this.block ? more() : this.partial(home, key, "g", more);
    }
    return text ?? this.literal(1, "bool");
  }

  private partial(home: Block<T>, key: string, prefix: string, make: () => T): T {
    return this.lookUp(key) ?? this.inside(home, () => this.declare(key, make(), prefix));
  }
}

function prefixOf(e: Expr): string {
  return e.dtype === "int32" ? "i" : e.dtype === "bool" ? "g" : "v";
}
