/** Replaces nodes without a kernel of their own on this device by their slow definitions, before anything is grouped. */
import type { Backend } from "../../backends/backend.js";
import { debugLog } from "../debug.js";
import { building, type Node } from "../graph.js";
import { Tensor } from "../tensor.js";
import type { Walk } from "./walk.js";

export interface Expanded {
  readonly nodes: readonly Node[];
  /** Leaves with host data that slow definitions brought along. */
  readonly constants: readonly Node[];
  readonly replaced: ReadonlyMap<Node, Node>;
}

export function expandSlow(graph: Walk, backend: Backend): Expanded {
  const replaced = new Map<Node, Node>();
  if (!graph.nodes.some((node) => slowOf(node, backend) !== null)) return { nodes: graph.nodes, constants: [], replaced };
  const nodes: Node[] = [];
  const known = new Set<Node>();
  const constants: Node[] = [];
  const add = (node: Node): void => {
    known.add(node);
    nodes.push(node);
  };
  const visit = (node: Node): Node => {
    const inputs = node.inputs.map((input) => replaced.get(input) ?? input);
    const slow = slowOf(node, backend);
    if (slow === null) {
      if (node.value !== null || inputs.every((input, i) => input === node.inputs[i])) {
        add(node);
        return node;
      }
      const clone: Node = { ...node, inputs };
      replaced.set(node, clone);
      add(clone);
      return clone;
    }
    const before = building.gradEnabled;
    const pending = building.pendingNodes;
    building.gradEnabled = false;
    const result = slow(inputs.map((input) => new Tensor(input)));
    building.gradEnabled = before;
    building.pendingNodes = pending;
    for (const inside of reached(result.node, known)) {
      if (inside.value !== null) {
        add(inside);
        constants.push(inside);
      } else replaced.set(inside, visit(inside));
    }
    const last = replaced.get(result.node) ?? result.node;
    replaced.set(node, last);
    return last;
  };
  for (const node of graph.nodes) visit(node);
  return { nodes, constants, replaced };
}

function slowOf(node: Node, backend: Backend): ((inputs: readonly Tensor[]) => Tensor) | null {
  if (node.value !== null) return null;
  const lower = node.op.lower;
  if (lower.kind === "composite") return (inputs) => lower.slow(inputs, node.attrs);
  if (lower.kind !== "line") return null;
  const accepted = backend.acceptsTemplate(lower.template(node.attrs, node.inputs), node.dtype);
  if (accepted === true) return null;
  debugLog(3, () => `  ${node.op.name}: ${backend.name} has no template (${accepted}); its slow definition is scheduled`);
  return (inputs) => lower.slow(inputs, node.attrs);
}

/** Nodes behind `node` that are not known yet, inputs first. */
function reached(node: Node, known: ReadonlySet<Node>): Node[] {
  const out: Node[] = [];
  const seen = new Set<Node>();
  const stack = [node];
  while (stack.length > 0) {
    const at = stack.pop() as Node;
    if (seen.has(at) || known.has(at)) continue;
    seen.add(at);
    out.push(at);
    stack.push(...at.inputs);
  }
  return out.sort((a, b) => a.id - b.id);
}
