/** Kernels as WGSL: one invocation for each point of the parallel axes, or for a tile of them; stages and inner axes of stores as loops. */

import type { Expr, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { Importer, mergeAxes, type Nest, storeExprs } from "../loops/nest.js";
import { loadsOf } from "../loops/walk.js";
import { atom, binary, combined, type Text, typeOf } from "./scalar.js";
import { defineAxes, type Program, shader } from "./shader.js";
import { Sharing } from "./sharing.js";
import { type GpuNest, type GpuStage, gpuNest, groupsOf, isTrue, present, type Round, teamSize } from "./stages.js";
import { applySchedule, canShare, type Machine, schedules } from "./tile.js";
import { Writer } from "./writer.js";

/** Terms of a sum that is worth a team of invocations. */
const longSum = 512;

/** `choice`: which of the schedules, from the one that should be fastest on. Null where there is nothing to do. The text names no kernel, so that equal ones share their code. */
export function emitLoops(kernel: LoopKernel, machine: Machine, choice = 0): Program | null {
  if (kernel.axes.some((axis) => axis.size === 0)) return null;
  const { pool, nest, team } = prepared(kernel, machine);
  if (team) return emitTeams(kernel, nest);
  const candidates = schedules(nest, kernel.buffers, machine);
  const schedule = candidates[Math.min(choice, candidates.length - 1)];
  const tiled = applySchedule(pool, nest, schedule);
  const writer = new Writer(kernel.buffers, tiled.weakened);
  const last = tiled.axes.at(-1);
  const sharing = last !== undefined && canShare(last.size, machine) ? new Sharing(pool, writer, machine.members, last) : null;
  emitNest(writer, tiled, sharing);
  return shader(kernel.buffers, writer, { points: pointCount(tiled.axes), fullGroups: machine.fullGroups });
}

/** Numbers of schedules that are worth a measurement: of those of about one size the best by estimate, in the order of estimates. */
export function contenders(kernel: LoopKernel, machine: Machine, most: number): readonly number[] {
  const { nest, team } = prepared(kernel, machine);
  if (team) return [0];
  const first = new Map<string, number>();
  schedules(nest, kernel.buffers, machine).forEach(({ unroll, tiles }, i) => {
    const points = tiles.reduce((product, [, by]) => product * by, 1);
    const size = `${unroll} ${Math.floor(Math.log2(points))}`;
    if (!first.has(size)) first.set(size, i);
  });
  return [...first.values()].slice(0, most);
}

function prepared(kernel: LoopKernel, machine: Machine): { readonly pool: ExprPool; readonly nest: GpuNest; readonly team: boolean } {
  const pool = new ExprPool();
  const plain = mergeAxes(pool, new Importer(pool).nest(kernel));
  const team = wantsTeam(plain, machine);
  return { pool, nest: gpuNest(pool, plain, team), team };
}

/** Whether a workgroup takes each point, as there are few points with long sums. It depends on the shape, and on the kind of adapter. */
function wantsTeam({ axes, stages }: Nest, { teams }: Machine): boolean {
  const terms = Math.max(0, ...stages.map((stage) => pointCount(stage.axes)));
  return pointCount(axes) <= teams && terms >= longSum;
}

/**
 * A workgroup for each point. Its invocations take turns in the outermost loop of each sum and in the innermost of each store; partial sums are added
 * in the order of the invocations, by each of them for itself.
 */
function emitTeams({ buffers }: LoopKernel, nest: GpuNest): Program {
  const steps = Math.max(1, ...nest.stages.map(({ loops }) => loops[0]?.axis.size ?? 1));
  const lanes = Math.min(teamSize, 2 ** Math.ceil(Math.log2(steps)));
  const writer = new Writer(buffers, nest.weakened);
  for (const stage of nest.stages) for (const e of stageExprs(stage)) writer.count(e);
  for (const store of nest.stores) for (const e of storeExprs(store)) writer.count(e);
  defineAxes(writer, nest.axes);
  const declarations: string[] = [];
  for (const group of groupsOf(nest.stages)) {
    writeGroup(writer, nest.stages, group, lanes);
    if (nest.stages[group[0]].loops.length === 0) continue;
    for (const i of group) declarations.push(`var<workgroup> team${i}: array<${typeOf(dtypeOf(nest.stages[i]))}, ${lanes}>;`);
    writeMeeting(writer, nest.stages, group, lanes);
  }
  writeStores(writer, nest.stores, lanes);
  return shader(buffers, writer, { points: pointCount(nest.axes), groupPerPoint: lanes, declarations });
}

function writeMeeting(writer: Writer, stages: readonly GpuStage[], group: readonly number[], lanes: number): void {
  for (const i of group) writer.line(`team${i}[lane] = ${writer.resultOf(i)};`);
  writer.line("workgroupBarrier();");
  for (const i of group) {
    const name = writer.name("s");
    const dtype = dtypeOf(stages[i]);
    writer.line(`var ${name}: ${typeOf(dtype)} = team${i}[0];`);
    writer.line(`for (var other = 1u; other < ${lanes}u; other++) {`);
    writer.line(`  ${combined(stages[i].combine, dtype, name, atom(`team${i}[other]`), writer.use)}`);
    writer.line("}");
    writer.setResult(i, name);
  }
}

function emitNest(writer: Writer, nest: GpuNest, sharing: Sharing | null): void {
  for (const stage of nest.stages) for (const e of stageExprs(stage)) writer.count(e);
  for (const store of nest.stores) for (const e of storeExprs(store)) writer.count(e);
  defineAxes(writer, nest.axes);
  for (const group of groupsOf(nest.stages)) writeGroup(writer, nest.stages, group, 1, sharing);
  writeStores(writer, nest.stores);
}

const stageExprs = ({ loops, rounds }: GpuStage): readonly Expr[] => [
  ...loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  ...present(rounds).flatMap(({ condition, body }) => [condition, body]),
];

function writeGroup(writer: Writer, all: readonly GpuStage[], numbers: readonly number[], lanes = 1, sharing: Sharing | null = null): void {
  const stages = numbers.map((i) => all[i]);
  const names = stages.map((stage) => declareSum(writer, stage, "s"));
  const outer = writer.depth;
  const { loops, split } = stages[0];
  // What never runs may read out of bounds, which the compiler sees.
  if (loops.some(({ axis }) => axis.size === 0)) {
    names.forEach((name, i) => {
      writer.setResult(numbers[i], name);
    });
    return;
  }
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
    const turns = i === 0 && lanes > 1;
    const first = turns ? turn(writer.value(lower), step) : writer.value(lower);
    writer.openLoop(axis, first, writer.value(upper), turns ? step * lanes : step, turns || mayBeEmpty);
  });
  if (split === loops.length) beginParts();
  if (sharing !== null) writeShared(sharing, stages);
  const rounds = stages[0].rounds.length;
  for (let round = 0; round < rounds; round++) {
    writeLoads(writer, stages, round);
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

/** Loads of the innermost loop that no condition stands before, where all members of a subgroup come by. */
function writeShared(sharing: Sharing, stages: readonly GpuStage[]): void {
  const { loops } = stages[0];
  const inner = loops.at(-1);
  if (inner === undefined || !loops.every(({ lower, upper, condition }) => [lower, upper, condition].every((e) => sharing.isUniform(e))))
    return;
  const bodies = stages.flatMap(({ rounds }) => present(rounds).filter(({ condition }) => isTrue(condition)));
  sharing.write(loadsOf(bodies.map(({ body }) => body)), inner.axis);
}

/** What several sums of a round load comes before them: software adapters take a load apart into branches, which hold nothing in registers. */
function writeLoads(writer: Writer, stages: readonly GpuStage[], round: number): void {
  if (stages.length === 1) return;
  const bodies = stages.flatMap(({ rounds }) => present([rounds[round]]).filter(({ condition }) => isTrue(condition)));
  for (const load of loadsOf(bodies.map(({ body }) => body))) if (load.guard === null) writer.value(load);
}

/** Where an invocation begins when it takes turns with the others of its workgroup. */
const turn = (from: Text, step: number): Text => {
  const own = step === 1 ? atom("i32(lane)") : binary(atom("i32(lane)"), "*", atom(String(step)));
  return from.code === "0" ? own : binary(from, "+", own);
};

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
function writeStores(writer: Writer, stores: readonly Store[], lanes = 1): void {
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
    const { axes } = group[0];
    const alone = lanes > 1 && axes.length === 0;
    if (alone) writer.openBranch(atom("lane == 0u"));
    axes.forEach((axis, i) => {
      const turns = lanes > 1 && i === axes.length - 1;
      writer.openLoop(axis, turns ? turn(atom("0"), 1) : atom("0"), atom(String(axis.size)), turns ? lanes : 1, turns);
    });
    writeStoreGroup(writer, group);
    for (const _ of axes) writer.close();
    if (alone) writer.close();
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
