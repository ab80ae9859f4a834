/** How parameters come into being: their device, their initial values, or no values at all. */
import { type Device, defaultDevice } from "../../engine/device.js";
import { type DType, hostArray, type TypedArray } from "../../engine/dtype.js";
import { OpError } from "../../engine/errors.js";
import type { Node } from "../../engine/graph.js";
import { defaultGenerator, type Generator } from "../../engine/random.js";
import { numel, type Shape, showShape } from "../../engine/shape.js";
import { fromHost, Tensor } from "../../engine/tensor.js";

/** Fills a host array with initial values. */
export type Init = (values: TypedArray, shape: Shape, generator: Generator) => void;

export interface BuildOptions {
  /** Default: the default device. */
  readonly device?: Device;
  /** Default: float32. */
  readonly dtype?: "float32" | "float64";
  /** Where initial values are drawn from. Default: the default generator. */
  readonly generator?: Generator;
  /** Build names and shapes only: parameters have no values until a state dict is loaded. */
  readonly meta?: boolean;
  /** Initial weights and biases of the linear and convolution layers built, in place of PyTorch's. */
  readonly init?: { readonly weight: Init; readonly bias: Init };
}

let current: BuildOptions = {};

/** How leaves without values would have begun. */
const beginnings = new WeakMap<Node, () => TypedArray>();

const buildOptions = ["device", "dtype", "generator", "meta", "init"] satisfies readonly (keyof BuildOptions)[];

/**
 * Builds modules with these options; those of an enclosing `buildWith` stay in force where none are given. `op` names the layer whose options
 * the rest of these are. Throws OpError for an option that there is not.
 */
export function buildWith<T>(options: BuildOptions, make: () => T, op = "buildWith"): T {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  for (const key in given)
    if (!(buildOptions as readonly string[]).includes(key))
      throw new OpError(op, `no option is called ${key}; besides its own it takes ${buildOptions.join(", ")}`);
  const outer = current;
  current = { ...outer, ...given };
  try {
    return make();
  } finally {
    current = outer;
  }
}

/** The initialisation in force for linear and convolution layers. */
export const initInForce = (): BuildOptions["init"] => current.init;

/** A tensor that parameters and buffers are made of, under the options in force. Throws OpError for a shape that holds nothing. */
export function initial(shape: Shape, init: Init, dtype: DType = current.dtype ?? "float32"): Tensor {
  if (!shape.every((size) => Number.isInteger(size) && size > 0))
    throw new OpError("parameter", `widths are whole numbers from 1 up; got a parameter of shape ${showShape(shape)}`);
  const { device = defaultDevice(), generator = defaultGenerator, meta = false } = current;
  const make = (): TypedArray => {
    const values = hostArray(dtype, numel(shape));
    init(values, shape, generator);
    return values;
  };
  if (!meta) return fromHost(make(), shape, dtype, device);
  const empty = withoutValues(shape, dtype, device);
  beginnings.set(empty.node, make);
  return empty;
}

/** The values that an entry of a model built without values would have begun with; null for other tensors. */
export const beginningOf = (tensor: Tensor): TypedArray | null => beginnings.get(tensor.node)?.() ?? null;

/** A leaf without values on another device. */
export function movedWithoutValues(tensor: Tensor, device: Device): Tensor {
  const moved = withoutValues(tensor.shape, tensor.dtype, device);
  const make = beginnings.get(tensor.node);
  if (make !== undefined) beginnings.set(moved.node, make);
  return moved;
}

/** A tensor that the optimizer changes: a leaf that requires gradients. Modules find it among their properties. */
export class Parameter extends Tensor {
  constructor(values: Tensor) {
    super(values.node);
    this.node.owner = this;
    this.requiresGrad_();
  }
}

/** A parameter with values of its own: what an initializer draws for its shape. */
export const parameter = (shape: Shape, init: Init): Parameter => new Parameter(initial(shape, init));

/** A leaf of known shape that holds nothing. */
export function withoutValues(shape: Shape, dtype: DType, device: Device): Tensor {
  const empty = fromHost(hostArray(dtype, 0), shape, dtype, device);
  empty.node.value = { kind: "gone", why: "it belongs to a model built without values (meta: true); load a state dict first" };
  return empty;
}

export const isWithoutValues = (tensor: Tensor): boolean => tensor.node.value?.kind === "gone";
