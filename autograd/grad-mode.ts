/** Whether operations remember how to be differentiated: on, unless inside `noGrad`. */
import { OpError } from "../engine/errors.js";
import { building } from "../engine/graph.js";

/** Whether operations record what their gradients need. */
export const isGradEnabled = (): boolean => building.gradEnabled;

/** Runs `fn` without recording gradients: its results do not require any. The setting before is restored, also when `fn` throws. */
export function noGrad<T>(fn: () => T): T {
  return withGradMode("noGrad", false, fn);
}

/** Runs `fn` with gradients recorded, also inside `noGrad`. */
export function enableGrad<T>(fn: () => T): T {
  return withGradMode("enableGrad", true, fn);
}

/**
 * The mode belongs to the code that runs now; after an `await` that is any other code. So an async function is refused: building a graph
 * needs no waiting, and reading values needs no mode.
 */
export function withGradMode<T>(name: string, enabled: boolean, fn: () => T): T {
  const before = building.gradEnabled;
  building.gradEnabled = enabled;
  try {
    const result = fn();
    if (isThenable(result)) {
      result.then(undefined, () => undefined); // its own failure must not become an unhandled rejection beside the error below
      throw new OpError(
        name,
        "the function is async, and the mode would leak into other code while it waits; build the graph in a plain function, and await its values outside",
      );
    }
    return result;
  } finally {
    building.gradEnabled = before;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
