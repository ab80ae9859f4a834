/** What a user holds: a thin handle to a graph node. Operations are functions (`ops/`, `functional/`); `methods.ts` hangs them on here. */

import { creationSite } from "./debug.js";
import { type Device, defaultDevice } from "./device.js";
import { type DType, hostArray, isFloating, type TypedArray } from "./dtype.js";
import { InternalError, OpError } from "./errors.js";
import { building, intern, type Node, newNodeId } from "./graph.js";
import { type Attrs, nonDifferentiable, type OpRecord } from "./ops/record.js";
import { detachOp, versionOp } from "./ops/view.js";
import { numel, type Shape, sameShape, showShape } from "./shape.js";

/** A number, or arrays of arrays of numbers, all of equal lengths. */
export type Nested = number | boolean | readonly Nested[];

/**
 * A tensor: an immutable version of some values, computed when they are asked for (`data`, `item`, `realize`). `assign` gives the handle a
 * new version; whatever was built from it before still means the old one.
 */
export class Tensor {
  /** The current version. For the engine and the curious. */
  node: Node;
  /** Gradient left by `backward()`; null before, and after `zeroGrad`. */
  grad: Tensor | null = null;
  /** Versions with storage of their own: the newest realized one and the one before it (see `runtime/versions.ts`). */
  generations: Node[] = [];

  constructor(node: Node) {
    this.node = node;
  }

  /** Sizes of the dims, outermost first. */
  get shape(): Shape {
    return this.node.shape;
  }
  get dtype(): DType {
    return this.node.dtype;
  }
  get device(): Device {
    return this.node.device;
  }
  /** The number of dims. */
  get ndim(): number {
    return this.node.shape.length;
  }
  /** The number of elements. */
  get numel(): number {
    return numel(this.node.shape);
  }
  get requiresGrad(): boolean {
    return this.node.requiresGrad;
  }
  /** The length of a dim; negative dims count from the end. */
  size(dim: number): number {
    const at = dim < 0 ? dim + this.ndim : dim;
    if (!(at in this.shape)) throw new OpError("size", `dim ${dim} is out of range for shape ${showShape(this.shape)}`);
    return this.shape[at];
  }

  /** Turns gradients on or off. A tensor that already has a history cannot leave it: use `detach()`. */
  requiresGrad_(on = true): this {
    if (!isFloating(this.dtype))
      throw new OpError("requiresGrad_", `a tensor of dtype ${this.dtype} has no gradient; only float32 and float64 have`);
    if (this.node.requiresGrad && this.node.leafOf !== this) {
      throw new OpError(
        "requiresGrad_",
        "the tensor is the result of operations that require gradients; call detach() to get one outside the graph",
      );
    }
    if (on === this.node.requiresGrad) return this;
    // A node that other handles share stays as it is; this handle gets a leaf of its own.
    if (on && this.node.owner !== this) {
      this.node = detachOnly(this).node;
      this.node.owner = this;
    }
    const node = this.node as { requiresGrad: boolean; leafOf: Tensor | null };
    node.requiresGrad = on;
    node.leafOf = on ? this : null;
    return this;
  }

  /** The same values outside the graph: no gradient flows through. */
  detach(): Tensor {
    return detachOnly(this);
  }

  /** Elements in row-major order: float32 → Float32Array, float64 → Float64Array, int32 → Int32Array, bool → Uint8Array of 0 and 1. */
  data(): Promise<TypedArray> {
    return this.device.read(this.node);
  }

  /** The one element of a tensor of one element, as a number (booleans as 0 or 1). */
  async item(): Promise<number> {
    if (this.numel !== 1)
      throw new OpError(
        "item",
        `the tensor has shape ${showShape(this.shape)} with ${this.numel} elements; item() needs exactly one; use data() or tolist()`,
      );
    return (await this.data())[0];
  }

  /** Nested arrays of numbers (booleans for dtype bool); a bare number for rank 0. */
  async tolist(): Promise<Nested> {
    const data = await this.data();
    const bool = this.dtype === "bool";
    let at = 0;
    const build = (depth: number): Nested => {
      if (depth === this.ndim) {
        const value = data[at++];
        return bool ? value !== 0 : value;
      }
      return Array.from({ length: this.shape[depth] }, () => build(depth + 1));
    };
    return build(0);
  }

  /** Computes the tensor now and keeps its values on the device, until `dispose()` or until it is no longer reachable. */
  async realize(): Promise<this> {
    await this.device.realize([this.node]);
    return this;
  }

  /**
   * Gives this handle a new version: an effect, carried out with the next read on the device. Shape, dtype and device must agree.
   * What was built from the tensor before still means the old version.
   */
  assign(value: Tensor): this {
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype || value.device !== this.device) {
      throw new OpError(
        "assign",
        `cannot assign ${value.dtype} ${showShape(value.shape)} on ${value.device.name} to ${this.dtype} ${showShape(this.shape)} on ${this.device.name}; shape, dtype and device must be equal`,
      );
    }
    this.device.beforeEffect(this);
    const old = this.node;
    if (this.generations.length === 0) this.generations.push(old);
    this.node = versionNode(this, value.node, old.requiresGrad);
    this.device.addEffect(this);
    return this;
  }

  /** Frees the tensor's device memory at once. Twice is fine; a later read throws. */
  dispose(): void {
    this.device.disposeNode(this.node, `tensor ${this.dtype} ${showShape(this.shape)} was disposed`);
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    const value = this.node.value;
    const state =
      value === null ? "lazy" : value.kind === "gone" ? `gone: ${value.why}` : value.kind === "host" ? "on the host" : "on the device";
    return `Tensor(${this.dtype} ${showShape(this.shape)}, ${this.device.name}, ${this.node.op.name}, ${state}${this.requiresGrad ? ", requiresGrad" : ""})`;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** The node of a handle's new version. */
export function versionNode(handle: Tensor, value: Node, requiresGrad: boolean): Node {
  const node = apply(versionOp, [new Tensor(value)]).node as Node & { requiresGrad: boolean };
  node.requiresGrad = requiresGrad;
  node.leafOf = requiresGrad ? handle : null;
  node.owner = handle;
  return node;
}

const detachOnly = (x: Tensor): Tensor => apply(detachOp, [x]);

function attrKey(value: unknown): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value)) return `[${value.map(attrKey).join(",")}]`;
  if (value !== null && typeof value === "object") {
    let text = "{";
    for (const key in value) text += `${key}:${attrKey((value as Record<string, unknown>)[key])};`;
    return `${text}}`;
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

const noAttrs: Attrs = {};

/** Builds a node: checks shapes and dtypes, computes nothing. All inputs must live on one device. */
export function apply<A extends Attrs>(op: OpRecord<A>, inputs: readonly Tensor[], attrs?: A): Tensor {
  const nodes = inputs.map((t) => t.node);
  const device = nodes[0].device;
  for (const node of nodes) {
    if (node.device !== device) {
      throw new OpError(op.name, `operands live on different devices (${device.name} and ${node.device.name}); move one with to(device)`);
    }
  }
  const spec = op.infer(nodes, attrs ?? (noAttrs as A));
  return new Tensor(makeNode(op as unknown as OpRecord, nodes, attrs ?? noAttrs, spec.shape, spec.dtype, device));
}

export function makeNode(op: OpRecord, inputs: readonly Node[], attrs: Attrs, shape: Shape, dtype: DType, device: Device): Node {
  let requiresGrad = false;
  if (building.gradEnabled && op.grad !== nonDifferentiable && isFloating(dtype)) {
    for (const input of inputs) if (input.requiresGrad) requiresGrad = true;
  }
  if (!device.supports(dtype)) throw new OpError(op.name, `device ${device.name} has no ${dtype}; it has ${device.dtypes.join(", ")}`);
  building.pendingNodes++;
  return {
    id: newNodeId(),
    op,
    attrs,
    inputs,
    shape,
    dtype,
    device,
    signature: intern(op.name, attrs === noAttrs ? "" : attrKey(attrs), shape, dtype),
    requiresGrad,
    value: null,
    leafOf: null,
    owner: null,
    spent: false,
    module: building.module,
    site: creationSite(),
    recompute: building.recompute,
    walk: 0,
    position: 0,
  };
}

const inputRecord: OpRecord = {
  name: "input",
  doc: "A leaf that holds values given from outside.",
  reference: "torch.tensor",
  infer: () => {
    throw new InternalError("leaves are made by tensor()");
  },
  lower: { kind: "leaf" },
  grad: nonDifferentiable,
  samples: [],
};

/** A leaf without a value yet: whoever asks for one gives it one. */
export function leafNode(shape: Shape, dtype: DType, device: Device): Node {
  return makeNode(inputRecord, [], noAttrs, shape, dtype, device);
}

/** A copy of a tensor as a result of its own. */
export const versionOf = (x: Tensor): Tensor => apply(versionOp, [x]);

export interface TensorOptions {
  /** Default: float32 for numbers, bool for booleans, the array's own for typed arrays. */
  readonly dtype?: DType;
  readonly device?: Device;
  readonly requiresGrad?: boolean;
}

/** A leaf over host data that is taken as it is (not copied): the caller must not change it afterwards. */
export function fromHost(data: TypedArray, shape: Shape, dtype: DType, device: Device = defaultDevice()): Tensor {
  const node = leafNode(shape, dtype, device);
  node.value = { kind: "host", data };
  const made = new Tensor(node);
  node.owner = made;
  return made;
}

function shapeOf(data: Nested): number[] {
  const shape: number[] = [];
  let level: Nested = data;
  while (Array.isArray(level)) {
    shape.push(level.length);
    level = level[0] as Nested;
  }
  return shape;
}

/**
 * A tensor from nested arrays (shape from the nesting), or from a typed array with `shape`. Data is copied.
 * Throws for ragged nesting, a wrong number of elements, and values that the dtype cannot hold (fractions in int32).
 */
export function tensor(data: Nested | TypedArray, options: TensorOptions & { readonly shape?: Shape } = {}): Tensor {
  const device = options.device ?? defaultDevice();
  const typed = ArrayBuffer.isView(data);
  const shape = options.shape ?? (typed ? [data.length] : shapeOf(data));
  const flat: ArrayLike<number | boolean> = typed ? data : flatten(data, shape, options.shape !== undefined);
  if (flat.length !== numel(shape))
    throw new OpError("tensor", `${flat.length} elements do not fill shape ${showShape(shape)}, which takes ${numel(shape)}`);
  const dtype = options.dtype ?? guessDtype(data, flat);
  const host = hostArray(dtype, flat.length);
  for (let i = 0; i < flat.length; i++) {
    const value = Number(flat[i]);
    host[i] = dtype === "bool" ? (value !== 0 ? 1 : 0) : value;
    if (dtype === "int32" && host[i] !== value)
      throw new OpError("tensor", `${value} does not fit int32; round it, or ask for dtype float32`);
  }
  const made = fromHost(host, shape, dtype, device);
  return options.requiresGrad ? made.requiresGrad_() : made;
}

function guessDtype(data: Nested | TypedArray, flat: ArrayLike<number | boolean>): DType {
  if (data instanceof Float64Array) return "float64";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof Uint8Array) return "bool";
  return typeof flat[0] === "boolean" ? "bool" : "float32";
}

/** Elements in order. Nested data must have the shape; with a shape given, one flat list will do. */
function flatten(data: Nested, shape: Shape, given: boolean): (number | boolean)[] {
  const out: (number | boolean)[] = [];
  const levels = given && Array.isArray(data) && !Array.isArray(data[0]) ? 1 : shape.length;
  const ragged = (): OpError => new OpError("tensor", `nested arrays are ragged: expected shape ${showShape(shape)}`);
  const visit = (level: Nested, depth: number): void => {
    if (Array.isArray(level)) {
      if (depth >= levels || (levels === shape.length && level.length !== shape[depth])) throw ragged();
      for (const part of level) visit(part, depth + 1);
      return;
    }
    if (depth !== levels) throw ragged();
    if (typeof level !== "number" && typeof level !== "boolean")
      throw new OpError("tensor", `elements are numbers or booleans; got ${typeof level}`);
    out.push(level);
  };
  visit(data, 0);
  return out;
}
