/** Nodes of the lazy graph: an operation, its inputs, and, once computed, a value. Building a node computes nothing. */
import type { Device } from "./device.js";
import type { DType, TypedArray } from "./dtype.js";
import type { Attrs, OpRecord } from "./ops/record.js";
import type { Storage } from "./runtime/storage.js";
import type { Shape } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** Where a node's elements are, when they are anywhere. */
export type NodeValue =
  | { readonly kind: "host"; readonly data: TypedArray }
  | { readonly kind: "device"; readonly storage: Storage }
  /** Was computed, and is gone: `why` says what to do. */
  | { readonly kind: "gone"; readonly why: string };

export interface Node {
  readonly id: number;
  readonly op: OpRecord;
  readonly attrs: Attrs;
  /** Emptied once the node has a value and nobody can differentiate through it. */
  inputs: readonly Node[];
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: Device;
  /** Interned (op, attrs, shape, dtype): equal numbers, equal structure. */
  readonly signature: number;
  readonly requiresGrad: boolean;
  value: NodeValue | null;
  /** The handle that gradients of this leaf belong to, for leaves made by `tensor(…, { requiresGrad })` and for parameters. */
  leafOf: Tensor | null;
  /** The handle whose version this is: a compiled function finds the newest version through it. */
  owner: Tensor | null;
  /** Set by `backward()`: gradients have been taken, the graph behind may go once the value is known. */
  spent: boolean;
  /** Dotted path of the module that was running when the node was made; "" outside modules. */
  readonly module: string;
  /** Where it was made (DEBUG ≥ 1). */
  readonly site: string;
  /** Id of the checkpoint this node recomputes for, or 0; part of a plan's key, so that recomputed nodes stay apart. */
  readonly recompute: number;
  /** The walk that came by last, and the position it gave the node. */
  walk: number;
  position: number;
}

/** Shapes as paths from size to size; at the end of each the signatures of nodes of that shape, by what else they are. */
interface ShapeTable {
  readonly next: Map<number, ShapeTable>;
  readonly signatures: Map<number, number>;
}

const newTable = (): ShapeTable => ({ next: new Map(), signatures: new Map() });
const shapes = newTable();
const operations = new Map<string, Map<string, number>>();
const dtypeNumbers: Readonly<Record<DType, number>> = { float32: 0, float64: 1, int32: 2, bool: 3 };
let [operationCount, signatureCount] = [0, 0];

/** The value at a key, made where there is none. */
function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

const newOperation = (): number => operationCount++;
const newSignature = (): number => signatureCount++;
const newNames = (): Map<string, number> => new Map();

/** One small integer for each (op, attributes, shape, dtype) ever seen. Every node asks, so nothing is printed to be looked up. */
export function intern(op: string, attrs: string, shape: Shape, dtype: DType): number {
  const operation = entry(entry(operations, op, newNames), attrs, newOperation);
  let table = shapes;
  for (const size of shape) table = entry(table.next, size, newTable);
  return entry(table.signatures, 4 * operation + dtypeNumbers[dtype], newSignature);
}

/** What is in force while nodes are built. */
export const building = {
  gradEnabled: true,
  module: "",
  recompute: 0,
  /** Nodes made since the last plan was made on any device. */
  pendingNodes: 0,
};

/** Leaves whose value is that of one call only: arguments and host scalars of a function being traced. Nothing may be decided by their values. */
export const varying = new WeakSet<Node>();

let nextId = 1;
export const newNodeId = (): number => nextId++;
