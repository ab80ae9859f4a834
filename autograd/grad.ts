/** Gradients as functions of functions. */
import { isFloating } from "../engine/dtype.js";
import { OpError } from "../engine/errors.js";
import { zerosLike } from "../engine/functional/creation.js";
import { building } from "../engine/graph.js";
import { Tensor } from "../engine/tensor.js";
import { gradients, probe } from "./backward.js";
import { enableGrad } from "./grad-mode.js";

export interface GradOptions<N extends number | readonly number[] = number | readonly number[]> {
  /** Which arguments to differentiate: one position, or a list for a list of gradients. Default 0. */
  readonly argnums?: N;
  /** Makes value and gradients differentiable by what `fn` closes over, too. Default: only inside another `grad`. */
  readonly createGraph?: boolean;
}

/** A list of gradients where `argnums` is a list, else one. */
export type Gradients<N> = N extends readonly number[] ? Tensor[] : Tensor;

/** How many functions are being differentiated right now. */
let depth = 0;

/**
 * The function that gives the value of `fn`, a tensor of one element, and its gradient.
 *
 * ```ts
 * const { value, grad: slope } = valueAndGrad((x: Tensor) => x.mul(x).sum())(tensor([1, 2]));
 * ```
 */
export function valueAndGrad<A extends unknown[], N extends number | readonly number[] = number>(
  fn: (...args: A) => Tensor,
  options: GradOptions<N> = {},
): (...args: A) => { value: Tensor; grad: Gradients<N> } {
  const argnums = options.argnums ?? 0;
  const positions: readonly number[] = typeof argnums === "number" ? [argnums] : argnums;
  return (...args) => {
    const createGraph = options.createGraph ?? (depth > 0 && building.gradEnabled);
    const probes = positions.map((position) => probe(argument(args, position)));
    const given = [...args] as A;
    positions.forEach((position, i) => {
      given[position] = probes[i];
    });
    const value = evaluate(fn, given);
    const found = value.requiresGrad ? gradients([value], probes, null, { createGraph, allowUnused: true }) : probes.map(() => null);
    const grads = found.map((one, i) => one ?? zerosLike(probes[i].detach()));
    return { value: createGraph ? value : value.detach(), grad: (typeof argnums === "number" ? grads[0] : grads) as Gradients<N> };
  };
}

/** The function that gives the gradient of `fn`, a function to a tensor of one element. Can be applied again: `grad(grad(f))`. */
export function grad<A extends unknown[], N extends number | readonly number[] = number>(
  fn: (...args: A) => Tensor,
  options: GradOptions<N> = {},
): (...args: A) => Gradients<N> {
  const both = valueAndGrad(fn, options);
  return (...args) => both(...args).grad;
}

function argument(args: readonly unknown[], position: number): Tensor {
  const value = args[position];
  if (!(value instanceof Tensor))
    throw new OpError("grad", `argument ${position} of ${args.length} is not a tensor; argnums says which arguments to differentiate`);
  if (!isFloating(value.dtype))
    throw new OpError("grad", `argument ${position} has dtype ${value.dtype}; only float32 and float64 have gradients`);
  return value;
}

function evaluate<A extends unknown[]>(fn: (...args: A) => Tensor, args: A): Tensor {
  depth++;
  try {
    const value = enableGrad(() => fn(...args));
    if (!(value instanceof Tensor)) throw new OpError("grad", "the function must return a tensor of one element");
    return value;
  } finally {
    depth--;
  }
}
