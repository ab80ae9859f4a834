/** Functions as methods: `x.sum({ dim: 1 })` is `sum(x, { dim: 1 })`. What can be a method is one; the types follow from the functions. */
import * as activation from "./functional/activation.js";
import * as elementwise from "./functional/elementwise.js";
import * as indexing from "./functional/indexing.js";
import * as linalg from "./functional/linalg.js";
import * as movement from "./functional/movement.js";
import * as reduction from "./functional/reduction.js";
import * as sorting from "./functional/sorting.js";
import * as special from "./functional/special.js";
import { Tensor } from "./tensor.js";

const everyFunction = () => ({ ...activation, ...elementwise, ...indexing, ...linalg, ...movement, ...reduction, ...sorting, ...special });

/** Lists of tensors, or a condition, come first in these; `unfold` as a method is that along a dim. */
const notMethods = ["broadcastTensors", "cat", "stack", "where", "fold", "unfold", "unfoldDim"] as const;

type Functions = Omit<ReturnType<typeof everyFunction>, (typeof notMethods)[number] | "max" | "min">;
/** A function without its first argument, the tensor. */
type Method<F> = F extends (x: Tensor, ...rest: infer Rest) => infer Result ? (...rest: Rest) => Result : never;
type Methods = { [name in keyof Functions]: Method<Functions[name]> };

declare module "./tensor.js" {
  interface Tensor extends Methods {
    /** The largest element; with `dim`, the largest along it and where. */
    max(options?: { readonly dim?: undefined | null }): Tensor;
    max(options: { readonly dim: number; readonly keepdim?: boolean }): reduction.Extremes;
    /** The smallest element; with `dim`, the smallest along it and where. */
    min(options?: { readonly dim?: undefined | null }): Tensor;
    min(options: { readonly dim: number; readonly keepdim?: boolean }): reduction.Extremes;
    /** Windows of `size` elements every `step` along `dim`, in a new last dim. */
    unfold(dim: number, size: number, step: number): Tensor;
    /** The last two dims exchanged. */
    readonly mT: Tensor;
  }
}

function install(name: string, fn: (...args: never[]) => unknown): void {
  const method = function (this: Tensor, ...rest: unknown[]): unknown {
    return (fn as (...args: unknown[]) => unknown)(this, ...rest);
  };
  Object.defineProperty(Tensor.prototype, name, { value: method, writable: true, configurable: true });
}

let installed = false;

/** Gives tensors their methods. The main entry, `crabro/engine` and the first module do it; who takes functions from `crabro/browser` may. */
export function installMethods(): void {
  if (installed) return;
  installed = true;
  const hidden: readonly string[] = notMethods;
  for (const [name, fn] of Object.entries(everyFunction())) if (!hidden.includes(name)) install(name, fn);
  install("unfold", movement.unfoldDim);
  Object.defineProperty(Tensor.prototype, "mT", {
    get(this: Tensor): Tensor {
      return movement.transpose(this, -1, -2);
    },
    configurable: true,
  });
}
