/** Values inside a network by name: the outputs of its layers, and what some layers tell of themselves. */
import { OpError } from "../engine/errors.js";
import { Tensor } from "../engine/tensor.js";
import { listenInside } from "./nn/listen.js";
import type { Module } from "./nn/module.js";
import { nearest } from "./state.js";

/** A result, and the values inside the network that were asked for. */
export interface Activations<T> {
  readonly output: T;
  /** In the order in which they came to be. A module that is called several times has `name`, `name#2`, … */
  readonly activations: ReadonlyMap<string, Tensor>;
}

/**
 * Runs `run`, in which `module` is called, and gives what it returns along with the named values inside: the output of each submodule under
 * its path, such as `stages.2.0.pwconv1`, and besides `…gnconv.orders.k`, a gnConv's features after interaction k, and
 * `….slot_assignment`, the share [N, S, H, W] of a GLMix block's slots in each pixel. `*` in a name stands for anything.
 *
 * Nothing is computed that is not read. Throws OpError for a name that nothing has, with those near it.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { activations, createModel } from "crabro/models";
 *
 * const model = createModel("hornet_micro_7x7").eval();
 * const inside = activations(model, ["stages.*.gnconv.orders.0", "norm"], () => model.forward(rand([1, 1, 32, 32])));
 * for (const [name, value] of inside.activations) console.log(name, value.shape);
 * ```
 */
export function activations<T>(module: Module, names: string | readonly string[], run: () => T): Activations<T> {
  const patterns = (typeof names === "string" ? [names] : names).map((name) => ({ name, match: pattern(name), found: false }));
  const found = new Map<string, Tensor>();
  const seen = new Set<string>();
  const output = listenInside(module, run, (path, value) => {
    seen.add(path);
    const wanted = patterns.filter(({ match }) => match.test(path));
    if (wanted.length === 0) return;
    const tensors = tensorsIn(value());
    tensors.forEach((tensor, i) => {
      found.set(freeName(found, tensors.length > 1 ? `${path}.${i}` : path), tensor);
    });
    for (const entry of wanted) entry.found = true;
  });
  const missing = patterns.find((entry) => !entry.found);
  if (missing !== undefined) {
    const near = nearest(missing.name, [...seen], 3);
    const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `there are ${[...seen].slice(0, 6).join(", ")}, …`;
    throw new OpError("activations", `nothing that ran in ${module.constructor.name} is named ${missing.name}; ${hint}`);
  }
  return { output, activations: found };
}

function pattern(name: string): RegExp {
  const escaped = name.split("*").map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`);
}

const tensorsIn = (value: unknown): Tensor[] => (value instanceof Tensor ? [value] : Array.isArray(value) ? value.flatMap(tensorsIn) : []);

function freeName(taken: ReadonlyMap<string, unknown>, name: string): string {
  let free = name;
  for (let count = 2; taken.has(free); count++) free = `${name}#${count}`;
  return free;
}
