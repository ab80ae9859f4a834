/** Kernels as WebAssembly modules: clamped, vectorised and tiled loops, one function for each shape of tile. */
import { isFloating } from "../../engine/dtype.js";
import type { Axis, BufferSpec, Expr, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { axesOf, ExprPool } from "../../engine/kernel/simplify.js";
import type { Loop } from "../loops/clamp.js";
import { Importer, mergeAxes, type Nest, storeExprs } from "../loops/nest.js";
import { loadsOf, nodesOf, stagesOf } from "../loops/walk.js";
import { type Code, call, get, i32, Locals, ModuleWriter, type ValueType } from "./binary.js";
import { Writer } from "./expressions.js";
import { type ConstantTable, type ImportName, importsFor, Library } from "./math.js";
import { packNest } from "./pack.js";
import { tileNest } from "./tile.js";
import { type Reduction, type VectorNest, type VectorStage, vectorize } from "./vectorize.js";

/** Terms that are added to one sum before it goes into the next: rounding errors of long float sums stay small. */
const block = 512;

export interface LoopModule {
  /** The module imports `env.memory` and exports `run`, which takes the addresses of the buffers and then of the scratch arrays. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Elements of arrays of float32 that it needs while it runs. */
  readonly scratch: readonly number[];
}

export function compileLoops(kernel: LoopKernel, relaxed: boolean, constants: ConstantTable): LoopModule {
  const pool = new ExprPool();
  const nest = new Importer(pool).nest(kernel);
  const module = new ModuleWriter();
  const library = new Library(module, importsOf(nest), relaxed, constants);
  const { parts, scratch } = nest.axes.some((axis) => axis.size === 0)
    ? { parts: [], scratch: [] }
    : nestsOf(pool, nest, kernel.buffers.length);
  const buffers: readonly BufferSpec[] = [
    ...kernel.buffers,
    ...scratch.map((length): BufferSpec => ({ dtype: "float32", length, access: "readwrite" })),
  ];
  const parameters = buffers.map((): ValueType => i32);
  const functions = parts.map((part) => {
    const locals = new Locals(parameters.length);
    const writer = new Writer(pool, buffers, part.weakened, part.lanes, locals, library);
    emitNest(writer, part);
    return module.addFunction(parameters, [], locals, writer.finish());
  });
  const all: Code = functions.map((fn) => call(fn, ...parameters.map((_, i) => get(i))));
  module.export(module.addFunction(parameters, [], new Locals(parameters.length), all));
  return { bytes: module.finish(), scratch };
}

function nestsOf(pool: ExprPool, nest: Nest, buffers: number): { parts: readonly VectorNest[]; scratch: readonly number[] } {
  const merged = mergeAxes(pool, nest);
  const packed = packNest(pool, merged, buffers);
  const parts = (packed?.nests ?? [merged]).flatMap((each) => vectorize(pool, each).flatMap((part) => tileNest(pool, part)));
  return { parts, scratch: packed?.scratch ?? [] };
}

function importsOf(nest: Nest): ReadonlySet<ImportName> {
  const used = new Set<ImportName>();
  for (const e of nodesOf([...nest.stages.map((stage) => stage.body), ...nest.stores.flatMap(storeExprs)])) {
    if (e.op === "call") for (const name of importsFor(e.fn, e.dtype === "float64")) used.add(name);
  }
  return used;
}

/** Stages that share a loop, or one that only puts results together. */
interface Group {
  readonly numbers: readonly number[];
  readonly stages: readonly VectorStage[];
}

function emitNest(writer: Writer, nest: VectorNest): void {
  const groups = groupStages(nest.stages);
  let next = 0;
  for (const axis of nest.axes) {
    const inner = nest.axes.slice(writer.depth);
    while (next < groups.length && needsNone(nest, groups[next], inner)) writeGroup(writer, groups[next++]);
    writer.openAxis(axis);
  }
  while (next < groups.length) writeGroup(writer, groups[next++]);
  writeStores(writer, nest.stores);
  for (const _ of nest.axes) writer.close();
}

const stageExprs = (stage: Reduction): readonly Expr[] => [
  ...stage.loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  stage.condition,
  stage.body,
];

/** Whether a group needs none of the loops still to be opened: it then runs before them, once for all their points. */
function needsNone(nest: VectorNest, { stages }: Group, loops: readonly Axis[]): boolean {
  const free = (stage: VectorStage): boolean => {
    if (stage.kind !== "reduction") return stage.parts.flat().every((number) => free(nest.stages[number]));
    const exprs = stageExprs(stage);
    if (exprs.some((e) => loops.some((axis) => axesOf(e).has(axis)))) return false;
    return exprs.every((e) => [...stagesOf(e)].every((number) => free(nest.stages[number])));
  };
  return stages.every(free);
}

/** Consecutive stages over the same loops that do not use one another. */
function groupStages(stages: readonly VectorStage[]): readonly Group[] {
  const groups: { numbers: number[]; stages: VectorStage[] }[] = [];
  stages.forEach((stage, number) => {
    const group = groups[groups.length - 1];
    const first = group?.stages[0];
    const joins =
      stage.kind === "reduction" &&
      first?.kind === "reduction" &&
      sameLoops(first.loops, stage.loops) &&
      !group.numbers.some((i) => stagesOf(stage.body).has(i));
    if (joins) {
      group.numbers.push(number);
      group.stages.push(stage);
    } else {
      groups.push({ numbers: [number], stages: [stage] });
    }
  });
  return groups;
}

function sameLoops(a: readonly Loop[], b: readonly Loop[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ axis, lower, upper, step, condition }, i) => {
      const other = b[i];
      const sameBounds = lower === other.lower && upper === other.upper && step === other.step;
      return axis === other.axis && sameBounds && condition === other.condition;
    })
  );
}

const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;

function writeGroup(writer: Writer, { numbers, stages }: Group): void {
  const [first] = stages;
  if (first.kind === "packing") writer.setPacked(numbers[0], first.parts, first.combine, first.dtype);
  else if (first.kind === "joining") writer.setCombined(numbers[0], first.parts, first.combine, first.dtype);
  else writeReductions(writer, numbers, stages as readonly Reduction[]);
}

/** Before which loop a new sum begins, so that no sum has too many terms; 0 where one sum is enough. */
function blockDepth(loops: readonly Loop[]): number {
  let terms = 1;
  for (let depth = loops.length - 1; depth > 0; depth--) {
    terms *= loops[depth].axis.size;
    if (terms >= block) return depth;
  }
  terms *= loops[0]?.axis.size ?? 1;
  return terms > 2 * block && loops.length > 1 ? 1 : 0;
}

function writeReductions(writer: Writer, numbers: readonly number[], stages: readonly Reduction[]): void {
  const { loops } = stages[0];
  const wide = stages.map(({ body, partial }) => partial || writer.isVector(body));
  const fresh = (): number[] => stages.map(({ combine, body }, i) => writer.accumulator(combine, body.dtype, wide[i]));
  const results = fresh();
  const split = stages.some(({ combine, body }) => combine === "add" && isFloating(body.dtype)) ? blockDepth(loops) : 0;
  let sums = results;
  const outer = writer.depth;
  let inner = outer;
  loops.forEach(({ axis, lower, upper, step, condition }, depth) => {
    if (split > 0 && depth === split) {
      sums = fresh();
      inner = writer.depth;
    }
    if (!isTrue(condition)) writer.openBranch(condition);
    writer.openLoop(axis, lower, upper, step);
  });
  stages.forEach(({ combine, condition, body }, i) => {
    const guarded = !isTrue(condition);
    if (guarded) writer.openBranch(condition);
    writer.accumulate(sums[i], combine, body, wide[i]);
    if (guarded) writer.close();
  });
  if (sums !== results) {
    while (writer.depth > inner) writer.close();
    stages.forEach(({ combine, body }, i) => {
      writer.merge(results[i], combine, body.dtype, sums[i], wide[i]);
    });
  }
  while (writer.depth > outer) writer.close();
  stages.forEach(({ combine, body, partial }, i) => {
    writer.setResult(numbers[i], results[i], partial ? "partial" : wide[i] ? "vector" : "scalar", combine, body.dtype);
  });
}

/** Stores over the same axes share a loop; within it all values are computed before the first is written. */
function writeStores(writer: Writer, stores: readonly Store[]): void {
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
    writeGroupOfStores(writer, group);
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
