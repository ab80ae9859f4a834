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
}

const signatures = new Map<string, number>();

/** One small integer for each (op, attributes, shape, dtype) ever seen. */
export function intern(op: string, attrs: string, shape: Shape, dtype: DType): number {
  const key = `${op}|${attrs}|${shape.join(",")}|${dtype}`;
  let id = signatures.get(key);
  if (id === undefined) {
    id = signatures.size;
    signatures.set(key, id);
  }
  return id;
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
