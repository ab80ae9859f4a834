/**
 * Where instructions go: nested blocks (loops, branches) with the values that each remembers, so that nothing is computed twice within
 * reach, or again and again inside of a loop.
 */

import { InternalError } from "../../engine/errors.js";
import type { Axis, Expr } from "../../engine/kernel/ir.js";
import type { ExprPool } from "../../engine/kernel/simplify.js";
import { Enclosing, Homes } from "../loops/homes.js";
import { type Code, get, i32, int, type Locals, repeat, select, set, type ValueType, when } from "./binary.js";

export class Block extends Enclosing<Code, Block> {
  readonly code: Code[] = [];
  /** Of a loop: what is done before its first round, and after each. */
  readonly entry: Code[] = [];
  readonly advance: Code[] = [];
  /** Of a loop: a place that moves on by so many bytes a round, if there is one. */
  place: { readonly local: number; readonly bytes: number } | null = null;
  holdsLoop = false;
  /** A loop around parts of one loop. */
  isStrip = false;

  constructor(
    parent: Block | null,
    isLoop: boolean,
    conditional: boolean,
    readonly wrap: (body: readonly Code[]) => Code,
  ) {
    super(parent, isLoop, conditional);
  }
}

/** Opens and closes blocks. What expressions are worth is the business of those that extend it. */
export abstract class ScopeWriter extends Homes<Code, Block> {
  protected block = new Block(null, false, false, (body) => body);
  protected readonly axisLocals = new Map<Axis, number>();
  /** Of axes that are loops of their own. */
  protected readonly steps = new Map<Axis, number>();
  /** Axes whose value itself is asked for, and not only places that move on with it. */
  protected readonly counted = new Set<Axis>();

  constructor(
    protected readonly pool: ExprPool,
    protected readonly locals: Locals,
  ) {
    super();
  }

  /** The value of `e`: a vector where it depends on a lane axis, else a scalar. */
  abstract value(e: Expr): Code;

  finish(): Code {
    return this.block.code;
  }

  protected readonly keep = (value: Code, type: ValueType): Code => get(this.kept(value, type));

  protected kept(value: Code, type: ValueType): number {
    const local = this.locals.add(type);
    this.block.code.push(set(local, value));
    return local;
  }

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

  protected openRounds(axis: Axis, local: number, from: Code, to: Code, step: number, mayBeEmpty: boolean): void {
    this.axisLocals.set(axis, local);
    const block: Block = new Block(this.block, true, mayBeEmpty, (body) => {
      const loop: Code = [set(local, from), block.entry, this.rounds(axis, local, to, step, block, body)];
      return mayBeEmpty ? when(int.lt(from, to), loop) : loop;
    });
    this.block = block;
    this.axisBlocks.set(axis, block);
    this.steps.set(axis, step);
  }

  /** From the axis' value to `to`: counted by a place that moves on, where nobody wants the value itself. */
  private rounds(axis: Axis, local: number, to: Code, step: number, { place, advance }: Block, body: readonly Code[]): Code {
    if (place === null || step !== 1 || this.counted.has(axis)) {
      const next = set(local, int.add(get(local), int.const(step)));
      return repeat([body, advance, next], int.lt(get(local), to));
    }
    const end = this.locals.add(i32);
    const bytes = int.mul(int.sub(to, get(local)), int.const(place.bytes));
    const loop = repeat([body, advance], int.ne(get(place.local), get(end)));
    return [set(end, int.add(get(place.local), bytes)), loop, set(local, to)];
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

  protected remembered(key: Expr | string, home: Block, type: ValueType, make: () => Code): Code {
    const known = this.lookUp(key);
    if (known !== undefined) return known;
    return this.inside(home, () => {
      const code = this.keep(make(), type);
      home.names.set(key, code);
      return code;
    });
  }

  protected branches(condition: Code, type: ValueType, a: () => Code, b: () => Code): Code {
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
}

/** Of values without side effects: both are evaluated. */
const least = (a: Code, b: Code): Code => select(a, b, int.lt(a, b));
