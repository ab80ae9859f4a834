/** Trading time for memory: values inside are computed again for the backward pass, in place of being kept until then. */

import { type Draws, recordDraws, replayDraws } from "../engine/draws.js";
import { OpError } from "../engine/errors.js";
import { building, type Node, newNodeId } from "../engine/graph.js";
import { barrier } from "../engine/ops/identity.js";
import { apply, Tensor } from "../engine/tensor.js";
import { gradientsOf, probe } from "./backward.js";
import { throughRecord } from "./custom.js";
import { isGradEnabled } from "./grad-mode.js";

let nextRecomputation = 1;

/**
 * The results of `fn(...inputs)`; the backward pass runs `fn` again (once for each result), so nothing of its inside is kept for it.
 * Parameters that `fn` uses get their gradients, and random draws repeat. `fn` must do the same each time.
 */
export function checkpoint<A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(fn: (...inputs: A) => R, ...inputs: A): R {
  if (!isGradEnabled()) return fn(...inputs);
  const draws: Draws = [];
  const probes = inputs.map((x) => (x.requiresGrad ? probe(x) : x));
  const start = newNodeId();
  const run = fn as unknown as (...inputs: Tensor[]) => R;
  const result = recordDraws(draws, () => run(...probes));
  const outputs: readonly Tensor[] = result instanceof Tensor ? [result] : result;
  for (const output of outputs) {
    if (!(output instanceof Tensor)) throw new OpError("checkpoint", "the function must return a tensor or an array of tensors");
  }
  const captured = capturedBy(outputs, new Set(probes.map((x) => x.node)), start);

  const made = outputs.map((output, at) => {
    if (!output.requiresGrad) return output;
    const again = (given: readonly Tensor[]): Tensor => {
      const repeated = replayDraws(draws, () => run(...given));
      return repeated instanceof Tensor ? repeated : repeated[at];
    };
    const record = throughRecord(
      "checkpoint",
      "The result of a function that is computed again for the backward pass.",
      ({ inputs: now, grad, needs }) => {
        const given = now.slice(1, 1 + inputs.length);
        // The values inside wait for the gradient: computed earlier, they would have to be kept after all.
        const waiting = (places: readonly Tensor[]): Tensor => again(places.map((x) => barrier(x, grad)));
        return [null, ...recomputing(() => gradientsOf(waiting, given, captured, grad, (i) => needs(i + 1)))];
      },
    );
    return apply(record, [output.detach(), ...inputs, ...captured]);
  });
  return (result instanceof Tensor ? made[0] : made) as R;
}

/** Runs `fn` so that its nodes are known for a second computation, and stay apart from the first. */
function recomputing<T>(fn: () => T): T {
  const outer = building.recompute;
  building.recompute = nextRecomputation++;
  try {
    return fn();
  } finally {
    building.recompute = outer;
  }
}

/** Tensors that require gradients and were there before `start`: those that the function uses without being given them. */
function capturedBy(outputs: readonly Tensor[], given: ReadonlySet<Node>, start: number): Tensor[] {
  const seen = new Set<Node>();
  const found: Tensor[] = [];
  const stack = outputs.map((output) => output.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node) || given.has(node) || !node.requiresGrad) continue;
    seen.add(node);
    if (node.id < start || node.leafOf !== null) found.push(new Tensor(node));
    else stack.push(...node.inputs);
  }
  return found;
}
