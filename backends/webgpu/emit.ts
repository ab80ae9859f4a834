/** Kernels as WGSL: one invocation for each point of the parallel axes, or for a tile of them; stages and inner axes of stores as loops. */
import type { Expr, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { Importer, mergeAxes, storeExprs } from "../loops/nest.js";
import { loadsOf } from "../loops/walk.js";
import { atom, combined, typeOf } from "./scalar.js";
import { defineAxes, type Program, pointsOf, shader } from "./shader.js";
import { type GpuNest, type GpuStage, gpuNest, groupsOf, present, type Round } from "./stages.js";
import { applySchedule, type Machine, schedules } from "./tile.js";
import { Writer } from "./writer.js";

/** Null where there is nothing to do. The text names no kernel, so that equal ones share their code. */
export function emitLoops(kernel: LoopKernel, machine: Machine): Program | null {
  if (kernel.axes.some((axis) => axis.size === 0)) return null;
  const pool = new ExprPool();
  const nest = gpuNest(pool, mergeAxes(pool, new Importer(pool).nest(kernel)));
  const [schedule] = schedules(nest, kernel.buffers, machine);
  const tiled = applySchedule(pool, nest, schedule);
  const writer = new Writer(kernel.buffers, tiled.weakened);
  emitNest(writer, tiled);
  return shader(kernel.buffers, writer, { points: pointsOf(tiled.axes), fullGroups: machine.fullGroups });
}

function emitNest(writer: Writer, nest: GpuNest): void {
  for (const stage of nest.stages) for (const e of stageExprs(stage)) writer.count(e);
  for (const store of nest.stores) for (const e of storeExprs(store)) writer.count(e);
  defineAxes(writer, nest.axes);
  for (const group of groupsOf(nest.stages)) writeGroup(writer, nest.stages, group);
  writeStores(writer, nest.stores);
}

const stageExprs = ({ loops, rounds }: GpuStage): readonly Expr[] => [
  ...loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  ...present(rounds).flatMap(({ condition, body }) => [condition, body]),
];

const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;

function writeGroup(writer: Writer, all: readonly GpuStage[], numbers: readonly number[]): void {
  const stages = numbers.map((i) => all[i]);
  const names = stages.map((stage) => declareSum(writer, stage, "s"));
  const outer = writer.depth;
  const { loops, split } = stages[0];
  let parts: readonly string[] = names;
  let splitDepth = outer;
  const beginParts = (): void => {
    splitDepth = writer.depth;
    parts = stages.map((stage) => declareSum(writer, stage, "p"));
  };
  loops.forEach(({ axis, lower, upper, step, condition }, i) => {
    if (i === split) beginParts();
    if (!isTrue(condition)) writer.openBranch(writer.value(condition));
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    writer.openLoop(axis, writer.value(lower), writer.value(upper), step, mayBeEmpty);
  });
  if (split === loops.length) beginParts();
  const rounds = stages[0].rounds.length;
  for (let round = 0; round < rounds; round++) {
    stages.forEach((stage, i) => {
      for (const each of present([stage.rounds[round]])) writeRound(writer, stage, each, parts[i]);
    });
  }
  while (writer.depth > splitDepth) writer.close();
  if (parts !== names)
    parts.forEach((part, i) => writer.line(combined(stages[i].combine, dtypeOf(stages[i]), names[i], atom(part), writer.use)));
  while (writer.depth > outer) writer.close();
  names.forEach((name, i) => {
    writer.setResult(numbers[i], name);
  });
}

const dtypeOf = (stage: GpuStage): Expr["dtype"] => stage.rounds[0].body.dtype;

function declareSum(writer: Writer, stage: GpuStage, prefix: string): string {
  const name = writer.name(prefix);
  const dtype = dtypeOf(stage);
  writer.line(`var ${name}: ${typeOf(dtype)} = ${writer.literal(identityOf(stage.combine, dtype), dtype).code};`);
  return name;
}

function writeRound(writer: Writer, stage: GpuStage, { condition, body }: Round, sum: string): void {
  const guarded = !isTrue(condition);
  if (guarded) writer.openBranch(writer.value(condition));
  writer.line(combined(stage.combine, body.dtype, sum, writer.value(body), writer.use));
  if (guarded) writer.close();
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
    for (const axis of group[0].axes) writer.openLoop(axis, atom("0"), atom(String(axis.size)), 1, false);
    writeStoreGroup(writer, group);
    for (const _ of group[0].axes) writer.close();
  }
}

/** Stores of one element each: all values are computed before the first is written. */
export function writeStoreGroup(writer: Writer, stores: readonly Store[]): void {
  const written = new Set(stores.map((store) => store.buffer));
  const readsWritten = [...loadsOf(stores.flatMap(storeExprs))].some((load) => written.has(load.buffer));
  // In place: what a store overwrites may be read by the next one.
  const held = stores.length > 1 && readsWritten ? stores.map((store) => writer.hold(store.value, store.guard)) : null;
  stores.forEach(({ buffer, index, value, guard }, i) => {
    if (guard !== null) writer.openBranch(writer.value(guard));
    writer.assign(buffer, index, held === null ? writer.value(value) : held[i]);
    if (guard !== null) writer.close();
  });
}
