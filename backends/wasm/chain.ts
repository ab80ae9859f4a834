/**
 * Chains: block by block of rows, each part of the chain for all rows of the block, with their locals in a small array of the thread's own,
 * which stays in the second-level cache. What a product reads across its columns is transposed once, before.
 */

import type { Axis, BufferSpec, ChainKernel, Expr, LoadExpr, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { axesOf, ExprPool } from "../../engine/kernel/simplify.js";
import { Importer, mapExprs, type Nest } from "../loops/nest.js";
import { type Code, call, get, i32, int, Locals, ModuleWriter, repeat, set, type ValueType, when } from "./binary.js";
import { pointOf } from "./blocks.js";
import { blockFunction, blockParts, emitPhase, importsOf, type LoopModule, type Phase, type Target } from "./emit.js";
import { Library } from "./math.js";
import { strideOf } from "./pack.js";
import { splitRows } from "./rows.js";
import { stepsOf } from "./steps.js";
import { copyNest, placeOf } from "./window.js";

/** Elements of the rows of a block, of all locals together: what the caches near a core hold. Long rows are still taken a few at a time, up to a limit. */
const blockElements = 2 ** 13;
const fewRows = 16;
const mostElements = 2 ** 18;
/** What a multiple of is worth having, as register tiles are as high. */
const tileRows = 4;
/** Sums along rows are gathered in shares until there is so much to divide among threads; their number must not depend on that of threads. */
const leastSteps = 4;
/** Elements of a cache line. */
const line = 16;

interface Part extends Nest {
  readonly sums: boolean;
}

const upTo = (by: number, size: number): number => Math.ceil(size / by) * by;

export function compileChain(kernel: ChainKernel, { relaxed, shared, constants }: Target): LoopModule {
  const pool = new ExprPool();
  const chain = new Chain(kernel, pool);
  const module = new ModuleWriter(shared);
  const names = new Set(chain.parts.flatMap((part) => [...importsOf(part)]));
  const library = new Library(module, names, relaxed, constants);
  const phases: Phase[] = [];
  const addPhases = (nests: readonly Nest[]): void => {
    for (const nest of nests)
      phases.push(emitPhase(module, library, pool, [...chain.outside, chain.own], blockParts(pool, nest), phases.length));
  };
  addPhases(chain.before());
  const { beside, share, shares, whole, rows, left } = chain;
  let work = 0;
  const functionsFor = (nests: readonly Nest[], given: readonly Axis[], times: number): readonly number[] =>
    nests
      .flatMap((nest) => blockParts(pool, nest))
      .map((part) => {
        work += times * stepsOf(part).work;
        return blockFunction(module, library, pool, [...chain.outside, ...chain.locals], part, given);
      });
  const block = pool.newAxis("block", whole);
  const given = [beside, share];
  const ofBlock = functionsFor(chain.nestsFor(rows, pool.mul(pool.axis(block), pool.int(rows))), [...given, block], whole * beside.size);
  const ofRest = left === 0 ? [] : functionsFor(chain.nestsFor(left, pool.int(whole * rows)), given, beside.size);

  const own = chain.outside.length;
  const [from, end] = [own + 1, own + 2];
  const locals = new Locals(own + 3);
  const [point, part, number, last] = Array.from({ length: 4 }, () => locals.add(i32));
  const starts = chain.locals.map((_, i) => 4 * chain.locals.slice(0, i).reduce((sum, { length }) => sum + length, 0));
  const addresses = [
    ...chain.outside.map((_, i) => get(i)),
    ...starts.map((bytes) => int.add(get(own), int.const(bytes))),
    get(point),
    get(part),
  ];
  const perPoint = whole + (left > 0 ? 1 : 0);
  const firstOf = (code: Code): Code => int.divUnsigned(int.mul(code, int.const(perPoint)), int.const(shares));
  const blockOnce: Code = ofBlock.map((fn) => call(fn, ...addresses, get(number)));
  const rest: Code = ofRest.map((fn) => call(fn, ...addresses));
  const once = left === 0 ? blockOnce : when(int.lt(get(number), int.const(whole)), blockOnce, rest);
  const step: Code = [
    set(point, int.divUnsigned(get(from), int.const(shares))),
    set(part, int.remUnsigned(get(from), int.const(shares))),
    set(number, firstOf(get(part))),
    set(last, firstOf(int.add(get(part), int.const(1)))),
    repeat([once, next(number)], int.lt(get(number), get(last))),
  ];
  const run = repeat([step, next(from)], int.lt(get(from), get(end)));
  module.export(`phase${phases.length}`, module.addFunction(new Array<ValueType>(own + 3).fill(i32), [], locals, run));
  phases.push({ steps: beside.size * shares, work });
  addPhases(chain.after());
  return { bytes: module.finish(), phases, scratch: chain.scratch, own: chain.own.length };
}

/** How a chain's rows are divided, and where everything has its place. */
class Chain {
  readonly parts: readonly Part[];
  readonly rows: number;
  /** Blocks of so many rows, and the rows after them. */
  readonly whole: number;
  readonly left: number;
  /** Steps for each point beside the rows: one for each block, but few where each keeps a sum of its own. */
  readonly shares: number;
  readonly beside: Axis;
  readonly share: Axis;
  readonly scratch: readonly number[];
  /** Buffers and scratch. */
  readonly outside: readonly BufferSpec[];
  readonly locals: readonly BufferSpec[];
  /** The array of each thread, in which the locals lie. */
  readonly own: BufferSpec;
  private readonly outer: readonly Axis[];
  private readonly row: Axis;
  private readonly first: number;
  private readonly pitches: readonly number[];
  private readonly copies: readonly Copy[];
  private readonly sums: readonly Part[];

  constructor(
    kernel: ChainKernel,
    private readonly pool: ExprPool,
  ) {
    const importer = new Importer(pool);
    this.parts = kernel.parts.map((part): Part => ({ ...importer.nest(part), sums: part.sums }));
    const axes = kernel.axes.map((axis) => importer.axis(axis));
    [this.outer, this.row] = [axes.slice(0, -1), axes[axes.length - 1]];
    this.first = kernel.buffers.length;
    this.copies = this.parts.flatMap((part) => transposed(pool, part, axes, (load) => load.buffer < this.first));
    this.sums = this.parts.filter(({ sums }) => sums);
    this.pitches = kernel.locals.map(({ length }) => upTo(tileRows, length));
    this.rows = rowsOf(this.row.size, this.pitches);
    this.whole = Math.floor(this.row.size / this.rows);
    this.left = this.row.size % this.rows;
    this.beside = pool.newAxis("beside", pointCount(this.outer));
    const blocks = Math.ceil(this.row.size / this.rows);
    this.shares = this.sums.length === 0 ? blocks : Math.min(blocks, Math.ceil(leastSteps / this.beside.size));
    this.share = pool.newAxis("share", this.shares);
    const partial = this.shares === 1 ? [] : this.sums.map(({ stores: [{ buffer }] }) => this.shares * kernel.buffers[buffer].length);
    this.scratch = [...this.copies.map(({ length }) => length), ...partial];
    this.outside = [
      ...kernel.buffers.map((spec): BufferSpec => (spec.access === "write" ? { ...spec, access: "readwrite" } : spec)),
      ...this.scratch.map(array),
    ];
    this.locals = this.pitches.map((pitch) => array(this.rows * pitch));
    this.own = array(upTo(line, this.rows * this.pitches.reduce((sum, pitch) => sum + pitch, 0)));
  }

  /** What is transposed, and sums that begin at nothing. */
  before(): readonly Nest[] {
    return [
      ...this.copies.map(({ order, index, load }, i) => copyNest(order, index, this.first + i, load)),
      ...this.sums.map((part) => {
        const { buffer, index } = this.gathered(part, this.share);
        return copyNest([this.share, ...this.outer, ...part.axes], index, buffer, this.pool.const(0, "float32"));
      }),
    ];
  }

  /** The parts for `size` rows from `start` on. */
  nestsFor(size: number, start: Expr): readonly Nest[] {
    const { pool, first, copies } = this;
    const inBlock = pool.newAxis("row", size);
    const map = new Map([...pointOf(pool, this.outer, pool.axis(this.beside)), [this.row, pool.add(start, pool.axis(inBlock))]]);
    const place = (number: number, index: Expr): Expr =>
      pool.add(pool.mul(pool.axis(inBlock), pool.int(this.pitches[number - first])), index);
    const replaced = (e: Expr): Expr | null => {
      if (e.op !== "load") return null;
      if (e.buffer >= first) return pool.load(e.buffer + this.scratch.length, place(e.buffer, e.index), e.dtype, e.guard);
      const copy = copies.findIndex(({ load }) => load === e);
      return copy < 0 ? null : pool.load(first + copy, copies[copy].index, "float32");
    };
    return this.parts.flatMap((part): readonly Nest[] => {
      const stores = part.sums ? [this.gathered(part, this.share)] : part.stores;
      const moved = mapExprs({ ...part, stores }, (e) => pool.substitute(pool.rewrite(e, replaced), map));
      if (part.sums) {
        const [stage, store] = [moved.stages[0], moved.stores[0]];
        const value = pool.add(pool.load(store.buffer, store.index, "float32"), store.value);
        return [{ axes: part.axes, stages: [{ ...stage, axes: [inBlock, ...stage.axes] }], stores: [{ ...store, value }] }];
      }
      const placed = moved.stores.map((store) =>
        store.buffer < first ? store : { ...store, buffer: store.buffer + this.scratch.length, index: place(store.buffer, store.index) },
      );
      const nest: Nest = { axes: [...part.axes, inBlock], stages: moved.stages, stores: placed };
      return splitRows(pool, nest, 0) ?? [nest];
    });
  }

  /** The sums of the shares together. */
  after(): readonly Nest[] {
    if (this.shares === 1) return [];
    const { pool } = this;
    return this.sums.map((part) => {
      const { buffer, index } = this.gathered(part, this.share);
      const ofShare = (i: number): Expr => pool.load(buffer, pool.substitute(index, new Map([[this.share, pool.int(i)]])), "float32");
      const total = Array.from({ length: this.shares }, (_, i) => ofShare(i)).reduce((sum, value) => pool.add(sum, value));
      const [store] = part.stores;
      return copyNest([...this.outer, ...part.axes], store.index, store.buffer, total);
    });
  }

  /** Where a share's sum is gathered: in its place, or beside those of the others. */
  private gathered(part: Part, share: Axis): Store {
    const [store] = part.stores;
    if (this.shares === 1) return store;
    const buffer = this.first + this.copies.length + this.sums.indexOf(part);
    const length = this.outside[store.buffer].length;
    return { ...store, buffer, index: this.pool.add(this.pool.mul(this.pool.axis(share), this.pool.int(length)), store.index) };
  }
}

const array = (length: number): BufferSpec => ({ dtype: "float32", length, access: "readwrite" });

function rowsOf(size: number, pitches: readonly number[]): number {
  const elements = pitches.reduce((sum, pitch) => sum + pitch, 0);
  const near = Math.max(fewRows, Math.floor(blockElements / elements));
  const most = Math.max(1, Math.min(near, Math.floor(mostElements / elements)));
  const even = Math.ceil(size / Math.ceil(size / most));
  return Math.min(size, even > tileRows ? upTo(tileRows, even) : even);
}

interface Copy {
  readonly load: LoadExpr;
  readonly order: readonly Axis[];
  /** Where in the copy an element is, its columns side by side. */
  readonly index: Expr;
  readonly length: number;
}

/** What a product of a chain reads with its columns apart, and with none of its rows. */
function transposed(
  pool: ExprPool,
  { axes, stages, stores, sums }: Part,
  shared: readonly Axis[],
  inBuffers: (load: LoadExpr) => boolean,
): readonly Copy[] {
  const [stage] = stages;
  const row = shared[shared.length - 1];
  const column = axes.find((axis) => stores.every((store) => strideOf(store.index, axis) === 1));
  if (sums || column === undefined || stages.length !== 1 || stage.body.op !== "call" || stage.body.fn !== "mul") return [];
  const load = stage.body.args.find((arg) => axesOf(arg).has(column));
  if (load?.op !== "load" || !inBuffers(load) || load.guard !== null || load.dtype !== "float32") return [];
  if (axesOf(load).has(row) || strideOf(load.index, column) === 1) return [];
  const order = [...shared, ...axes, ...stage.axes].filter((axis) => axis !== column && axesOf(load).has(axis));
  // Neighbouring lines lie in different sets of the cache.
  const pitch = line * (2 * Math.floor(Math.ceil(column.size / line) / 2) + 1);
  const index = pool.add(pool.mul(placeOf(pool, order), pool.int(pitch)), pool.axis(column));
  return [{ load, order: [...order, column], index, length: pointCount(order) * pitch }];
}

const next = (local: number): Code => set(local, int.add(get(local), int.const(1)));
