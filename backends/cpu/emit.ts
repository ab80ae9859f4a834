/** Kernels as JavaScript: one nested `for` per axis, tiled and clamped first (`tile.ts`, `clamp.ts`), printed by `loops/writer.ts`. */
import type { Axis, BufferSpec, Kernel, LoopKernel, Store } from "../../engine/kernel/ir.js";
import { identityOf } from "../../engine/kernel/scalar.js";
import { axesOf, ExprPool } from "../../engine/kernel/simplify.js";
import { type ClampedNest, clampNest } from "../loops/clamp.js";
import { type Group, groupStages, groupStores, isTrue, readsWritten, stageExprs } from "../loops/groups.js";
import { Importer, mergeAxes, storeExprs } from "../loops/nest.js";
import { stored } from "../loops/text.js";
import { loadsOf } from "../loops/walk.js";
import { type Memory, Writer } from "../loops/writer.js";
import { combined, javaScript } from "./scalar.js";
import { tileNest } from "./tile.js";

/** The text of a function body that returns the kernel as a function of its buffers, named b0, b1, … */
export function emitLoops(kernel: LoopKernel, tileFrom?: number): string {
  const pool = new ExprPool();
  const nest = new Importer(pool).nest(kernel);
  if (nest.axes.some((axis) => axis.size === 0)) return returned(kernel, "// an axis is empty: nothing to do");
  const nests = tileNest(pool, clampNest(pool, mergeAxes(pool, nest)), tileFrom);
  const bodies = nests.map((part) => emitNest(kernel.buffers, part));
  if (bodies.length === 1) return returned(kernel, bodies[0]);
  // Each shape of tile is a function of its own, which V8 optimises by itself.
  const parameters = parametersOf(kernel);
  const parts = bodies.map((body, i) => `function part${i}(${parameters}) {\n${indent(body)}\n}`);
  return [...parts, returned(kernel, bodies.map((_, i) => `part${i}(${parameters});`).join("\n"))].join("\n");
}

const parametersOf = (kernel: Kernel): string => kernel.buffers.map((_, i) => `b${i}`).join(", ");

export const returned = (kernel: Kernel, body: string): string => `return (${parametersOf(kernel)}) => {\n${indent(body)}\n};`;

const indent = (text: string): string => text.replace(/^(?=.)/gm, "  ");

export const memoryOf = (buffers: readonly BufferSpec[]): readonly Memory[] => buffers.map(({ length }, i) => ({ name: `b${i}`, length }));

function emitNest(buffers: readonly BufferSpec[], nest: ClampedNest): string {
  const writer = new Writer(javaScript, memoryOf(buffers), nest.weakened);
  for (const stage of nest.stages) for (const e of stageExprs(stage)) writer.count(e);
  countStores(writer, nest.stores);

  const groups = groupStages(nest.stages);
  let next = 0;
  for (const axis of nest.axes) {
    while (next < groups.length && needsNone(groups[next], nest.axes.slice(writer.depth))) writeGroup(writer, groups[next++]);
    writer.openLoop(axis, javaScript.literal(0, "int32"), javaScript.literal(axis.size, "int32"), 1, false);
  }
  while (next < groups.length) writeGroup(writer, groups[next++]);
  writeStores(writer, nest.stores);
  for (const _ of nest.axes) writer.close();
  return writer.finish();
}

/** Whether a group needs none of the loops still to be opened: it then runs before them, once for all their points. */
function needsNone({ stages }: Group, loops: readonly Axis[]): boolean {
  return stages.every((stage) => stageExprs(stage).every((e) => loops.every((axis) => !axesOf(e).has(axis))));
}

export function countStores(writer: Writer, stores: readonly Store[]): void {
  for (const store of stores) for (const e of storeExprs(store)) writer.count(e);
}

function writeGroup(writer: Writer, { numbers, stages }: Group): void {
  const names = stages.map(({ combine, body }) => {
    const name = writer.name("s");
    writer.line(`let ${name} = ${javaScript.literal(identityOf(combine, body.dtype), body.dtype).code};`);
    return name;
  });
  const outer = writer.depth;
  for (const { axis, lower, upper, step, condition } of stages[0].loops) {
    if (!isTrue(condition)) writer.openBranch(writer.value(condition));
    const mayBeEmpty = lower.op !== "const" || upper.op !== "const" || upper.value <= lower.value;
    writer.openLoop(axis, writer.value(lower), writer.value(upper), step, mayBeEmpty);
  }
  stages.forEach(({ combine, condition, body }, i) => {
    const guarded = !isTrue(condition);
    if (guarded) writer.openBranch(writer.value(condition));
    writer.line(`${names[i]} = ${combined(combine, body.dtype, names[i], writer.value(body))};`);
    if (guarded) writer.close();
  });
  while (writer.depth > outer) writer.close();
  names.forEach((name, i) => {
    writer.setResult(numbers[i], name);
  });
}

/** Stores over the same axes share a loop; all loads come before the stores that would change them. */
export function writeStores(writer: Writer, stores: readonly Store[]): void {
  const groups = groupStores(stores);
  const lists = new Map([...overwritten(groups)].map((buffer) => [buffer, writer.name("w")]));
  for (const list of lists.values()) writer.line(`const ${list} = [];`);
  for (const group of groups) {
    if (group[0].axes.some((axis) => axis.size === 0)) continue;
    for (const axis of group[0].axes)
      writer.openLoop(axis, javaScript.literal(0, "int32"), javaScript.literal(axis.size, "int32"), 1, false);
    writeGroupOfStores(writer, group, lists);
    for (const _ of group[0].axes) writer.close();
  }
  for (const [buffer, list] of lists) {
    writer.line(`for (let i = 0; i < ${list}.length; i += 2) ${writer.array(buffer)}[${list}[i]] = ${list}[i + 1];`);
  }
}

/** Buffers that would be read after they were changed: at another element than the loop's own, or in another group's loop. */
function overwritten(groups: readonly (readonly Store[])[]): ReadonlySet<number> {
  const written = new Set(groups.flat().map((store) => store.buffer));
  const late = new Set<number>();
  for (const group of groups) {
    for (const { buffer, index } of loadsOf(group.flatMap(storeExprs))) {
      const isOwn = group.some((store) => store.buffer === buffer && (store.axes.length === 0 || store.index === index));
      if (written.has(buffer) && !isOwn) late.add(buffer);
    }
  }
  return late;
}

/** `lists` take what is to be written to a buffer later, index and value in turn. */
function writeGroupOfStores(writer: Writer, stores: readonly Store[], lists: ReadonlyMap<number, string>): void {
  // In place: what a store overwrites may be read by the next one.
  const held = stores.length > 1 && readsWritten(stores) ? stores.map((store) => writer.hold(store.value, store.guard)) : null;
  stores.forEach(({ buffer, index, value, guard }, i) => {
    if (guard !== null) writer.openBranch(writer.value(guard));
    const text = stored(held === null ? writer.value(value) : held[i], value.dtype).code;
    const list = lists.get(buffer);
    if (list === undefined) writer.line(`${writer.element(buffer, index)} = ${text};`);
    else writer.line(`${list}.push(${writer.value(index).code}, ${text});`);
    if (guard !== null) writer.close();
  });
}
