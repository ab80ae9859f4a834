/** From the nodes that are wanted to the list of nodes to compute, and the integer array that stands for its structure. */
import { intern, type Node } from "../graph.js";

export interface Walk {
  /** Every node reached, inputs first. Nodes that have a value come as leaves. */
  readonly nodes: readonly Node[];
  /** Nodes with a value, in the order of `nodes`: what a plan binds. */
  readonly leaves: readonly Node[];
  /** Structure: equal arrays, equal plans. */
  readonly key: Int32Array;
}

const HOST_LEAF = -1;
const DEVICE_LEAF = -2;
const OUTPUTS = -3;

let walks = 0;

/** Walks with an explicit stack; ids grow along the graph, so that sorting by id is a topological order. */
export function walk(outputs: readonly Node[]): Walk {
  const number = ++walks;
  const stack: Node[] = [...outputs];
  const found: Node[] = [];
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (node.walk === number) continue;
    node.walk = number;
    found.push(node);
    if (node.value === null) for (const input of node.inputs) if (input.walk !== number) stack.push(input);
  }
  const nodes = sortById(found);
  const leaves: Node[] = [];
  const key: number[] = [];
  const calls = new Map<unknown, number>();
  nodes.forEach((node, at) => {
    node.position = at;
    if (node.value !== null) {
      leaves.push(node);
      key.push(node.value.kind === "device" ? DEVICE_LEAF : HOST_LEAF, intern("leaf", "", node.shape, node.dtype));
      return;
    }
    key.push(node.signature);
    if (node.op.lower.kind === "host") {
      const call = node.attrs.call;
      if (!calls.has(call)) calls.set(call, calls.size);
      key.push(calls.get(call) as number);
    }
    for (const input of node.inputs) key.push(input.position);
  });
  key.push(OUTPUTS);
  for (const node of outputs) key.push(node.position);
  return { nodes, leaves, key: Int32Array.from(key) };
}

/** Ids of one step lie close together, so that most nodes find their place at once; only what is far older has to be compared. */
function sortById(found: readonly Node[]): Node[] {
  const newest = found.reduce((most, node) => Math.max(most, node.id), 0);
  const first = newest - 4 * found.length;
  const older = found.filter((node) => node.id <= first).sort((a, b) => a.id - b.id);
  const places = new Array<Node | undefined>(newest - first).fill(undefined);
  for (const node of found) if (node.id > first) places[node.id - first - 1] = node;
  return older.concat(places.filter((node) => node !== undefined));
}

/** FNV-1a over the key's integers. */
export function hashKey(key: Int32Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key[i], 0x01000193);
  return h >>> 0;
}

export function sameKey(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
