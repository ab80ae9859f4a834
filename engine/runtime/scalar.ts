/** Host values that change from step to step: leaves that a compiled function reads anew at each replay. */
import { type Device, defaultDevice } from "../device.js";
import { type DType, hostArray, type TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { type Node, varying } from "../graph.js";
import type { Shape } from "../shape.js";
import { fromHost, type Tensor } from "../tensor.js";

/** What a compiled function does before each replay, in the order in which it was asked for while tracing. */
export type StepAction =
  | { readonly kind: "run"; readonly action: () => void }
  | { readonly kind: "read"; readonly node: Node; readonly read: () => TypedArray };

let tracing: StepAction[] | null = null;

/** Collects the actions asked for while `fn` runs. */
export function collectActions<T>(into: StepAction[], fn: () => T): T {
  const before = tracing;
  tracing = into;
  try {
    return fn();
  } finally {
    tracing = before;
  }
}

export const isTracing = (): boolean => tracing !== null;

/**
 * A rank-0 tensor of a number that varies from step to step (a learning rate, a step count, a drop rate). Outside `compile` the number is
 * read once, now; in a compiled function once at each call, in the order of creation. A plain number would become part of the
 * program, and every new value a new plan.
 */
export function hostScalar(read: () => number, options: { readonly dtype?: DType; readonly device?: Device } = {}): Tensor {
  const dtype = options.dtype ?? "float32";
  const readData = (): TypedArray => {
    const data = hostArray(dtype, 1);
    data[0] = checked(read());
    return data;
  };
  return hostLeaf(readData, [], dtype, options.device ?? defaultDevice());
}

/** The same for whole arrays, which `read` must make anew each time. */
export function hostLeaf(read: () => TypedArray, shape: Shape, dtype: DType, device: Device): Tensor {
  const leaf = fromHost(read(), shape, dtype, device);
  if (tracing !== null) varying.add(leaf.node);
  tracing?.push({ kind: "read", node: leaf.node, read });
  return leaf;
}

function checked(value: number): number {
  if (typeof value !== "number") throw new OpError("hostScalar", `the function gave ${typeof value}; expected a number`);
  return value;
}

/** Runs `action` now and, in a compiled function, before each later call as well: for counters that live on the host. */
export function onStep(action: () => void): void {
  action();
  tracing?.push({ kind: "run", action });
}
