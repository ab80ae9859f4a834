/**
 * Memory: where elements lie, and how they are read and written, alone or four at a time. Sums of integers are split by the blocks where
 * their parts are known, so that an inner loop only adds.
 */
import type { DType } from "../../engine/dtype.js";
import { sumOf, sumRange, type Term } from "../../engine/kernel/affine.js";
import type { Axis, BufferSpec, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { axesOf, type ExprPool } from "../../engine/kernel/simplify.js";
import { keyOf } from "../loops/homes.js";
import { nodesOf } from "../loops/walk.js";
import { type Code, double, float, get, i32, int, ints, type Locals, select, set, v128, vector, when } from "./binary.js";
import { constant, laneOf, splat, typeOf, vectorConstant, withLane } from "./scalar.js";
import { Block, ScopeWriter } from "./scopes.js";

/**
 * Bytes before the first buffer and after the last one that may be read: a load whose guard is false may touch them, as its result is
 * masked. Nothing is ever written there.
 */
export const margin = 65536;

export const bytesOf = (dtype: DType): number => (dtype === "float64" ? 8 : dtype === "bool" ? 1 : 4);

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

interface Address {
  readonly code: Code;
  readonly offset: number;
}

export abstract class MemoryWriter extends ScopeWriter {
  /** Each with the four that it is read together with. */
  private readonly quads = new Map<LoadExpr, readonly LoadExpr[]>();

  constructor(
    pool: ExprPool,
    private readonly buffers: readonly BufferSpec[],
    /** Loads that are safe only inside of the loops that took over their guards. */
    private readonly weakened: ReadonlySet<LoadExpr>,
    /** Axes of up to four points that are done at once. */
    protected readonly lanes: ReadonlySet<Axis>,
    locals: Locals,
    quads: readonly (readonly LoadExpr[])[],
  ) {
    super(pool, locals);
    for (const quad of quads) for (const load of quad) this.quads.set(load, quad);
  }

  /** Whether its value is four lanes. */
  abstract isVector(e: Expr): boolean;

  protected isSafe(load: LoadExpr): boolean {
    return !this.weakened.has(load) || this.isReadable(load);
  }

  /** Whether the load stays within the margins even where its guard is false. */
  private isReadable(e: LoadExpr): boolean {
    const bytes = bytesOf(e.dtype);
    return e.index.lo * bytes >= -(margin - 64) && (e.index.hi - this.buffers[e.buffer].length) * bytes <= margin - 64;
  }

  // Sums

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
    const bytes = Math.imul(stride, step);
    home.entry.push(set(local, addTerm(outer, get(this.axisLocals.get(factor.axis) as number), stride)));
    home.advance.push(set(local, int.add(get(local), int.const(bytes))));
    home.place ??= { local, bytes };
    return get(local);
  }

  protected sum(fixed: number, terms: readonly Term[]): Code {
    const code = this.partialSum(terms, 1, null);
    if (code === null) return int.const(fixed);
    return fixed === 0 ? code : int.add(code, int.const(fixed));
  }

  // Places

  /** Where an element of a buffer lies; `index` is a scalar. */
  protected address(buffer: number, index: Expr): Address {
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

  protected load(e: LoadExpr): Code {
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

function addTerm(sum: Code | null, factor: Code, coefficient: number): Code {
  const size = Math.abs(coefficient);
  const part = size === 1 ? factor : isPowerOfTwo(size) ? int.shl(factor, int.const(Math.log2(size))) : int.mul(factor, int.const(size));
  if (coefficient > 0) return sum === null ? part : int.add(sum, part);
  return int.sub(sum ?? int.const(0), part);
}
