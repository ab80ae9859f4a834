/**
 * Chains: products whose results a kernel of row reductions reads, that kernel, and the products that read its results in turn (attention,
 * and its gradients) become one kernel, where they meet row by row. Found by how they index what they hand on, never by name.
 */

import { bytesOf } from "../../engine/dtype.js";
import { affine, sumRange, type Term } from "../../engine/kernel/affine.js";
import type { AnyKernel, Axis, BufferSpec, ChainKernel, ChainPart, Expr, LoopKernel } from "../../engine/kernel/ir.js";
import { pointCount } from "../../engine/kernel/points.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import { type PlannedCall, type PlannedKernel, slotsOf } from "../backend.js";
import { Importer, mapExprs, storeExprs } from "./nest.js";
import { loadsOf } from "./walk.js";

/** A kernel, or null for a call of the host, and what it touches. */
interface Planned<K = AnyKernel | null> {
  readonly kernel: K;
  readonly slots: readonly number[];
}

/** A step in place of those at some positions. */
interface Combined extends Planned {
  readonly of: readonly number[];
}

interface Loops extends Planned<LoopKernel> {
  readonly at: number;
}

/** A value that passes between members of a chain, row by row. */
interface HandedOn {
  readonly slot: number;
  /** The row kernel's axes by their strides. */
  readonly strides: ReadonlyMap<number, Axis>;
  /** Elements for one point of these. */
  readonly length: number;
}

/** A member's axes by the row kernel's. */
type Along = ReadonlyMap<Axis, Axis>;

interface Member {
  readonly loops: Loops;
  readonly along: Along;
  readonly sums: boolean;
}

const lastOf = <T>(list: readonly T[]): T | undefined => list[list.length - 1];
const exprsOf = ({ stages, stores }: LoopKernel): readonly Expr[] => [...stages.map(({ body }) => body), ...stores.flatMap(storeExprs)];
const loopsIn = ({ axes, stages, stores }: LoopKernel): readonly Axis[] => [
  ...axes,
  ...[...stages, ...stores].flatMap((each) => each.axes),
];

/** The steps with every chain among them as one kernel; see `combine` of the contract. */
export function combineChains<S extends PlannedKernel | PlannedCall>(
  steps: readonly S[],
  temporary: ReadonlySet<number>,
): (S | PlannedKernel)[] {
  const planned = steps.map((step): Planned => ({ kernel: step.kind === "kernel" ? step.kernel : null, slots: slotsOf(step) }));
  const all = planned.flatMap(({ kernel, slots }, at): Loops[] => (isPlain(kernel) ? [{ kernel, slots, at }] : []));
  const finder = new Finder(planned, all, temporary);
  let list: readonly Combined[] = planned.map((each, at) => ({ ...each, of: [at] }));
  for (const rows of all) {
    const members = finder.around(rows);
    if (members !== null) list = inPlaceOf(list, members, chainOf(members, rows, finder.handedOn)) ?? list;
  }
  return list.map(({ kernel, slots, of }) => {
    if (kernel === null || of.length === 1) return steps[of[0]];
    const infos = of.map((at) => (steps[at] as PlannedKernel).info);
    const [ops, modules] = (["ops", "modules"] as const).map((key) => [...new Set(infos.flatMap((info) => info[key]))]);
    const flops = infos.reduce((sum, info) => sum + info.flops, 0);
    return { kind: "kernel", kernel, slots, info: { ops, modules, flops, bytes: bytesOf(kernel.buffers) } };
  });
}

const isPlain = (kernel: AnyKernel | null): kernel is LoopKernel =>
  kernel?.kind === "loops" &&
  kernel.stages.length > 0 &&
  kernel.buffers.every(({ access }) => access !== "readwrite") &&
  loopsIn(kernel).every(({ size }) => size > 0);

const isProduct = ({ stages: [stage, ...more], stores }: LoopKernel): boolean =>
  more.length === 0 && stage.structure === "matmul" && stage.combine === "add" && stores.every((store) => store.axes.length === 0);

const isRows = ({ axes, stages }: LoopKernel): boolean => axes.length > 0 && stages.every(({ structure }) => structure === null);

class Finder {
  readonly handedOn = new Map<number, HandedOn>();
  private readonly readers = new Map<number, number[]>();
  private readonly writers = new Map<number, number[]>();

  constructor(
    steps: readonly Planned[],
    private readonly all: readonly Loops[],
    private readonly temporary: ReadonlySet<number>,
  ) {
    steps.forEach((step, at) => {
      step.slots.forEach((slot, i) => {
        const uses = writes(step, i) ? this.writers : this.readers;
        uses.set(slot, [...(uses.get(slot) ?? []), at]);
      });
    });
  }

  /** The members of the chain around a kernel of rows, in order; null where there is none, or where it would save nothing. */
  around(rows: Loops): readonly Member[] | null {
    const { kernel } = rows;
    if (!isRows(kernel)) return null;
    const self = new Map(kernel.axes.map((axis) => [axis, axis] as const));
    const producers: Member[] = [];
    const consumers = new Map<number, Member>();
    const given: HandedOn[] = [];
    kernel.buffers.forEach(({ access }, i) => {
      const value = this.passed(rows, i);
      if (value === null) return;
      if (access === "read") {
        const producer = this.producer(rows, value);
        if (producer !== null) producers.push(producer);
      } else given.push(value);
    });
    if (producers.length === 0) return null;
    for (const at of new Set(given.flatMap(({ slot }) => this.readers.get(slot) ?? []))) {
      const consumer = this.consumer(rows, at, given);
      if (consumer !== null) consumers.set(at, consumer);
    }
    // What one reads from memory all the same is stored anyhow; and who reads such a value is none of the chain's.
    for (let before = -1; before !== consumers.size; ) {
      before = consumers.size;
      for (const { slot } of given) {
        const readers = this.readers.get(slot) ?? [];
        if (readers.some((at) => !consumers.has(at))) for (const at of readers) consumers.delete(at);
      }
    }
    if (consumers.size === 0) return null;
    const used = given.filter(({ slot }) => (this.readers.get(slot) ?? []).some((at) => consumers.has(at)));
    const read = producers.map(({ loops }) => this.handedOn.get(slotWritten(loops)) as HandedOn);
    for (const value of used) this.handedOn.set(value.slot, value);
    const members = [...producers, { loops: rows, along: self, sums: false }, ...consumers.values()];
    const between = new Set([...read, ...used].map(({ slot }) => slot));
    return isWorthIt(members, between) ? members : null;
  }

  /** A value that a kernel of rows reads or writes at its own rows, wholly and nowhere else. */
  private passed({ kernel, slots }: Loops, buffer: number): HandedOn | null {
    const slot = slots[buffer];
    const { dtype, length: total } = kernel.buffers[buffer];
    const indices = indicesOf(kernel, buffer);
    if (!this.temporary.has(slot) || this.writers.get(slot)?.length !== 1 || dtype !== "float32" || indices === null) return null;
    const strides = new Map<number, Axis>();
    for (const { coefficient, factor } of affine(indices[0])?.terms ?? [])
      if (factor.op === "axis" && kernel.axes.includes(factor.axis)) strides.set(coefficient, factor.axis);
    const length = total / pointCount(kernel.axes);
    // In row-major order, in some order of the axes.
    let stride = length;
    for (const step of [...strides.keys()].sort((a, b) => a - b)) {
      if (step !== stride) return null;
      stride *= (strides.get(step) as Axis).size;
    }
    const value: HandedOn = { slot, strides, length };
    if (stride !== total || strides.size !== kernel.axes.length) return null;
    const ownRow = (index: Expr): boolean => {
      const along = alongOf(index, value);
      return along !== null && [...along].every(([axis, there]) => axis === there);
    };
    return indices.every(ownRow) ? value : null;
  }

  private producer(rows: Loops, value: HandedOn): Member | null {
    const loops = this.all.find(({ at }) => at === this.writers.get(value.slot)?.[0]);
    if (loops === undefined || !isProduct(loops.kernel) || this.readers.get(value.slot)?.some((at) => at !== rows.at)) return null;
    const { kernel, slots } = loops;
    const written = kernel.buffers.filter(({ access }) => access !== "read").length;
    const indices = indicesOf(kernel, slots.indexOf(value.slot));
    const along = written === 1 && indices?.length === 1 ? alongOf(indices[0], value) : null;
    if (along === null || [...along.values()].some((axis) => !kernel.axes.includes(axis))) return null;
    this.handedOn.set(value.slot, value);
    return { loops, along, sums: false };
  }

  private consumer(rows: Loops, position: number, given: readonly HandedOn[]): Member | null {
    const loops = this.all.find(({ at }) => at === position);
    if (loops === undefined || !isProduct(loops.kernel)) return null;
    const { kernel, slots } = loops;
    let along: Along | null = null;
    for (const [i, slot] of slots.entries()) {
      if (!rows.slots.includes(slot) || kernel.buffers[i].access !== "read") continue;
      const value = given.find((each) => each.slot === slot);
      // What both read from outside is nothing that is handed on.
      if (value === undefined && (this.writers.get(slot) ?? []).includes(rows.at)) return null;
      if (value === undefined) continue;
      for (const index of indicesOf(kernel, i) ?? [null]) {
        const own: Along | null = index === null ? null : alongOf(index, value);
        if (own === null || (along !== null && [...own].some(([axis, there]) => along?.get(axis) !== there))) return null;
        along = own;
      }
    }
    if (along === null) return null;
    const { axes } = rows.kernel;
    const outside = axes.filter((axis) => !kernel.axes.includes(along?.get(axis) as Axis));
    if (outside.length === 0) return { loops, along, sums: false };
    const [row] = outside;
    const [{ value, guard }] = kernel.stores;
    const isTotal = kernel.stores.length === 1 && value.op === "acc" && value.dtype === "float32" && guard === null;
    const summed = outside.length === 1 && row === lastOf(axes) && kernel.stages[0].axes.includes(along.get(row) as Axis);
    return summed && isTotal ? { loops, along, sums: true } : null;
  }
}

const slotWritten = ({ kernel, slots }: Loops): number => slots[kernel.buffers.findIndex(({ access }) => access !== "read")];

/** Where a kernel loads and stores a buffer; null where there is a guard. */
function indicesOf(kernel: LoopKernel, buffer: number): readonly Expr[] | null {
  const loads = [...loadsOf(exprsOf(kernel))].filter((load) => load.buffer === buffer);
  const stores = kernel.stores.filter((store) => store.buffer === buffer);
  if ([...loads, ...stores].some(({ guard }) => guard !== null) || loads.length + stores.length === 0 || stores.length > 1) return null;
  return [...loads, ...stores].map(({ index }) => index);
}

/** The axes with which an index goes through a value's rows; null where it leaves them. */
function alongOf(index: Expr, { strides, length }: HandedOn): Along | null {
  const sum = affine(index);
  if (sum === null) return null;
  const along = new Map<Axis, Axis>();
  const within: Term[] = [];
  for (const term of sum.terms) {
    const axis = strides.get(term.coefficient);
    if (axis === undefined) within.push(term);
    else if (term.factor.op === "axis" && term.factor.axis.size === axis.size) along.set(axis, term.factor.axis);
    else return null;
  }
  const { lo, hi } = sumRange(sum.constant, within);
  return along.size === strides.size && lo >= 0 && hi < length ? along : null;
}

/** What is not written any more is at least half of all that is read and written; and nobody writes what another one touches. */
function isWorthIt(members: readonly Member[], between: ReadonlySet<number>): boolean {
  const outside = new Map<number, { length: number; users: number; written: boolean }>();
  let saved = 0;
  for (const { loops } of members) {
    loops.kernel.buffers.forEach(({ length, access }, i) => {
      const slot = loops.slots[i];
      const known = outside.get(slot) ?? { length, users: 0, written: false };
      if (between.has(slot)) saved += access === "read" ? 0 : length;
      else outside.set(slot, { length, users: known.users + 1, written: known.written || access !== "read" });
    });
  }
  const uses = [...outside.values()];
  return uses.every(({ users, written }) => users === 1 || !written) && 2 * saved >= uses.reduce((sum, { length }) => sum + length, 0);
}

function chainOf(members: readonly Member[], rows: Loops, handedOn: ReadonlyMap<number, HandedOn>): Planned<ChainKernel> {
  const pool = new ExprPool();
  const shared = new Map(rows.kernel.axes.map((axis) => [axis, pool.newAxis(axis.name, axis.size)] as const));
  const written = new Set(
    members.filter(({ loops }) => loops.at <= rows.at).flatMap(({ loops }) => loops.slots.filter((_, i) => writes(loops, i))),
  );
  const read = new Set(members.flatMap(({ loops }) => loops.slots.filter((_, i) => !writes(loops, i))));
  const locals = [...written].filter((slot) => read.has(slot));
  const [slots, buffers]: [number[], BufferSpec[]] = [[], []];
  for (const { loops } of members) {
    loops.slots.forEach((slot, i) => {
      if (locals.includes(slot) || slots.includes(slot)) return;
      slots.push(slot);
      buffers.push(loops.kernel.buffers[i]);
    });
  }
  const start = new Map([...shared.values()].map((axis) => [axis, pool.int(0)] as const));
  const parts = members.map(({ loops, along, sums }): ChainPart => {
    const importer = new Importer(pool);
    const there = new Map([...along].map(([axis, own]) => [importer.axis(own), pool.axis(shared.get(axis) as Axis)] as const));
    const number = loops.slots.map((slot) => (locals.includes(slot) ? buffers.length + locals.indexOf(slot) : slots.indexOf(slot)));
    /** Within the point's own part of a local. */
    const place = (index: Expr, buffer: number): Expr => (buffer < buffers.length ? index : pool.substitute(index, start));
    const moved = mapExprs(importer.nest(loops.kernel), (e) =>
      pool.rewrite(pool.substitute(e, there), (node) => {
        if (node.op !== "load") return null;
        return pool.load(number[node.buffer], place(node.index, number[node.buffer]), node.dtype, node.guard);
      }),
    );
    const own = (axes: readonly Axis[]): readonly Axis[] => axes.filter((axis) => !there.has(axis));
    return {
      axes: own(moved.axes),
      stages: moved.stages.map((stage) => ({ ...stage, axes: own(stage.axes) })),
      stores: moved.stores.map((store) => ({
        ...store,
        buffer: number[store.buffer],
        index: place(store.index, number[store.buffer]),
      })),
      sums,
    };
  });
  const names = members.map(({ loops }) => loops.kernel.name.replace(/_\d+(x\d+)*/, ""));
  const kernel: ChainKernel = {
    kind: "chain",
    name: `chain_${rows.kernel.axes.map(({ size }) => size).join("x")}_${names.join("_")}`,
    buffers,
    locals: locals.map((slot) => ({ dtype: "float32", length: (handedOn.get(slot) as HandedOn).length, access: "readwrite" })),
    axes: [...shared.values()],
    parts,
  };
  return { kernel, slots };
}

/** The list with the chain in place of its members: before what needs it, after what it needs. Null where something is both. */
function inPlaceOf(
  list: readonly Combined[],
  members: readonly Member[],
  { kernel, slots }: Planned<AnyKernel>,
): readonly Combined[] | null {
  const positions = new Set(members.map(({ loops }) => loops.at));
  const [before, after, own]: [Combined[], Combined[], Combined[]] = [[], [], []];
  for (const each of list) {
    if (each.of.some((at) => positions.has(at))) {
      if (each.of.length > 1 || after.some((other) => meet(other, each))) return null;
      own.push(each);
    } else if ([...own, ...after].some((other) => meet(other, each))) after.push(each);
    else before.push(each);
  }
  return [...before, { kernel, slots, of: [...positions].sort((a, b) => a - b) }, ...after];
}

/** Of a host's call nobody knows. */
const writes = ({ kernel }: Planned, buffer: number): boolean => kernel?.buffers[buffer].access !== "read";

/** Whether one writes what the other reads or writes. */
const meet = (a: Planned, b: Planned): boolean =>
  a.slots.some((slot, i) => b.slots.includes(slot) && (writes(a, i) || writes(b, b.slots.indexOf(slot))));
