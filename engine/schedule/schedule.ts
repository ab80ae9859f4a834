/** The scheduler: walk → values → definitions → groups → kernels → plan. */
import { type Backend, slotsOf } from "../../backends/backend.js";
import { debugLevel, debugLog } from "../debug.js";
import { bytesOf } from "../dtype.js";
import { BackendError, InternalError } from "../errors.js";
import type { Node } from "../graph.js";
import { ExprPool } from "../kernel/simplify.js";
import { numel, showShape } from "../shape.js";
import { defineValues } from "./define.js";
import { expandSlow } from "./expand.js";
import { Grouper } from "./group.js";
import { buildKernel, kernelInfo } from "./kernel.js";
import type { Group } from "./loop-group.js";
import { type Lifetime, type Plan, type PlanBoundary, type Slot, type Step, shareBuffers } from "./plan.js";
import { chooseValues } from "./values.js";
import { providedVerifier, type Verifier } from "./verifier.js";
import type { Walk } from "./walk.js";

export interface WantedOutput {
  readonly node: Node;
  /** Leaf (by its number in the walk) whose buffer may take the result once all its readers have run, or null. */
  readonly donor: number | null;
}

export interface ScheduleOptions {
  readonly fuse: boolean;
  /** What checks every kernel; also at DEBUG ≥ 1. */
  readonly verify: Verifier | null;
}

export function schedule(graph: Walk, wanted: readonly WantedOutput[], backend: Backend, options: ScheduleOptions): Plan {
  const { nodes, constants, replaced } = expandSlow(graph, backend);
  const outputs = wanted.map((w) => replaced.get(w.node) ?? w.node);
  const outputSet = new Set(outputs);
  const values = chooseValues({ ...graph, nodes }, outputSet, options.fuse, backend.limits.maxBuffersPerKernel - 2);

  const number = new Map<Node, number>();
  const named: Node[] = [];
  for (const node of nodes) {
    if (node.value !== null || values.isValue.has(node)) {
      number.set(node, named.length);
      named.push(node);
    }
  }
  const pool = new ExprPool();
  const outputNumbers = new Set(outputs.map((node) => number.get(node) as number));
  const grouper = new Grouper(
    pool,
    { maxOutputs: backend.limits.maxOutputs, maxBuffers: backend.limits.maxBuffersPerKernel },
    options.fuse,
  );
  const empty = (node: Node): boolean => numel(node.shape) === 0;
  for (const definition of defineValues({ pool, nodes: nodes.filter((n) => !empty(n)), values, number })) {
    if (definition.kind === "part" && definition.shape.includes(0)) continue;
    grouper.add(definition);
  }

  const order = liveGroups(sortGroups(grouper), grouper, outputNumbers);
  const slots: Slot[] = [];
  const slotOf = new Map<number, number>();
  const addSlot = (value: number, slot: Slot): void => {
    slotOf.set(value, slots.length);
    slots.push(slot);
  };
  graph.leaves.forEach((node, leaf) => {
    const value = number.get(node);
    if (value !== undefined) addSlot(value, { kind: "leaf", leaf, dtype: node.dtype, length: numel(node.shape) });
  });
  for (const node of constants) {
    if (node.value?.kind !== "host") throw new InternalError("a slow definition brought a tensor of the device");
    addSlot(number.get(node) as number, { kind: "constant", data: node.value.data, dtype: node.dtype, length: numel(node.shape) });
  }

  const stored = storedValues(order, grouper, outputNumbers);
  const donors = chooseDonors(wanted, outputs, number, graph, order, grouper);
  outputs.forEach((node, output) => {
    const value = number.get(node) as number;
    if (slotOf.has(value)) return;
    addSlot(value, { kind: "output", output, dtype: node.dtype, length: numel(node.shape), donor: donors.get(output) ?? null });
  });
  const donorSlot = new Map<number, number>();
  slots.forEach((slot, at) => {
    if (slot.kind !== "output" || slot.donor === null) return;
    donorSlot.set(
      at,
      slots.findIndex((other) => other.kind === "leaf" && other.leaf === slot.donor),
    );
  });
  for (const value of stored) {
    if (slotOf.has(value)) continue;
    const node = named[value];
    addSlot(value, { kind: "temporary", buffer: -1, dtype: node.dtype, length: numel(node.shape) });
  }

  const calls = hostCalls(nodes);
  let steps: Step[] = [];
  const hostDone = new Set<number>();
  for (const group of order) {
    if (group.kind === "solo" && group.definition.kind === "host") {
      const node = group.definition.node;
      const call = calls.get(node.attrs.call) as number;
      if (hostDone.has(call)) continue;
      hostDone.add(call);
      // An output that nothing reads has no slot, and is dropped.
      const siblings = nodes.filter(
        (n) => n.op.lower.kind === "host" && n.attrs.call === node.attrs.call && n.value === null && slotOf.has(number.get(n) as number),
      );
      const describe = (n: Node) => ({ slot: slotOf.get(number.get(n) as number) as number, shape: n.shape, dtype: n.dtype });
      steps.push({
        kind: "host",
        name: String(node.attrs.name),
        call,
        inputs: node.inputs.map(describe),
        outputs: siblings.map((n) => ({ ...describe(n), output: n.attrs.output as number })),
      });
      continue;
    }
    const { kernel, slots: bound, ops } = buildKernel(pool, group, { stored, slotOf, named, donorSlot });
    steps.push({ kind: "kernel", kernel, slots: bound, info: kernelInfo(kernel, ops, group) });
  }
  if (options.fuse)
    steps = backend.combine?.(steps, new Set(slots.flatMap(({ kind }, slot) => (kind === "temporary" ? slot : [])))) ?? steps;
  for (const step of steps) {
    if (step.kind === "host") continue;
    const { kernel } = step;
    (options.verify ?? (debugLevel() >= 1 ? providedVerifier() : null))?.(kernel);
    const accepted = backend.accepts(kernel);
    if (accepted !== true) throw new BackendError(backend.name, `cannot run kernel ${kernel.name}: ${accepted}`);
  }

  const temporaries = lifetimesOf(steps, slots);
  const { buffers, assignment } = shareBuffers(temporaries);
  for (const [slot, buffer] of assignment) slots[slot] = { ...slots[slot], buffer } as Slot;

  const name = (value: number): string => `${named[value].op.name}${showShape(named[value].shape)}`;
  const boundaries: PlanBoundary[] = [];
  const listed = new Set<string>();
  for (const b of grouper.boundaries) {
    const slot = slots[slotOf.get(b.from) as number];
    // A temporary without a buffer is named by no kernel any more.
    if (!stored.has(b.from) || (slot.kind === "temporary" && slot.buffer < 0) || sharesHome(grouper, b.from, b.to)) continue;
    const key = `${b.from}>${b.to}`;
    if (listed.has(key)) continue;
    listed.add(key);
    const kept = values.reasons.get(named[b.from]);
    boundaries.push({ from: name(b.from), to: name(b.to), reason: kept === undefined ? b.reason : `${b.reason}; kept because of ${kept}` });
  }
  const position = new Map(nodes.map((node, at) => [node, at]));
  const plan: Plan = {
    steps,
    slots,
    buffers,
    boundaries,
    unsharedBytes: bytesOf(temporaries),
    graph: nodes.map((node) => {
      const inputs = node.value === null ? node.inputs.map((i) => `%${position.get(i)}`).join(" ") : "leaf";
      return `%${position.get(node)} = ${node.op.name}${showShape(node.shape)} ${inputs}${node.module ? `  in ${node.module}` : ""}`;
    }),
  };
  debugLog(3, () => [...plan.boundaries.map((b) => `  not fused ${b.from} → ${b.to}: ${b.reason}`), `  ${steps.length} steps`].join("\n"));
  return plan;
}

/** Of the temporaries, in order of first use. */
function lifetimesOf(steps: readonly Step[], slots: readonly Slot[]): Lifetime[] {
  const lifetimes = new Map<number, Lifetime>();
  steps.forEach((step, last) => {
    for (const slot of slotsOf(step)) {
      // What has no elements has no slot.
      const of = slots[slot] as Slot | undefined;
      if (of?.kind !== "temporary") continue;
      lifetimes.set(slot, { first: last, ...lifetimes.get(slot), slot, dtype: of.dtype, length: of.length, last });
    }
  });
  return [...lifetimes.values()];
}

function sharesHome(grouper: Grouper, a: number, b: number): boolean {
  const homes = grouper.homes.get(b);
  for (const home of grouper.homes.get(a) ?? []) if (homes?.has(home)) return true;
  return false;
}

/** Numbers host calls by first appearance, as the walk's key does. */
export function hostCalls(nodes: readonly Node[]): Map<unknown, number> {
  const calls = new Map<unknown, number>();
  for (const node of nodes)
    if (node.value === null && node.op.lower.kind === "host" && !calls.has(node.attrs.call)) calls.set(node.attrs.call, calls.size);
  return calls;
}

/** Topological, and otherwise in program order: by the last node that a kernel holds. */
function sortGroups(grouper: Grouper): Group[] {
  const ranks = new Map(
    grouper.groups.map((group): [Group, number] => [
      group,
      group.kind === "solo" ? group.definition.node.id : Math.max(...group.members.map((m) => m.definition.node.id)),
    ]),
  );
  const rank = (group: Group): number => ranks.get(group) as number;
  const waiting = new Map<Group, number>();
  const readers = new Map<Group, Group[]>();
  for (const group of grouper.groups) {
    const on = grouper.dependencies(group);
    waiting.set(group, on.size);
    for (const d of on) readers.set(d, [...(readers.get(d) ?? []), group]);
  }
  const ready = grouper.groups.filter((g) => waiting.get(g) === 0);
  const out: Group[] = [];
  while (ready.length > 0) {
    let best = 0;
    for (let i = 1; i < ready.length; i++) if (rank(ready[i]) < rank(ready[best])) best = i;
    const [group] = ready.splice(best, 1);
    out.push(group);
    for (const reader of readers.get(group) ?? []) {
      const left = (waiting.get(reader) as number) - 1;
      waiting.set(reader, left);
      if (left === 0) ready.push(reader);
    }
  }
  if (out.length !== grouper.groups.length) throw new InternalError("kernels depend on each other in a circle");
  return out;
}

/** Without the groups whose results nobody reads: simplification may have done away with their readers. */
function liveGroups(order: readonly Group[], grouper: Grouper, outputs: ReadonlySet<number>): Group[] {
  const wanted = new Set(outputs);
  const live: Group[] = [];
  for (let i = order.length - 1; i >= 0; i--) {
    if (!grouper.writes(order[i]).some((value) => wanted.has(value))) continue;
    live.push(order[i]);
    for (const value of grouper.reads(order[i])) wanted.add(value);
  }
  return live.reverse();
}

/** Values that need a buffer: outputs, and whatever another kernel reads. */
function storedValues(order: readonly Group[], grouper: Grouper, outputs: ReadonlySet<number>): Set<number> {
  const stored = new Set<number>();
  for (const group of order) {
    for (const value of grouper.writes(group)) if (outputs.has(value)) stored.add(value);
    if (group.kind === "solo") stored.add(group.definition.value);
    else for (const { definition } of group.members) if (definition.kind === "part") stored.add(definition.value);
  }
  for (const group of order)
    for (const value of grouper.reads(group)) if (grouper.homes.has(value) && !grouper.homes.get(value)?.has(group)) stored.add(value);
  return stored;
}

/** Outputs that may be written over a leaf: every other reader has run, and the kernel itself reads it only at the element it writes. */
function chooseDonors(
  wanted: readonly WantedOutput[],
  outputs: readonly Node[],
  number: ReadonlyMap<Node, number>,
  graph: Walk,
  order: readonly Group[],
  grouper: Grouper,
): Map<number, number> {
  const donors = new Map<number, number>();
  wanted.forEach(({ donor }, output) => {
    if (donor === null) return;
    const leaf = graph.leaves[donor];
    const old = number.get(leaf);
    const value = number.get(outputs[output]);
    if (old === undefined || value === undefined || leaf.value?.kind !== "device") return;
    const homes = [...(grouper.homes.get(value) ?? [])];
    if (homes.length !== 1 || homes[0].kind !== "loops") return;
    const at = order.indexOf(homes[0]);
    for (let i = at + 1; i < order.length; i++) if (grouper.reads(order[i]).has(old)) return;
    if (grouper.reads(homes[0]).has(old) && !grouper.readsInPlace(homes[0], old, value)) return;
    donors.set(output, donor);
  });
  return donors;
}
