/** Kernels as WGSL: one invocation for each point of the parallel axes, stages and inner axes of stores as loops. */
import type { Axis, BufferSpec, Expr, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { type ClampedNest, type ClampedStage, clampNest, type Loop } from "../loops/clamp.js";
import { Importer, mergeAxes, storeExprs } from "../loops/nest.js";
import { loadsOf, stagesOf } from "../loops/walk.js";
import { libraryOf } from "./library.js";
import { atom, combined, storedType, typeOf } from "./scalar.js";
import { Writer } from "./writer.js";

/** Invocations in a workgroup. */
const groupSize = 64;
/** Workgroups along a dimension, by WebGPU's default limits. */
const maxGroups = 65535;
/** Float sums of more terms than this are sums of sums of so many. */
const block = 256;

export interface Program {
  readonly source: string;
  /** Workgroups to be launched. */
  readonly groups: readonly [number, number];
}

export const maxPoints = groupSize * maxGroups * maxGroups;

/** Stages that share a loop. */
interface Group {
  readonly numbers: readonly number[];
  readonly stages: readonly ClampedStage[];
}

/** Null where there is nothing to do. The text names no kernel, so that equal ones share their code. */
export function emitLoops(kernel: LoopKernel): Program | null {
  if (kernel.axes.some((axis) => axis.size === 0)) return null;
  const pool = new ExprPool();
  const nest = clampNest(pool, mergeAxes(pool, new Importer(pool).nest(kernel)));
  const points = pointsOf(nest.axes);
  const count = Math.ceil(points / groupSize);
  const rows = Math.ceil(count / maxGroups);
  const columns = Math.ceil(count / rows);
  const writer = new Writer(kernel.buffers, nest.weakened);
  const body = emitNest(writer, nest);
  const flat = rows === 1 ? "group.x" : `(group.y * ${columns}u + group.x)`;
  const source = [
    ...kernel.buffers.map(declaration),
    libraryOf(writer.helpers),
    `@compute @workgroup_size(${groupSize})`,
    "fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {",
    `  let point = ${flat} * ${groupSize}u + lane;`,
    `  if (point >= ${points}u) { return; }`,
    indent(body),
    "}",
  ];
  return { source: `${source.filter((line) => line !== "").join("\n")}\n`, groups: [columns, rows] };
}

const pointsOf = (axes: readonly Axis[]): number => axes.reduce((product, axis) => product * axis.size, 1);

function declaration({ dtype, access }: BufferSpec, i: number): string {
  const mode = access === "read" ? "read" : "read_write";
  return `@group(0) @binding(${i}) var<storage, ${mode}> b${i}: array<${storedType(dtype)}>;`;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, "  ");

function emitNest(writer: Writer, nest: ClampedNest): string {
  for (const stage of nest.stages) for (const e of stageExprs(stage)) writer.count(e);
  for (const store of nest.stores) for (const e of storeExprs(store)) writer.count(e);
  defineAxes(writer, nest.axes);
  for (const group of groupStages(nest.stages)) writeGroup(writer, group);
  writeStores(writer, nest.stores);
  return writer.finish();
}

/** The point's coordinates, the last axis fastest, so that neighbours in a workgroup are neighbours in memory. */
function defineAxes(writer: Writer, axes: readonly Axis[]): void {
  let rest = "point";
  for (let i = axes.length - 1; i >= 0; i--) {
    const { size } = axes[i];
    writer.defineAxis(axes[i], i === 0 ? `i32(${rest})` : `i32(${rest} % ${size}u)`);
    if (i === 0) break;
    const next = writer.name("rest");
    writer.line(`let ${next} = ${rest} / ${size}u;`);
    rest = next;
  }
}

const stageExprs = ({ loops, condition, body }: ClampedStage): readonly Expr[] => [
  ...loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  condition,
  body,
];

/** Consecutive stages over the same loops that do not use one another. */
function groupStages(stages: readonly ClampedStage[]): readonly Group[] {
  const groups: { numbers: number[]; stages: ClampedStage[] }[] = [];
  stages.forEach((stage, number) => {
    const group = groups[groups.length - 1];
    const joins =
      group !== undefined && sameLoops(group.stages[0].loops, stage.loops) && !group.numbers.some((i) => stagesOf(stage.body).has(i));
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
  const names = stages.map(({ combine, body }) => {
    const name = writer.name("s");
    writer.line(`var ${name}: ${typeOf(body.dtype)} = ${writer.literal(identityOf(combine, body.dtype), body.dtype).code};`);
    return name;
  });
  const outer = writer.depth;
  const { loops } = stages[0];
  // The innermost loops that together are short enough get sums of their own, which is a matter of accuracy.
  const split = splitOf(stages);
  let parts = names;
  loops.forEach(({ axis, lower, upper, step, condition }, i) => {
    if (i === split) parts = openParts(writer, stages);
    if (!isTrue(condition)) writer.openBranch(writer.value(condition));
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    writer.openLoop(axis, writer.value(lower), writer.value(upper), step, mayBeEmpty);
  });
  stages.forEach(({ combine, condition, body }, i) => {
    const guarded = !isTrue(condition);
    if (guarded) writer.openBranch(writer.value(condition));
    writer.line(combined(combine, body.dtype, parts[i], writer.value(body), writer.use));
    if (guarded) writer.close();
  });
  const splitDepth = split === null ? outer : outer + depthOfLoops(loops.slice(0, split));
  while (writer.depth > splitDepth) writer.close();
  if (parts !== names)
    parts.forEach((part, i) => writer.line(combined(stages[i].combine, stages[i].body.dtype, names[i], atom(part), writer.use)));
  while (writer.depth > outer) writer.close();
  names.forEach((name, i) => {
    writer.setResult(numbers[i], name);
  });
}

const depthOfLoops = (loops: readonly Loop[]): number => loops.reduce((depth, loop) => depth + (isTrue(loop.condition) ? 1 : 2), 0);

function openParts(writer: Writer, stages: readonly ClampedStage[]): string[] {
  return stages.map(({ combine, body }) => {
    const name = writer.name("p");
    writer.line(`var ${name}: ${typeOf(body.dtype)} = ${writer.literal(identityOf(combine, body.dtype), body.dtype).code};`);
    return name;
  });
}

/** The loop before which partial sums begin: null where the sum is short, or has one loop. */
function splitOf(stages: readonly ClampedStage[]): number | null {
  const { loops } = stages[0];
  if (!stages.some(({ combine, body }) => combine === "add" && body.dtype === "float32")) return null;
  if (pointsOf(loops.map((loop) => loop.axis)) <= block) return null;
  let rounds = 1;
  for (let i = loops.length - 1; i > 0; i--) {
    rounds *= loops[i].axis.size;
    if (rounds >= block / 8 || i === 1) return i;
  }
  return null;
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
    writeGroupOfStores(writer, group);
    for (const _ of group[0].axes) writer.close();
  }
}

function writeGroupOfStores(writer: Writer, stores: readonly Store[]): void {
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
