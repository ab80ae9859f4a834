/**
 * Chains: block by block of rows, each part of the chain for all rows of the block, with their locals in a small array of the thread's own,
 * which stays in the second-level cache. What a product reads across its columns is transposed once, before.
 */
import type { Axis, BufferSpec, ChainKernel, Expr, LoadExpr } from "../../engine/kernel/ir.js";
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
/** Elements of a cache line. */
const line = 16;

interface Part extends Nest {
  readonly sums: boolean;
}

const sizeOf = (axes: readonly Axis[]): number => axes.reduce((product, axis) => product * axis.size, 1);
const upTo = (by: number, size: number): number => Math.ceil(size / by) * by;

export function compileChain(kernel: ChainKernel, { relaxed, shared, constants }: Target): LoopModule {
  const pool = new ExprPool();
  const importer = new Importer(pool);
  const parts = kernel.parts.map((part): Part => ({ ...importer.nest(part), sums: part.sums }));
  const axes = kernel.axes.map((axis) => importer.axis(axis));
  const [outer, row] = [axes.slice(0, -1), axes[axes.length - 1]];
  const first = kernel.buffers.length;
  const inBuffers = (load: LoadExpr): boolean => load.buffer < first;

  const copies = parts.flatMap((part) => transposed(pool, part, axes, inBuffers));
  const pitches = kernel.locals.map(({ length }) => upTo(tileRows, length));
  const rows = rowsOf(row.size, pitches);
  const own = upTo(line, rows * pitches.reduce((sum, pitch) => sum + pitch, 0));
  const scratch = copies.map(({ length }) => length);
  const local = first + scratch.length;
  const lengths = pitches.map((pitch) => rows * pitch);
  const array = (length: number): BufferSpec => ({ dtype: "float32", length, access: "readwrite" });
  const outside: readonly BufferSpec[] = [
    ...kernel.buffers.map((spec): BufferSpec => (spec.access === "write" ? { ...spec, access: "readwrite" } : spec)),
    ...scratch.map(array),
  ];

  const module = new ModuleWriter(shared);
  const names = new Set(parts.flatMap((part) => [...importsOf(part)]));
  const library = new Library(module, names, relaxed, constants);
  const phases: Phase[] = [];
  const before = [
    ...copies.map(({ order, index, load }, i) => copyNest(order, index, first + i, load)),
    ...parts
      .filter(({ sums }) => sums)
      .map(({ axes: own, stores: [store] }) => copyNest([...outer, ...own], store.index, store.buffer, pool.const(0, "float32"))),
  ];
  for (const nest of before) phases.push(emitPhase(module, library, pool, [...outside, array(own)], blockParts(pool, nest), phases.length));

  const beside = pool.newAxis("beside", sizeOf(outer));
  const there = pointOf(pool, outer, pool.axis(beside));
  /** The parts for `size` rows from `start` on. */
  const nestsFor = (size: number, start: Expr): readonly Nest[] => {
    const inBlock = pool.newAxis("row", size);
    const map = new Map([...there, [row, pool.add(start, pool.axis(inBlock))]]);
    const place = (number: number, index: Expr): Expr => pool.add(pool.mul(pool.axis(inBlock), pool.int(pitches[number - first])), index);
    const replaced = (e: Expr): Expr | null => {
      if (e.op !== "load") return null;
      if (!inBuffers(e)) return pool.load(e.buffer + scratch.length, place(e.buffer, e.index), e.dtype, e.guard);
      const copy = copies.findIndex(({ load }) => load === e);
      return copy < 0 ? null : pool.load(first + copy, copies[copy].index, "float32");
    };
    return parts.flatMap((part): readonly Nest[] => {
      const moved = mapExprs(part, (e) => pool.substitute(pool.rewrite(e, replaced), map));
      const stores = moved.stores.map((store) =>
        store.buffer < first ? store : { ...store, buffer: store.buffer + scratch.length, index: place(store.buffer, store.index) },
      );
      if (part.sums) {
        const [stage, store] = [moved.stages[0], stores[0]];
        const value = pool.add(pool.load(store.buffer, store.index, "float32"), store.value);
        return [{ axes: part.axes, stages: [{ ...stage, axes: [inBlock, ...stage.axes] }], stores: [{ ...store, value }] }];
      }
      const nest: Nest = { axes: [...part.axes, inBlock], stages: moved.stages, stores };
      return splitRows(pool, nest, 0) ?? [nest];
    });
  };
  let work = 0;
  const functionsFor = (nests: readonly Nest[], given: readonly Axis[], times: number): readonly number[] =>
    nests
      .flatMap((nest) => blockParts(pool, nest))
      .map((part) => {
        work += times * stepsOf(part).work;
        return blockFunction(module, library, pool, [...outside, ...lengths.map(array)], part, given);
      });
  const whole = Math.floor(row.size / rows);
  const block = pool.newAxis("block", whole);
  const ofBlock = functionsFor(nestsFor(rows, pool.mul(pool.axis(block), pool.int(rows))), [beside, block], whole * beside.size);
  const left = row.size % rows;
  const ofRest = left === 0 ? [] : functionsFor(nestsFor(left, pool.int(whole * rows)), [beside], beside.size);
  const together = parts.some(({ sums }) => sums);
  const perPoint = whole + (left > 0 ? 1 : 0);
  const at = lengths.map((_, i) => 4 * lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  const addresses = [...outside.map((_, i) => get(i)), ...at.map((bytes) => int.add(get(local), int.const(bytes)))];
  const [from, end] = [local + 1, local + 2];
  const locals = new Locals(local + 3);
  const [point, number] = [locals.add(i32), locals.add(i32)];
  const blockOnce: Code = ofBlock.map((fn) => call(fn, ...addresses, get(point), get(number)));
  const rest: Code = ofRest.map((fn) => call(fn, ...addresses, get(point)));
  // Sums take all blocks of a point in order; else each block is a step.
  const body: Code = together
    ? [set(point, get(from)), set(number, int.const(0)), repeat([blockOnce, next(number)], int.lt(get(number), int.const(whole))), rest]
    : [
        set(point, int.divUnsigned(get(from), int.const(perPoint))),
        set(number, int.remUnsigned(get(from), int.const(perPoint))),
        left === 0 ? blockOnce : when(int.lt(get(number), int.const(whole)), blockOnce, rest),
      ];
  const run = repeat([body, next(from)], int.lt(get(from), get(end)));
  const parameters = new Array<ValueType>(local + 3).fill(i32);
  module.export(`phase${phases.length}`, module.addFunction(parameters, [], locals, run));
  phases.push({ steps: together ? beside.size : beside.size * perPoint, work });
  return { bytes: module.finish(), phases, scratch, own };
}

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
  return [{ load, order: [...order, column], index, length: sizeOf(order) * pitch }];
}

const next = (local: number): Code => set(local, int.add(get(local), int.const(1)));
