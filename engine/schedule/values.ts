/**
 * Which nodes get storage or a place in a kernel (*values*), and which are written out again wherever they are read (*inlined*).
 *
 * The rules, in one breath: outputs, reductions, concatenations, templates and host calls are values; views, constants and leaves are not;
 * elementwise work is inlined where it is read once or is cheap, and never into a loop that would repeat real work.
 */
import type { Node } from "../graph.js";
import { numel } from "../shape.js";
import type { Walk } from "./walk.js";

export interface Values {
  readonly isValue: ReadonlySet<Node>;
  /** Reductions that become part of the sum that reads them. */
  readonly absorbed: ReadonlySet<Node>;
  /** Why a node is a value although it could have been inlined. */
  readonly reasons: ReadonlyMap<Node, string>;
}

/** Up to this cost (additions) work may be written again at each of its readers. */
const CHEAP = 4;
/** Up to this cost work may be repeated along an expanded dim; loops hoist it where they can. */
const CHEAP_TO_EXPAND = 24;
/** Longer chains are cut, so that no recursion over a chain is deep. */
const MAX_DEPTH = 150;

interface Demand {
  /** Places that read the node, views looked through. */
  count: number;
  /** Read many times by one reader: an operand of a contraction. */
  repeated: string | null;
  expanded: string | null;
  /** A reader compares its result with the elements again. */
  exact: string | null;
  /** The only reader is a plain sum. */
  sum: Node | null;
}

const isPlainSum = (node: Node): boolean =>
  node.op.lower.kind === "reduce" && node.op.lower.structure === null && node.op.lower.combine === "add" && node.op.name === "sum";

/** `maxReads`: buffers that the definition of one value may read. */
export function chooseValues(graph: Walk, outputs: ReadonlySet<Node>, fuse: boolean, maxReads = Infinity): Values {
  const isValue = new Set<Node>();
  const absorbed = new Set<Node>();
  const reasons = new Map<Node, string>();
  const computed = graph.nodes.filter((node) => node.value === null);
  if (!fuse) {
    for (const node of computed) if (node.op.lower.kind !== "leaf" || outputs.has(node)) isValue.add(node);
    return { isValue, absorbed, reasons };
  }

  const cost = new Map<Node, number>();
  const sources = new Map<Node, ReadonlySet<Node>>();
  const depth = new Map<Node, number>();
  /** Buffers behind an expression, small ones and all. */
  const buffers = new Map<Node, ReadonlySet<Node>>();
  const readers = new Map<Node, number>();
  for (const node of computed) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  for (const node of computed) {
    const kind = node.op.lower.kind;
    let total = kind === "elementwise" ? (node.op.cost ?? 1) : kind === "gather" ? (node.op.cost ?? CHEAP) : 0;
    let deep = 1;
    const reads = new Set<Node>();
    for (const input of node.inputs) {
      if (input.value === null && input.op.lower.kind === "leaf") continue;
      if (input.value !== null || !inlines(input)) {
        if (numel(input.shape) >= numel(node.shape)) reads.add(input);
        continue;
      }
      for (const source of sources.get(input) ?? []) if (numel(source.shape) >= numel(node.shape)) reads.add(source);
      deep = Math.max(deep, (depth.get(input) ?? 0) + 1);
      // Work on fewer elements is hoisted out of the dims that repeat it.
      const share = numel(node.shape) > 0 ? Math.min(1, numel(input.shape) / numel(node.shape)) : 1;
      if ((readers.get(input) ?? 0) === 1 || (cost.get(input) ?? 0) <= CHEAP) total += (cost.get(input) ?? 0) * share;
    }
    if (deep > MAX_DEPTH && kind !== "leaf") {
      isValue.add(node);
      reasons.set(node, `the chain behind it is ${MAX_DEPTH} operations deep`);
      deep = 0;
    }
    buffers.set(node, boundReads(node, kind === "concat"));
    cost.set(node, total);
    sources.set(node, reads);
    depth.set(node, deep);
  }

  const demands = new Map<Node, Demand>();
  const demandOf = (node: Node): Demand => {
    let demand = demands.get(node);
    if (demand === undefined) {
      demand = { count: 0, repeated: null, expanded: null, exact: null, sum: null };
      demands.set(node, demand);
    }
    return demand;
  };

  for (let i = computed.length - 1; i >= 0; i--) {
    const node = computed[i];
    const lower = node.op.lower;
    const demand = demandOf(node);
    decide(node, demand);
    const value = isValue.has(node);
    node.inputs.forEach((input, at) => {
      if (input.value !== null) return;
      if (lower.kind === "host") isValue.add(input);
      // Further inputs of a view are there for gradients and for order; it reads the first alone.
      if (lower.kind === "view" && at > 0) return;
      const to = demandOf(input);
      if (lower.kind === "view" && !value) {
        to.count += Math.max(demand.count, 1);
        to.repeated ??= demand.repeated;
        to.expanded ??= demand.expanded ?? (growth(node) > 1 ? `${node.op.name} repeats it ${growth(node)} times` : null);
        to.exact ??= demand.exact;
        to.sum = to.count === 1 && growth(node) === 1 && node.op.name !== "pad" ? demand.sum : null;
      } else if ((lower.kind === "elementwise" || lower.kind === "gather") && !value) {
        to.count += Math.max(demand.count, 1);
        to.repeated ??= demand.repeated;
        to.expanded ??= demand.expanded;
        to.sum = null;
      } else {
        to.count += 1;
        if (lower.kind === "reduce" && lower.repeats(at)) to.repeated ??= `${node.op.name} reads each element many times`;
        if (lower.kind === "reduce" && lower.exact)
          to.exact ??= `${node.op.name} is compared with the elements, which must be equally rounded everywhere`;
        to.sum = to.count === 1 && isPlainSum(node) ? node : null;
      }
      if (to.count > 1) to.sum = null;
    });
  }
  return { isValue, absorbed, reasons };

  function inlines(node: Node): boolean {
    const kind = node.op.lower.kind;
    return !isValue.has(node) && (kind === "elementwise" || kind === "view" || kind === "gather");
  }

  /** What a node reads, after the largest of its operands have become values where all together would be too many. */
  function boundReads(node: Node, apart: boolean): ReadonlySet<Node> {
    for (;;) {
      const reads = new Set<Node>();
      let largest: Node | null = null;
      for (const input of node.inputs) {
        if (input.value === null && input.op.lower.kind === "leaf") continue;
        const behind = input.value === null && inlines(input) ? (buffers.get(input) ?? new Set([input])) : new Set([input]);
        for (const read of behind) reads.add(read);
        // What several read may turn out to be a value.
        if ((readers.get(input) ?? 0) > 1 && (cost.get(input) ?? 0) > 0) reads.add(input);
        if (behind.size > 1 && behind.size > (largest === null ? 0 : (buffers.get(largest)?.size ?? 0))) largest = input;
      }
      if (apart || reads.size <= maxReads || largest === null) return reads;
      mark(largest, `a kernel of the device reads at most ${maxReads} buffers`);
    }
  }

  function decide(node: Node, demand: Demand): void {
    const kind = node.op.lower.kind;
    if (outputs.has(node)) isValue.add(node);
    if (kind === "concat" || kind === "line" || kind === "composite" || kind === "host") isValue.add(node);
    if (kind === "reduce") {
      const lower = node.op.lower;
      const adds = lower.kind === "reduce" && lower.combine === "add";
      if (adds && demand.sum !== null && !outputs.has(node) && demand.sum.dtype === node.dtype) absorbed.add(node);
      else isValue.add(node);
    }
    if ((kind !== "elementwise" && kind !== "gather") || isValue.has(node)) return;
    const work = cost.get(node) ?? 0;
    const loads = sources.get(node)?.size ?? 0;
    if (demand.count > 1 && (work > CHEAP || (loads > 1 && work > 0))) {
      mark(node, `${demand.count} readers, and computing it costs more than reading it`);
    } else if (demand.count > 1 && demand.exact !== null && work > 0) mark(node, demand.exact);
    else if (demand.repeated !== null && work > 0) mark(node, demand.repeated);
    else if (demand.expanded !== null && work > CHEAP_TO_EXPAND) mark(node, demand.expanded);
  }

  function mark(node: Node, reason: string): void {
    isValue.add(node);
    reasons.set(node, reason);
  }
}

/** How many times a view reads each element of its input, for expand-like views. */
function growth(node: Node): number {
  const from = numel(node.inputs[0].shape);
  return from === 0 ? 1 : Math.floor(numel(node.shape) / from);
}
