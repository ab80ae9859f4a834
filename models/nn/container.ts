/** Modules that hold others: `Sequential`, `ModuleList`, `Identity`. */
import type { Tensor } from "../../engine/tensor.js";
import { Module } from "./module.js";

/** A module of one tensor. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/**
 * Calls its children one after the other: what the first takes → what the last gives. They are named 0, 1, 2, …
 *
 * Throws what they throw. Reference: torch.nn.Sequential.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * const mlp = new nn.Sequential<nn.Layer>(new nn.Linear(8, 16), new nn.GELU(), new nn.Linear(16, 4));
 * mlp.forward(rand([2, 8])); // [2, 4]
 * ```
 */
export class Sequential<T extends Layer = Layer> extends Module {
  readonly #layers: readonly T[];

  constructor(...layers: T[]) {
    super();
    this.#layers = layers;
  }

  get length(): number {
    return this.#layers.length;
  }
  /** The layer at a position; negative positions count from the end. */
  at(index: number): T | undefined {
    return this.#layers.at(index);
  }
  [Symbol.iterator](): Iterator<T> {
    return this.#layers[Symbol.iterator]();
  }

  override *namedChildren(): Generator<[string, Module]> {
    for (let i = 0; i < this.#layers.length; i++) yield [String(i), this.#layers[i]];
  }

  override forward(x: Tensor): Tensor {
    for (const layer of this.#layers) x = layer.forward(x);
    return x;
  }
}

/**
 * A list of modules named 0, 1, 2, … for its owner to call, so without shapes of its own. A plain array in a property does the same.
 *
 * Its `forward` throws OpError. Reference: torch.nn.ModuleList.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * const layers = new nn.ModuleList([new nn.Linear(8, 8), new nn.Linear(8, 8)]);
 * let x = rand([2, 8]);
 * for (const layer of layers as Iterable<nn.Linear>) x = layer.forward(x);
 * ```
 */
export class ModuleList<T extends Module = Module> extends Module {
  readonly #modules: T[];

  constructor(modules: readonly T[] = []) {
    super();
    this.#modules = [...modules];
  }

  get length(): number {
    return this.#modules.length;
  }
  at(index: number): T | undefined {
    return this.#modules.at(index);
  }
  push(module: T): void {
    this.#modules.push(module);
  }
  [Symbol.iterator](): Iterator<T> {
    return this.#modules[Symbol.iterator]();
  }

  override *namedChildren(): Generator<[string, Module]> {
    for (let i = 0; i < this.#modules.length; i++) yield [String(i), this.#modules[i]];
  }
}

/**
 * Returns its input: any shape → the same.
 *
 * Throws nothing. Reference: torch.nn.Identity.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.Identity().forward(rand([2])); // [2]
 * ```
 */
export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x;
  }
}
