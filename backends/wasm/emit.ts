/** Kernels as WebAssembly modules: clamped, vectorised and tiled loops, one function for each shape of tile. */
import type { Axis, BufferSpec, Expr, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import type { Loop } from "../loops/clamp.js";
import { Importer, mergeAxes, type Nest, storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf } from "../loops/walk.js";
import { type Code, call, get, i32, int, Locals, ModuleWriter, select, type ValueType, when } from "./binary.js";
import { Writer } from "./expressions.js";
import { type ConstantTable, type ImportName, importsFor, Library } from "./math.js";
import { packNest, panelPlan } from "./pack.js";
import { planePlan } from "./planes.js";
import { rowPlan } from "./rows.js";
import { type Group, type Steps, stepsOf } from "./steps.js";
import { tileNest } from "./tile.js";
import { type Reduction, type VectorNest, vectorize } from "./vectorize.js";
import { type BlockPlan, windowPlan, withoutSecondGuards } from "./window.js";

/** Rounds after which a sum of float32 is added to one of float64: rounding errors stay those of a few terms. */
const exactStrip = 8;
/** Register tiles of contractions have too many sums for that: their parts stay in float32, and are longer. */
const mostExact = 4;
const tileStrip = 32;

/** A part of a kernel that is done before the next one begins. */
export interface Phase {
  /**
   * Steps that can be done in any order and by any thread. The module exports `phase<number>`, which takes the addresses of the buffers, then of
   * the scratch arrays, then the first step and the one after the last; at least one.
   */
  readonly steps: number;
  /** Cycles that all of them take, roughly. */
  readonly work: number;
}

export interface LoopModule {
  /** The module imports `env.memory`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** None where there is nothing to do. */
  readonly phases: readonly Phase[];
  /** Elements of arrays of float32 that it needs from the first phase to the last. */
  readonly scratch: readonly number[];
  /** Elements of one more such array, the last, of which each thread has its own; what is in it means nothing from one step to the next. */
  readonly own?: number;
}

export interface Target {
  /** Whether there is relaxed multiply-add. */
  readonly relaxed: boolean;
  /** Whether the memory is shared among threads. */
  readonly shared: boolean;
  readonly constants: ConstantTable;
}

export function compileLoops(kernel: LoopKernel, { relaxed, shared, constants }: Target): LoopModule {
  const pool = new ExprPool();
  const nest = new Importer(pool).nest(kernel);
  const module = new ModuleWriter(shared);
  const library = new Library(module, importsOf(nest), relaxed, constants);
  const { plans, scratch } = nest.axes.some((axis) => axis.size === 0) ? { plans: [], scratch: [] } : plansOf(pool, nest, kernel.buffers);
  const buffers: readonly BufferSpec[] = [
    ...kernel.buffers,
    ...scratch.map((length): BufferSpec => ({ dtype: "float32", length, access: "readwrite" })),
  ];
  const phases = plans.map((each, number) => {
    if ("blocks" in each) return emitBlocks(module, library, pool, buffers, each, number);
    const parts = vectorize(pool, each).flatMap((part) => tileNest(pool, part));
    return emitPhase(module, library, pool, buffers, parts, number);
  });
  return { bytes: module.finish(), phases, scratch };
}

/** One after the other. */
function plansOf(
  pool: ExprPool,
  nest: Nest,
  specs: readonly BufferSpec[],
): { readonly plans: readonly (Nest | BlockPlan)[]; readonly scratch: readonly number[] } {
  const buffers = specs.length;
  const merged = mergeAxes(pool, nest);
  const windows = withoutSecondGuards(pool, merged, specs);
  const window = windowPlan(pool, windows, buffers);
  if (window !== null) return { plans: [window.weights, window.main], scratch: window.scratch };
  const planes = planePlan(pool, windows, buffers);
  if (planes !== null) return { plans: [planes.main], scratch: [planes.scratch] };
  const rows = rowPlan(pool, merged);
  if (rows !== null) return { plans: [rows], scratch: [] };
  const panels = panelPlan(pool, merged, buffers);
  if (panels !== null) return { plans: [panels.main], scratch: [panels.scratch] };
  const packed = packNest(pool, merged, buffers);
  return packed === null ? { plans: [merged], scratch: [] } : { plans: packed.nests, scratch: packed.scratch };
}

function emitBlocks(
  module: ModuleWriter,
  library: Library,
  pool: ExprPool,
  buffers: readonly BufferSpec[],
  { blocks, nests }: BlockPlan,
  number: number,
): Phase {
  const parts = nests.map((nest) => blockParts(pool, nest));
  const functions = parts.flat().map((part) => blockFunction(module, library, pool, buffers, part, blocks.axes));
  module.export(`phase${number}`, blocks.run(module, buffers.length, functions));
  const work = parts.flat().reduce((sum, part) => sum + stepsOf(part).work, 0);
  return { steps: blocks.steps, work: work * blocks.count };
}

/** A function of its own for each part; the phase's steps are those of all parts, one after the other. */
export function emitPhase(
  module: ModuleWriter,
  library: Library,
  pool: ExprPool,
  buffers: readonly BufferSpec[],
  parts: readonly VectorNest[],
  number: number,
): Phase {
  const parameters = [...buffers, "first", "end"].map((): ValueType => i32);
  const addresses = buffers.map((_, i) => get(i));
  const [first, end] = [get(buffers.length), get(buffers.length + 1)];
  let [steps, work] = [0, 0];
  const calls: Code[] = [];
  let single = 0;
  for (const part of parts) {
    const own = stepsOf(part);
    const locals = new Locals(parameters.length);
    const writer = new Writer(pool, buffers, part.weakened, part.lanes, locals, library, part.quads);
    emitNest(writer, part, own, first, end);
    single = module.addFunction(parameters, [], locals, writer.finish());
    const from = int.sub(first, int.const(steps));
    const to = int.sub(end, int.const(steps));
    const start = select(from, int.const(0), int.gt(from, int.const(0)));
    const stop = select(to, int.const(own.count), int.lt(to, int.const(own.count)));
    calls.push(when(int.lt(start, stop), call(single, ...addresses, start, stop)));
    steps += own.count;
    work += own.work;
  }
  module.export(`phase${number}`, parts.length === 1 ? single : module.addFunction(parameters, [], new Locals(parameters.length), calls));
  return { steps, work };
}

export const blockParts = (pool: ExprPool, nest: Nest): readonly VectorNest[] =>
  vectorize(pool, mergeAxes(pool, nest)).flatMap((part) => tileNest(pool, part));

/** A function of the addresses and the values of `given`, which are free in the nest. */
export function blockFunction(
  module: ModuleWriter,
  library: Library,
  pool: ExprPool,
  buffers: readonly BufferSpec[],
  nest: VectorNest,
  given: readonly Axis[],
): number {
  const parameters = [...buffers, ...given].map((): ValueType => i32);
  const locals = new Locals(parameters.length);
  const writer = new Writer(pool, buffers, nest.weakened, nest.lanes, locals, library, nest.quads);
  given.forEach((axis, i) => {
    writer.bind(axis, buffers.length + i);
  });
  emitNest(writer, nest, { ...stepsOf(nest), axes: [] }, get(0), get(0));
  return module.addFunction(parameters, [], locals, writer.finish());
}

export function importsOf(nest: Nest): ReadonlySet<ImportName> {
  const used = new Set<ImportName>();
  for (const e of nodesOf([...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)])) {
    if (e.op === "call") for (const name of importsFor(e.fn, e.dtype === "float64")) used.add(name);
  }
  return used;
}

function emitNest(writer: Writer, nest: VectorNest, { groups, axes }: Steps, first: Code, end: Code): void {
  let next = 0;
  const write = (depth: number): void => {
    while (next < groups.length && groups[next].depth <= depth) writeGroup(writer, groups[next++]);
  };
  write(0);
  if (axes.length > 0) writer.openSteps(axes, first, end);
  for (let depth = axes.length; depth < nest.axes.length; depth++) {
    write(depth);
    writer.openAxis(nest.axes[depth]);
  }
  write(nest.axes.length);
  writeStores(writer, nest);
  while (writer.depth > 0) writer.close();
}

const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;

function writeGroup(writer: Writer, { numbers, stages }: Group): void {
  const [first] = stages;
  if (first.kind === "packing") writer.setPacked(numbers[0], first.parts, first.combine, first.dtype);
  else if (first.kind === "joining") writer.setCombined(numbers[0], first.parts, first.combine, first.dtype);
  else writeReductions(writer, numbers, stages as readonly Reduction[]);
}

/** Where a sum is cut, so that no part has too many terms: in a loop, after so many of its rounds. */
interface Strips {
  readonly depth: number;
  readonly rounds: number;
}

/** Null where one part is enough. */
function stripsOf(loops: readonly Loop[], most: number): Strips | null {
  let terms = 1;
  for (let depth = loops.length - 1; depth >= 0; depth--) {
    const { size } = loops[depth].axis;
    if (terms * size > most)
      return depth === 0 && terms * size < 2 * most ? null : { depth, rounds: Math.max(1, Math.floor(most / terms)) };
    terms *= size;
  }
  return null;
}

function writeReductions(writer: Writer, numbers: readonly number[], stages: readonly Reduction[]): void {
  const { loops } = stages[0];
  const wide = stages.map(({ body, partial }) => partial || writer.isVector(body));
  const isSum = stages.map(({ combine, body }) => combine === "add" && body.dtype === "float32");
  const fresh = (i: number): number => writer.accumulator(stages[i].combine, stages[i].body.dtype, wide[i]);
  const exact = stages.length <= mostExact || stages.some(({ body }) => body.op !== "call" || body.fn !== "mul");
  const strips = isSum.includes(true) ? stripsOf(loops, exact ? exactStrip : tileStrip) : null;
  const totals = stages.map((_, i) => (strips !== null && exact && isSum[i] ? writer.exactSums(wide[i]) : [fresh(i)]));
  let sums = totals.map(([total]) => total);
  const outer = writer.depth;
  let inner = outer;
  loops.forEach(({ axis, lower, upper, step, condition }, depth) => {
    if (!isTrue(condition)) writer.openBranch(condition);
    if (depth !== strips?.depth) {
      writer.openLoop(axis, lower, upper, step);
      return;
    }
    const openRounds = writer.openStrips(axis, lower, upper, step, strips.rounds);
    sums = sums.map((total, i) => (isSum[i] ? fresh(i) : total));
    inner = writer.depth;
    openRounds();
  });
  stages.forEach(({ combine, condition, body }, i) => {
    const guarded = !isTrue(condition);
    if (guarded) writer.openBranch(condition);
    writer.accumulate(sums[i], combine, body, wide[i]);
    if (guarded) writer.close();
  });
  if (strips !== null) {
    while (writer.depth > inner) writer.close();
    stages.forEach(({ combine, body }, i) => {
      if (!isSum[i]) return;
      if (exact) writer.addExactly(totals[i], sums[i]);
      else writer.merge(totals[i][0], combine, body.dtype, sums[i], wide[i]);
    });
  }
  while (writer.depth > outer) writer.close();
  stages.forEach(({ combine, body, partial }, i) => {
    const kind = partial ? "partial" : wide[i] ? "vector" : "scalar";
    if (strips !== null && exact && isSum[i]) writer.setExactResult(numbers[i], totals[i], kind);
    else writer.setResult(numbers[i], totals[i][0], kind, combine, body.dtype);
  });
}

/** Stores over the same axes share a loop; within it all values are computed before the first is written. */
function writeStores(writer: Writer, { stores, points }: VectorNest): void {
  const groups: Store[][] = [];
  for (const store of stores) {
    const group = groups.find(
      ([first]) => first.axes.length === store.axes.length && first.axes.every((axis, i) => axis === store.axes[i]),
    );
    if (group) group.push(store);
    else groups.push([store]);
  }
  for (const group of groups) {
    if (group[0].axes.some((axis) => axis.size === 0)) continue;
    for (const axis of group[0].axes) writer.openAxis(axis);
    const perPoint = group.length / points;
    for (let first = 0; first < group.length; first += perPoint) writeGroupOfStores(writer, group.slice(first, first + perPoint));
    for (const _ of group[0].axes) writer.close();
  }
}

function writeGroupOfStores(writer: Writer, stores: readonly Store[]): void {
  const written = new Set(stores.map((store) => store.buffer));
  const readsWritten = [...loadsOf(stores.flatMap(storeExprs))].some((load) => written.has(load.buffer));
  // In place: what a store overwrites may be read by the next one.
  const held = stores.length > 1 && readsWritten ? stores.map((store) => writer.hold(store.value, store.guard)) : null;
  stores.forEach((store, i) => {
    const { guard, value } = store;
    const uniform = guard !== null && !writer.isVector(guard);
    if (uniform) writer.openBranch(guard);
    writer.store(uniform ? { ...store, guard: null } : store, held === null ? writer.value(value) : held[i]);
    if (uniform) writer.close();
  });
}
