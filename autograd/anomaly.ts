/** Where a NaN or an infinity comes from. */
import { isFloating, type TypedArray } from "../engine/dtype.js";
import { OpError } from "../engine/errors.js";
import { type Node, newNodeId } from "../engine/graph.js";
import { readHooks } from "../engine/runtime/realize.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";

/** The first operation that made something that is no finite number out of finite ones. */
export interface Anomaly {
  readonly kind: "NaN" | "infinity";
  readonly op: string;
  /** Dotted path of the module that ran it, in the forward or the backward pass; "" outside modules. */
  readonly module: string;
  /** Where it was called (DEBUG ≥ 1). */
  readonly site: string;
  readonly shape: readonly number[];
  /** How many of its elements are affected. */
  readonly count: number;
  readonly message: string;
}

interface Found {
  readonly nan: number;
  readonly infinite: number;
}

const none: Found = { nan: 0, infinite: 0 };

/**
 * Computes every node behind the tensors, and names the first that made a NaN from none, or an infinity from finite numbers; null when
 * there is none. Nothing of the graph is changed. Slow, and needs memory for all of it at once.
 */
export async function findAnomaly(...tensors: Tensor[]): Promise<Anomaly | null> {
  return findInNodes(tensors.map((tensor) => tensor.node));
}

async function findInNodes(roots: readonly Node[]): Promise<Anomaly | null> {
  const nodes = behind(roots);
  const values = await valuesOf(nodes);
  const found = new Map(nodes.map((node, i): [Node, Found] => [node, count(values[i])]));
  for (const node of nodes) {
    const now = found.get(node) as Found;
    const before = node.inputs.map((input) => found.get(input) ?? none);
    if (now.nan > 0 && before.every(({ nan }) => nan === 0)) return describe(node, "NaN", now.nan);
    const given = node.inputs.length === 0; // constants may be infinite: masks are
    if (now.infinite > 0 && !given && before.every(({ nan, infinite }) => nan + infinite === 0))
      return describe(node, "infinity", now.infinite);
  }
  return null;
}

/** Inputs first; behind a node that has a value nothing is computed. */
function behind(roots: readonly Node[]): Node[] {
  const seen = new Set<Node>();
  const stack = [...roots];
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.value === null) stack.push(...node.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** The values of copies, so that the graph itself stays as lazy as it was. */
function valuesOf(nodes: readonly Node[]): Promise<(TypedArray | null)[]> {
  const copies = new Map<Node, Node>();
  for (const node of nodes) {
    const copy =
      node.value !== null
        ? node
        : { ...node, id: newNodeId(), inputs: node.inputs.map((input) => copies.get(input) ?? input), requiresGrad: false, leafOf: null };
    copies.set(node, copy);
  }
  return Promise.all(
    nodes.map((node) => (isFloating(node.dtype) && node.value?.kind !== "gone" ? node.device.read(copies.get(node) as Node) : null)),
  );
}

function count(values: TypedArray | null): Found {
  let nan = 0;
  let infinite = 0;
  for (const value of values ?? []) {
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) infinite++;
  }
  return { nan, infinite };
}

function describe(node: Node, kind: Anomaly["kind"], affected: number): Anomaly {
  const { op, module, site, shape } = node;
  const place = `${module && ` in ${module}`}${site && ` at ${site}`}`;
  const inputs = node.inputs.map((input) => `${input.op.name} ${input.dtype} ${showShape(input.shape)}`).join(", ");
  const message = `${op.name}${place} made ${kind} in ${affected} of the elements of its result ${showShape(shape)}${inputs && `, from finite inputs: ${inputs}`}`;
  return { kind, op: op.name, module, site, shape, count: affected, message };
}

let active = false;
let looking = false;

async function hook(device: Node["device"], nodes: readonly Node[]): Promise<void> {
  if (looking) return;
  looking = true;
  try {
    const effects = [...device.effects].map((handle) => handle.node);
    const anomaly = await findInNodes([...nodes, ...effects]);
    if (anomaly !== null) throw new OpError("detectAnomaly", anomaly.message);
  } finally {
    looking = false;
  }
}

/** While on, a read looks at every value behind it first, and rejects with the first operation that made a NaN or an infinity. */
export function setAnomalyMode(on: boolean): void {
  if (on === active) return;
  active = on;
  if (on) readHooks.push(hook);
  else readHooks.splice(readHooks.indexOf(hook), 1);
}

/**
 * Turns the anomaly mode on or off; or runs a function (async or not) with it on. Compiled functions are not looked into: call the plain
 * function to find out.
 */
export function detectAnomaly(on: boolean): undefined;
export function detectAnomaly<T>(fn: () => T | Promise<T>): Promise<T>;
export function detectAnomaly<T>(what: boolean | (() => T | Promise<T>)): undefined | Promise<T> {
  if (typeof what !== "boolean") return runDetecting(what);
  setAnomalyMode(what);
  return undefined;
}

async function runDetecting<T>(fn: () => T | Promise<T>): Promise<T> {
  const before = active;
  setAnomalyMode(true);
  try {
    return await fn();
  } finally {
    setAnomalyMode(before);
  }
}
