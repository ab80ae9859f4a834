/**
 * Expressions to instructions: each becomes a local, once, in the outermost block where all that it depends on is known. What depends
 * on a *lane axis* (four neighbouring points of a loop) is a vector, everything else a scalar.
 */
import type { DType } from "../../engine/dtype.js";
import { InternalError } from "../../engine/errors.js";
import { children, conjuncts, sumOf, sumRange, type Term } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, CallExpr, Combine, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { nodesOf, stagesOf } from "../loops/walk.js";
import {
  type Code,
  double,
  doubles,
  f64,
  float,
  floats,
  get,
  i32,
  int,
  ints,
  type Locals,
  repeat,
  select,
  set,
  type ValueType,
  v128,
  vector,
  when,
} from "./binary.js";
import type { Library, Scope } from "./math.js";
import { combined, constant, isExpensive, laneOf, scalarCall, splat, typeOf, vectorCall, vectorConstant, withLane } from "./scalar.js";

/**
 * Bytes before the first buffer and after the last one that may be read: a load whose guard is false may touch them, as its result is
 * masked. Nothing is ever written there.
 */
export const margin = 65536;

/** Functions written in place in one function of a module. */
const maxInlined = 16;

export const bytesOf = (dtype: DType): number => (dtype === "float64" ? 8 : dtype === "bool" ? 1 : 4);

class Block {
  readonly code: Code[] = [];
  readonly names = new Map<Expr | string, Code>();
  readonly depth: number;
  /** Of a loop: what is done before its first round, and after each. */
  readonly entry: Code[] = [];
  readonly advance: Code[] = [];
  holdsLoop = false;
  /** A loop around parts of one loop. */
  isStrip = false;

  constructor(
    readonly parent: Block | null,
    readonly isLoop: boolean,
    /** Whether it may be entered not at all. */
    readonly conditional: boolean,
    readonly wrap: (body: readonly Code[]) => Code,
  ) {
    this.depth = parent === null ? 0 : parent.depth + 1;
  }
}

interface Result {
  readonly block: Block;
  /** A vector with a value for each lane axis point; "partial" if the lanes are still to be combined into one; "exact" is a double. */
  readonly kind: "scalar" | "vector" | "partial" | "exact";
  readonly local: Code;
  readonly combine: Combine;
  readonly dtype: DType;
}

const isConjunction = (e: Expr): boolean => e.op === "call" && e.fn === "and" && e.args[0].dtype === "bool";
const isSum = (e: Expr): boolean =>
  e.op === "call" &&
  e.dtype === "int32" &&
  (e.fn === "add" || e.fn === "sub" || e.fn === "neg" || (e.fn === "mul" && e.args[1].op === "const"));

const keyOf = (terms: readonly Term[]): string => terms.map(({ coefficient, factor }) => `${coefficient}*${factor.id}`).join("+");

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

interface Address {
  readonly code: Code;
  readonly offset: number;
}

export class Writer {
  private block = new Block(null, false, false, (body) => body);
  private readonly axisLocals = new Map<Axis, number>();
  private readonly axisBlocks = new Map<Axis, Block>();
  /** Of axes that are loops of their own. */
  private readonly steps = new Map<Axis, number>();
  private readonly results = new Map<number, Result>();
  private readonly quads = new Map<LoadExpr, readonly LoadExpr[]>();
  /** Of accumulators of extremes: lanes that have met a NaN. */
  private readonly notNumbers = new Map<number, number>();

  constructor(
    private readonly pool: ExprPool,
    private readonly buffers: readonly BufferSpec[],
    /** Loads that are safe only inside of the loops that took over their guards. */
    private readonly weakened: ReadonlySet<LoadExpr>,
    /** Axes of up to four points that are done at once. */
    private readonly lanes: ReadonlySet<Axis>,
    private readonly locals: Locals,
    private readonly library: Library,
    quads: readonly (readonly LoadExpr[])[],
  ) {
    for (const quad of quads) for (const load of quad) this.quads.set(load, quad);
  }

  finish(): Code {
    return this.block.code;
  }

  get depth(): number {
    return this.block.depth;
  }

  isVector(e: Expr): boolean {
    for (const axis of axesOf(e)) if (this.lanes.has(axis)) return true;
    for (const stage of stagesOf(e)) if (this.results.get(stage)?.kind === "vector") return true;
    return false;
  }

  private readonly keep = (value: Code, type: ValueType): Code => get(this.kept(value, type));

  private kept(value: Code, type: ValueType): number {
    const local = this.locals.add(type);
    this.block.code.push(set(local, value));
    return local;
  }

  // Blocks

  /** A loop over all of an axis. */
  openAxis(axis: Axis): void {
    this.openLoop(axis, this.pool.int(0), this.pool.int(axis.size), 1);
  }

  /** An axis whose value a parameter gives. */
  bind(axis: Axis, parameter: number): void {
    this.axisLocals.set(axis, parameter);
    this.axisBlocks.set(axis, this.block);
  }

  /** A loop over the points of `axes`, the last one fastest, from one number to before another; at least one. */
  openSteps(axes: readonly Axis[], first: Code, end: Code): void {
    if (axes.length === 1) {
      this.openRounds(axes[0], this.locals.add(i32), first, end, 1, false);
      return;
    }
    const step = this.locals.add(i32);
    this.block = new Block(this.block, true, false, (body) => {
      const advance = set(step, int.add(get(step), int.const(1)));
      return [set(step, first), repeat([body, advance], int.lt(get(step), end))];
    });
    let rest = step;
    for (let i = axes.length - 1; i >= 0; i--) {
      const [axis, outer] = [axes[i], rest];
      const size = int.const(axis.size);
      this.axisBlocks.set(axis, this.block);
      this.axisLocals.set(axis, i === 0 ? outer : this.kept(int.remUnsigned(get(outer), size), i32));
      if (i > 0) rest = this.kept(int.divUnsigned(get(outer), size), i32);
    }
  }

  openLoop(axis: Axis, lower: Expr, upper: Expr, step: number): void {
    const [from, to] = [this.value(lower), this.value(upper)];
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    this.openRounds(axis, this.locals.add(i32), from, to, step, mayBeEmpty);
  }

  /**
   * A loop of strips of so many rounds, whose own loop {@link openRounds} the second function opens: what is done before it, and after it
   * is closed, is done once a strip.
   */
  openStrips(axis: Axis, lower: Expr, upper: Expr, step: number, rounds: number): () => void {
    const [from, to] = [this.value(lower), this.value(upper)];
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    const [local, end] = [this.locals.add(i32), this.locals.add(i32)];
    this.block = new Block(this.block, true, mayBeEmpty, (body) => {
      const further = int.add(get(local), int.const(rounds * step));
      const loop: Code = [set(local, from), repeat([set(end, least(further, to)), body], int.lt(get(local), to))];
      return mayBeEmpty ? when(int.lt(from, to), loop) : loop;
    });
    this.block.isStrip = true;
    return () => this.openRounds(axis, local, get(local), get(end), step, false);
  }

  private openRounds(axis: Axis, local: number, from: Code, to: Code, step: number, mayBeEmpty: boolean): void {
    this.axisLocals.set(axis, local);
    const block: Block = new Block(this.block, true, mayBeEmpty, (body) => {
      const next = set(local, int.add(get(local), int.const(step)));
      const loop: Code = [set(local, from), block.entry, repeat([body, block.advance, next], int.lt(get(local), to))];
      return mayBeEmpty ? when(int.lt(from, to), loop) : loop;
    });
    this.block = block;
    this.axisBlocks.set(axis, block);
    this.steps.set(axis, step);
  }

  openBranch(condition: Expr): void {
    const test = this.value(condition);
    this.block = new Block(this.block, false, true, (body) => when(test, body));
  }

  close(): void {
    const { parent, code, wrap } = this.block;
    if (parent === null) throw new InternalError("no block is open");
    if (this.block.isLoop || this.block.holdsLoop) parent.holdsLoop = true;
    parent.code.push(wrap(code));
    this.block = parent;
  }

  // Stages

  /** A new accumulator, in the current block. */
  accumulator(combine: Combine, dtype: DType, isVector: boolean): number {
    const local = this.locals.add(isVector ? v128 : typeOf(dtype));
    const identity = identityOf(combine, dtype);
    this.block.code.push(set(local, isVector ? vectorConstant(identity, dtype) : constant(identity, dtype)));
    if (isVector && dtype === "float32" && (combine === "max" || combine === "min")) {
      this.notNumbers.set(local, this.kept(vector.ints([0, 0, 0, 0]), v128));
    }
    return local;
  }

  accumulate(local: number, combine: Combine, body: Expr, isVector: boolean): void {
    if (isVector && combine === "add" && body.op === "call" && body.fn === "mul" && body.dtype === "float32" && !this.lookUp(body)) {
      const [a, b] = body.args.map((arg) => this.vector(arg));
      this.block.code.push(set(local, this.library.madd(a, b, get(local))));
      return;
    }
    const value = isVector ? this.vector(body) : this.value(body);
    const notNumber = this.notNumbers.get(local);
    if (notNumber !== undefined) {
      // The greater of two in one instruction, which passes over NaN; that is noted beside it.
      const x = this.keep(value, v128);
      this.block.code.push(set(local, (combine === "max" ? floats.pmax : floats.pmin)(get(local), x)));
      this.block.code.push(set(notNumber, vector.or(get(notNumber), floats.ne(x, x))));
      return;
    }
    this.block.code.push(set(local, combined(combine, body.dtype, isVector, get(local), value, this.keep)));
  }

  merge(into: number, combine: Combine, dtype: DType, from: number, isVector: boolean): void {
    this.block.code.push(set(into, combined(combine, dtype, isVector, get(into), get(from), this.keep)));
  }

  setResult(stage: number, local: number, kind: Result["kind"], combine: Combine, dtype: DType): void {
    const notNumber = this.notNumbers.get(local);
    // All bits set are a NaN.
    if (notNumber !== undefined) this.block.code.push(set(local, vector.or(get(local), get(notNumber))));
    this.results.set(stage, { block: this.block, local: get(local), kind, combine, dtype });
  }

  /** Sums of doubles: two vectors, or a scalar. */
  exactSums(isVector: boolean): readonly number[] {
    return isVector ? [0, 1].map(() => this.kept(vector.ints([0, 0, 0, 0]), v128)) : [this.kept(double.const(0), f64)];
  }

  /** A sum of floats goes into sums of doubles. */
  addExactly(sums: readonly number[], from: number): void {
    const x = get(from);
    const parts =
      sums.length === 1 ? [double.fromFloat(x)] : [doubles.fromFloats(x), doubles.fromFloats(vector.shuffle(x, x, [2, 3, 0, 1]))];
    const add = sums.length === 1 ? double.add : doubles.add;
    for (const [i, part] of parts.entries()) this.block.code.push(set(sums[i], add(get(sums[i]), part)));
  }

  setExactResult(stage: number, sums: readonly number[], kind: "scalar" | "vector" | "partial"): void {
    const [low, high] = sums.map(get);
    const own = { block: this.block, combine: "add", dtype: "float32" } as const;
    if (kind === "scalar") {
      this.results.set(stage, { ...own, kind: "exact", local: low });
    } else if (kind === "vector") {
      const local = this.keep(vector.shuffle(doubles.toFloats(low), doubles.toFloats(high), [0, 1, 4, 5]), v128);
      this.results.set(stage, { ...own, kind: "vector", local });
    } else {
      const pair = this.keep(doubles.add(low, high), v128);
      const local = this.keep(double.add(doubles.extract(pair, 0), doubles.extract(pair, 1)), f64);
      this.results.set(stage, { ...own, kind: "exact", local });
    }
  }

  private exactOf(stage: number): Code {
    const { kind, local } = this.results.get(stage) as Result;
    return kind === "exact" ? local : double.fromFloat(this.result(stage));
  }

  private readonly isExact = (stage: number): boolean => this.results.get(stage)?.kind === "exact";

  private exactTotal(stages: readonly number[]): Code {
    return this.keep(stages.map((stage) => this.exactOf(stage)).reduce(double.add), f64);
  }

  /** The result of `stage`, lane by lane from four stages (fewer: the rest is 0), each with more parts that are combined in order. */
  setPacked(stage: number, parts: readonly (readonly number[])[], combine: Combine, dtype: DType): void {
    if (parts.flat().some(this.isExact)) {
      const totals = parts[0].map((_, lane) => float.fromDouble(this.exactTotal(parts.map((part) => part[lane]))));
      const packed = totals.reduce<Code>((code, total, lane) => withLane(code, total, lane, dtype), vectorConstant(0, dtype));
      this.results.set(stage, { block: this.block, local: this.keep(packed, v128), kind: "vector", combine, dtype });
      return;
    }
    const packs = parts.map((numbers) => this.pack(numbers, dtype));
    const code = packs.reduce((a, b) => combined(combine, dtype, true, a, b, this.keep));
    const local = this.keep(code, v128);
    this.results.set(stage, { block: this.block, local, kind: "vector", combine, dtype });
  }

  /** One value from several stages. */
  setCombined(stage: number, parts: readonly number[], combine: Combine, dtype: DType): void {
    if (parts.some(this.isExact)) {
      this.results.set(stage, { block: this.block, local: this.exactTotal(parts), kind: "exact", combine, dtype });
      return;
    }
    const values = parts.map((number) => this.result(number));
    const local = this.keep(
      values.reduce((a, b) => combined(combine, dtype, false, a, b, this.keep)),
      typeOf(dtype),
    );
    this.results.set(stage, { block: this.block, local, kind: "scalar", combine, dtype });
  }

  private pack(numbers: readonly number[], dtype: DType): Code {
    const results = numbers.map((number) => this.results.get(number) as Result);
    if (numbers.length === 4 && results.every(({ kind }) => kind === "partial")) {
      const { combine } = results[0];
      const join = (a: Code, b: Code): Code => this.keep(combined(combine, dtype, true, a, b, this.keep), v128);
      const pair = (a: Code, b: Code): Code => join(vector.shuffle(a, b, [0, 4, 1, 5]), vector.shuffle(a, b, [2, 6, 3, 7]));
      const [left, right] = [pair(results[0].local, results[1].local), pair(results[2].local, results[3].local)];
      return join(vector.shuffle(left, right, [0, 1, 4, 5]), vector.shuffle(left, right, [2, 3, 6, 7]));
    }
    return numbers.reduce<Code>((code, number, lane) => withLane(code, this.result(number), lane, dtype), vectorConstant(0, dtype));
  }

  /** A stage's result as it is used: partial lanes are added up on first use, in the order of {@link pack}. */
  private result(stage: number): Code {
    const { block, local, kind, combine, dtype } = this.results.get(stage) as Result;
    if (kind === "scalar" || kind === "vector") return local;
    return this.remembered(`stage ${stage}`, block, typeOf(dtype), () => {
      if (kind === "exact") return float.fromDouble(local);
      const swapped = this.keep(combined(combine, dtype, true, local, vector.shuffle(local, local, [2, 3, 0, 1]), this.keep), v128);
      const [a, b] = [laneOf(swapped, 0, dtype), laneOf(swapped, 1, dtype)];
      return combined(combine, dtype, false, a, b, this.keep);
    });
  }

  // Values

  /** The value of `e`: a vector where it depends on a lane axis, else a scalar. */
  value(e: Expr): Code {
    if (e.op === "const") return constant(e.value, e.dtype);
    if (e.op === "axis") {
      if (!this.lanes.has(e.axis)) return get(this.axisLocals.get(e.axis) as number);
      return this.remembered("lanes", this.root(), v128, () => vector.ints([0, 1, 2, 3]));
    }
    if (e.op === "acc") return this.result(e.stage);
    const type = this.isVector(e) ? v128 : typeOf(e.dtype);
    return this.remembered(e, this.home(e), type, () => this.print(e));
  }

  /** The value of `e` in four lanes. */
  vector(e: Expr): Code {
    if (this.isVector(e)) return this.value(e);
    if (e.op === "const") {
      const key = `const ${e.dtype} ${Object.is(e.value, -0) ? "-0" : e.value}`;
      return this.remembered(key, this.root(), v128, () => vectorConstant(e.value, e.dtype));
    }
    return this.remembered(`splat ${e.id}`, this.home(e), v128, () => {
      if (e.op === "load" && e.dtype === "float32" && e.guard === null && !this.lookUp(e)) {
        const { code, offset } = this.address(e.buffer, e.index);
        return vector.loadSplat(code, offset);
      }
      return splat(this.value(e), e.dtype);
    });
  }

  /** The value under a local that later writes do not change. */
  hold(e: Expr, guard: Expr | null): Code {
    if (guard === null || this.isVector(guard)) return this.value(e);
    const type = this.isVector(e) ? v128 : typeOf(e.dtype);
    const zero = type === v128 ? vectorConstant(0, e.dtype) : constant(0, e.dtype);
    return this.branches(
      this.value(guard),
      type,
      () => this.value(e),
      () => zero,
    );
  }

  private remembered(key: Expr | string, home: Block, type: ValueType, make: () => Code): Code {
    const known = this.lookUp(key);
    if (known !== undefined) return known;
    return this.inside(home, () => {
      const code = this.keep(make(), type);
      home.names.set(key, code);
      return code;
    });
  }

  private lookUp(key: Expr | string): Code | undefined {
    for (let block: Block | null = this.block; block !== null; block = block.parent) {
      const code = block.names.get(key);
      if (code !== undefined) return code;
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

  private root(): Block {
    let block = this.block;
    while (block.parent !== null) block = block.parent;
    return block;
  }

  /** The outermost block in which everything that `e` depends on is known. */
  private needed(e: Expr): Block {
    let deepest = this.root();
    for (const axis of axesOf(e)) {
      const block = this.axisBlocks.get(axis);
      if (block && block.depth > deepest.depth) deepest = block;
    }
    for (const stage of stagesOf(e)) {
      const block = this.results.get(stage)?.block;
      if (block && block.depth > deepest.depth) deepest = block;
    }
    return deepest;
  }

  private home(e: Expr): Block {
    const needed = this.needed(e);
    let block = this.block;
    while (block.depth > needed.depth && (!block.conditional || this.mayLeave(e, block, needed))) block = block.parent as Block;
    return block;
  }

  /** Out of a branch goes what can do no harm, if that saves a loop's repetitions. */
  private mayLeave(e: Expr, from: Block, to: Block): boolean {
    if (!this.isHarmless(e)) return false;
    for (let block: Block | null = from; block !== null && block !== to; block = block.parent) if (block.isLoop) return true;
    return false;
  }

  private readonly harmless = new Map<Expr, boolean>();

  /** Whether evaluating `e` where nobody asked for it stays inside of the memory. */
  private isHarmless(e: Expr): boolean {
    let result = this.harmless.get(e);
    if (result === undefined) {
      result = children(e).every((child) => this.isHarmless(child));
      if (e.op === "load" && this.weakened.has(e)) result &&= this.isReadable(e);
      this.harmless.set(e, result);
    }
    return result;
  }

  /** Whether the load stays within the margins even where its guard is false. */
  private isReadable(e: LoadExpr): boolean {
    const bytes = bytesOf(e.dtype);
    return e.index.lo * bytes >= -(margin - 64) && (e.index.hi - this.buffers[e.buffer].length) * bytes <= margin - 64;
  }

  private print(e: Expr): Code {
    if (e.op === "load") return this.load(e);
    if (e.op !== "call") throw new InternalError(`wasm cannot compile a ${e.op}`);
    if (isSum(e)) return this.isVector(e) ? this.vectorSum(e) : this.sum(sumOf(e).constant, sumOf(e).terms);
    if (isConjunction(e)) return this.conjunction(e);
    if (e.fn === "where" && !this.isVector(e.args[0])) return this.choose(e);
    if (!this.isVector(e)) {
      return scalarCall(
        e,
        e.args.map((arg) => this.value(arg)),
        this.keep,
        this.library,
      );
    }
    const args = e.args.map((arg) => this.vector(arg));
    return vectorCall(e, args, this.library, this.scope) ?? this.eachLane(e, args);
  }

  private inlinedCalls = 0;

  /** For a function written in place; null where there are many of them already. */
  private readonly scope = (args: readonly Code[]): Scope | null => {
    if (this.inlinedCalls++ >= maxInlined) return null;
    return {
      args,
      keep: (value, type = v128) => this.keep(value, type),
      floats: (value) => this.shared(value, "float32"),
      ints: (value) => this.shared(value, "int32"),
    };
  };

  /** A constant before the loop that uses it, if that has no loops inside, whose registers it would take. */
  private shared(value: number, dtype: "float32" | "int32"): Code {
    let loop: Block | null = this.block;
    while (loop !== null && !loop.isLoop) loop = loop.parent;
    let home = loop === null || loop.holdsLoop ? this.block : (loop.parent as Block);
    while (home.isStrip) home = home.parent as Block;
    const code = dtype === "float32" ? this.library.constants.floats(value) : this.library.constants.ints(value);
    return this.remembered(`table ${dtype} ${Object.is(value, -0) ? "-0" : value}`, home, v128, () => code);
  }

  private eachLane(e: CallExpr, args: readonly Code[]): Code {
    let result = vectorConstant(0, e.dtype);
    for (let lane = 0; lane < 4; lane++) {
      const scalars = args.map((arg, i) => laneOf(arg, lane, e.args[i].dtype));
      result = this.keep(withLane(result, scalarCall(e, scalars, this.keep, this.library), lane, e.dtype), v128);
    }
    return result;
  }

  /** `where` on a condition that is the same for all lanes. */
  private choose(e: CallExpr): Code {
    const [condition, a, b] = e.args;
    const wide = this.isVector(e);
    const evaluate = (part: Expr) => (): Code => (wide ? this.vector(part) : this.value(part));
    const cheap = (part: Expr): boolean => {
      const nodes = nodesOf([part]);
      return nodes.size <= 12 && ![...nodes].some((node) => node.op === "call" && isExpensive(node.fn)) && this.isHarmless(part);
    };
    const test = this.value(condition);
    if (cheap(a) && cheap(b)) return select(evaluate(a)(), evaluate(b)(), test);
    return this.branches(test, wide ? v128 : typeOf(e.dtype), evaluate(a), evaluate(b));
  }

  private branches(condition: Code, type: ValueType, a: () => Code, b: () => Code): Code {
    const local = this.locals.add(type);
    const branch = (make: () => Code): Code => {
      const block = new Block(this.block, false, true, (body) => body);
      const value = this.inside(block, make);
      return [block.code, set(local, value)];
    };
    const [first, second] = [branch(a), branch(b)];
    this.block.code.push(when(condition, first, second));
    return get(local);
  }

  // Integers and addresses

  /** The parts by the block where they are known, outermost first. */
  private byHome<T>(parts: readonly T[], factor: (part: T) => Expr): (readonly [Block, readonly T[]])[] {
    const groups = new Map<Block, T[]>();
    for (const part of parts) {
      const home = this.home(factor(part));
      groups.set(home, [...(groups.get(home) ?? []), part]);
    }
    return [...groups].sort(([a], [b]) => a.depth - b.depth);
  }

  /** Outer partial sums are hoisted, so that an inner loop only adds. `scale` multiplies all terms, `base` is added. */
  private partialSum(terms: readonly Term[], scale: number, base: { readonly key: string; readonly code: Code } | null): Code | null {
    let code = base?.code ?? null;
    const done: Term[] = [];
    for (const [home, group] of this.byHome(terms, (term) => term.factor)) {
      done.push(...group);
      const outer = code;
      code = this.remembered(`${base?.key ?? ""} ${scale} ${keyOf(done)}`, home, i32, () => {
        if (group.length === 1) {
          const pointer = this.pointer(home, group[0], scale, outer);
          if (pointer !== null) return pointer;
        }
        let sum = outer;
        for (const { coefficient, factor } of group) sum = addTerm(sum, this.value(factor), Math.imul(coefficient, scale));
        return sum as Code;
      });
    }
    return code;
  }

  /** A place that moves on with a loop, by an addition a round; null where the term is not the loop's own axis. */
  private pointer(home: Block, { coefficient, factor }: Term, scale: number, outer: Code | null): Code | null {
    const step = factor.op === "axis" ? this.steps.get(factor.axis) : undefined;
    if (factor.op !== "axis" || step === undefined || this.axisBlocks.get(factor.axis) !== home || outer === null) return null;
    const stride = Math.imul(coefficient, scale);
    const local = this.locals.add(i32);
    home.entry.push(set(local, addTerm(outer, this.value(factor), stride)));
    home.advance.push(set(local, int.add(get(local), int.const(Math.imul(stride, step)))));
    return get(local);
  }

  private sum(fixed: number, terms: readonly Term[]): Code {
    const code = this.partialSum(terms, 1, null);
    if (code === null) return int.const(fixed);
    return fixed === 0 ? code : int.add(code, int.const(fixed));
  }

  private vectorSum(e: Expr): Code {
    const { constant: fixed, terms } = sumOf(e);
    const plain = terms.filter(({ factor }) => !this.isVector(factor));
    let code: Code | null = null;
    for (const { coefficient, factor } of terms) {
      if (!this.isVector(factor)) continue;
      const value = this.value(factor);
      const part = coefficient === 1 ? value : ints.mul(value, vectorConstant(coefficient, "int32"));
      code = code === null ? part : ints.add(code, part);
    }
    if (plain.length === 0) return fixed === 0 ? (code as Code) : ints.add(code as Code, vectorConstant(fixed, "int32"));
    return ints.add(code as Code, ints.splat(this.sum(fixed, plain)));
  }

  private conjunction(e: Expr): Code {
    const wide = this.isVector(e);
    const parts = conjuncts(e);
    const both = (a: Code | null, b: Code): Code => (a === null ? b : wide ? vector.and(a, b) : int.and(a, b));
    let code: Code | null = null;
    let key = `and ${wide}`;
    for (const [home, group] of this.byHome(parts, (part) => part)) {
      key += group.map((part) => ` ${part.id}`).join("");
      const outer = code;
      code = this.remembered(
        key,
        home,
        wide ? v128 : i32,
        () => group.reduce<Code | null>((sum, part) => both(sum, wide ? this.vector(part) : this.value(part)), outer) as Code,
      );
    }
    return code as Code;
  }

  /** Where an element of a buffer lies; `index` is a scalar. */
  private address(buffer: number, index: Expr): Address {
    const { constant: fixed, terms } = sumOf(index);
    return this.addressOf(buffer, fixed, terms);
  }

  private addressOf(buffer: number, fixed: number, terms: readonly Term[]): Address {
    const bytes = bytesOf(this.buffers[buffer].dtype);
    const code = this.partialSum(terms, bytes, { key: `b${buffer}`, code: get(buffer) }) as Code;
    const offset = fixed * bytes;
    // The instruction's own offset does not wrap: what it is added to must lie in the memory.
    if (offset >= 0 && offset < 2 ** 31 && sumRange(0, terms).lo * bytes >= -margin) return { code, offset };
    return {
      code: this.remembered(`b${buffer} ${fixed} ${keyOf(terms)}`, this.block, i32, () => int.add(code, int.const(offset))),
      offset: 0,
    };
  }

  /** Where the elements for the lanes lie: at a fixed distance from one another, or anywhere. */
  private places(buffer: number, index: Expr): { readonly stride: number | null; readonly at: (lane: number) => Address } {
    const { constant: fixed, terms } = sumOf(index);
    const moving = terms.filter(({ factor }) => this.isVector(factor));
    const isLane = (factor: Expr): boolean => factor.op === "axis" && this.lanes.has(factor.axis);
    if (moving.every(({ factor }) => isLane(factor))) {
      const stride = moving[0]?.coefficient ?? 0;
      const plain = terms.filter((term) => !moving.includes(term));
      return { stride, at: (lane) => this.addressOf(buffer, fixed + lane * stride, plain) };
    }
    const needsLoads = [...nodesOf([index])].some((node) => (node.op === "load" || node.op === "acc") && this.isVector(node));
    if (!needsLoads) {
      const lane = [...axesOf(index)].find((axis) => this.lanes.has(axis)) as Axis;
      return { stride: null, at: (i) => this.address(buffer, this.pool.substitute(index, new Map([[lane, this.pool.int(i)]]))) };
    }
    const at = (lane: number): Address => {
      const element = ints.extract(this.value(index), lane);
      const bytes = bytesOf(this.buffers[buffer].dtype);
      return { code: this.keep(int.add(get(buffer), bytes === 1 ? element : int.mul(element, int.const(bytes))), i32), offset: 0 };
    };
    return { stride: null, at };
  }

  /** How many lanes of `e` mean something. */
  private active(e: Expr): number {
    for (const axis of axesOf(e)) if (this.lanes.has(axis)) return axis.size;
    return 4;
  }

  private scalarLoad(dtype: DType, { code, offset }: Address): Code {
    if (dtype === "bool") return int.loadByte(code, offset);
    return (dtype === "float32" ? float : dtype === "float64" ? double : int).load(code, offset);
  }

  private load(e: LoadExpr): Code {
    const wide = this.isVector(e);
    const { guard } = e;
    const plain = (): Code => (wide ? this.vectorLoad(e) : this.scalarLoad(e.dtype, this.address(e.buffer, e.index)));
    if (guard === null) return plain();
    const zero = wide ? vectorConstant(0, e.dtype) : constant(0, e.dtype);
    const readable = this.isReadable(e);
    if (!this.isVector(guard)) {
      const test = this.value(guard);
      return readable ? select(plain(), zero, test) : this.branches(test, wide ? v128 : typeOf(e.dtype), plain, () => zero);
    }
    const mask = this.value(guard);
    if (!this.isVector(e.index)) {
      const scalar = (): Code => splat(this.scalarLoad(e.dtype, this.address(e.buffer, e.index)), e.dtype);
      if (readable) return vector.and(scalar(), mask);
      const value = this.branches(vector.anyTrue(mask), v128, scalar, () => zero);
      return vector.and(value, mask);
    }
    if (readable) return vector.and(plain(), mask);
    // Whether a lane may be read is known only to the mask.
    const result = this.locals.add(v128);
    this.block.code.push(set(result, zero));
    const { at } = this.places(e.buffer, e.index);
    for (let lane = 0; lane < this.active(e); lane++) {
      const block = new Block(this.block, false, true, (body) => body);
      const value = this.inside(block, () => withLane(get(result), this.scalarLoad(e.dtype, at(lane)), lane, e.dtype));
      this.block.code.push(when(ints.extract(mask, lane), [block.code, set(result, value)]));
    }
    return get(result);
  }

  private vectorLoad(e: LoadExpr): Code {
    const quad = this.quads.get(e);
    if (quad !== undefined) return this.transposed(e, quad);
    const { stride, at } = this.places(e.buffer, e.index);
    const zero = vectorConstant(0, "int32");
    if (stride === 0) return splat(this.scalarLoad(e.dtype, at(0)), e.dtype);
    if (stride === 1) {
      const { code, offset } = at(0);
      if (e.dtype !== "bool") return vector.load(code, offset);
      return ints.ne(vector.extendHalves(vector.extendBytes(vector.loadZero(code, offset))), zero);
    }
    let result = zero;
    for (let lane = 0; lane < this.active(e); lane++) {
      const place = at(lane);
      result =
        e.dtype === "bool"
          ? withLane(result, this.scalarLoad("bool", place), lane, "bool")
          : vector.loadLane(place.code, result, lane, place.offset);
    }
    return result;
  }

  /** The load's part of its four: rows are read where each lane lies, and columns are what the loads ask for. */
  private transposed(e: LoadExpr, quad: readonly LoadExpr[]): Code {
    const nameOf = (load: LoadExpr): string => `column ${load.id}`;
    const known = this.lookUp(nameOf(e));
    if (known !== undefined) return known;
    const { at } = this.places(quad[0].buffer, quad[0].index);
    const rows = [0, 1, 2, 3].map((lane) => this.keep(vector.load(at(lane).code, at(lane).offset), v128));
    const mix = (a: Code, b: Code, lanes: readonly number[]): Code => this.keep(vector.shuffle(a, b, lanes), v128);
    const halves = [
      [0, 4, 1, 5],
      [2, 6, 3, 7],
    ].map((lanes) => [mix(rows[0], rows[1], lanes), mix(rows[2], rows[3], lanes)] as const);
    const columns = halves.flatMap(([a, b]) => [mix(a, b, [0, 1, 4, 5]), mix(a, b, [2, 3, 6, 7])]);
    quad.forEach((load, i) => {
      this.block.names.set(nameOf(load), columns[i]);
    });
    return columns[quad.indexOf(e)];
  }

  // Stores

  store({ buffer, index, value: stored, guard }: Store, value: Code): void {
    const { dtype } = this.buffers[buffer];
    const wide = this.isVector(stored);
    const isWide = this.isVector(index) || wide || (guard !== null && this.isVector(guard));
    if (!isWide) {
      this.scalarStore(dtype, this.address(buffer, index), value);
      return;
    }
    const { stride, at } = this.places(buffer, index);
    const active = Math.min(this.active(index), this.active(stored), guard === null ? 4 : this.active(guard));
    const mask = guard !== null && this.isVector(guard) ? this.value(guard) : null;
    if (stride === 1 && active === 4 && mask === null && dtype !== "bool") {
      const { code, offset } = at(0);
      this.block.code.push(vector.store(code, wide ? value : splat(value, dtype), offset));
      return;
    }
    for (let lane = 0; lane < active; lane++) {
      const block = new Block(this.block, false, true, (body) => body);
      this.inside(block, () => this.scalarStore(dtype, at(lane), wide ? laneOf(value, lane, dtype) : value));
      this.block.code.push(mask === null ? block.code : when(ints.extract(mask, lane), block.code));
    }
  }

  private scalarStore(dtype: DType, { code, offset }: Address, value: Code): void {
    const ops = dtype === "float32" ? float : dtype === "float64" ? double : int;
    this.block.code.push(dtype === "bool" ? int.storeByte(code, value, offset) : ops.store(code, value, offset));
  }
}

/** Of values without side effects: both are evaluated. */
const least = (a: Code, b: Code): Code => select(a, b, int.lt(a, b));

function addTerm(sum: Code | null, factor: Code, coefficient: number): Code {
  const size = Math.abs(coefficient);
  const part = size === 1 ? factor : isPowerOfTwo(size) ? int.shl(factor, int.const(Math.log2(size))) : int.mul(factor, int.const(size));
  if (coefficient > 0) return sum === null ? part : int.add(sum, part);
  return int.sub(sum ?? int.const(0), part);
}
