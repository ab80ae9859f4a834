/** Draws of random numbers in their order, so that a checkpoint can make them a second time. */
import type { Device } from "./device.js";
import { OpError } from "./errors.js";
import type { Generator } from "./random.js";
import { hostScalar } from "./runtime/scalar.js";
import type { Tensor } from "./tensor.js";

/** The keys of draws, each as two rank-0 tensors. */
export type Draws = (readonly [Tensor, Tensor])[];

/** Draws that are noted, or made again, while a checkpoint runs or is recomputed; checkpoints may be inside others. */
interface Tape {
  readonly draws: Draws;
  /** Null while recording. */
  replayed: number | null;
  readonly outer: Tape | null;
}

let tape: Tape | null = null;

/** Runs `fn` and notes its draws. */
export function recordDraws<T>(draws: Draws, fn: () => T): T {
  return withTape({ draws, replayed: null, outer: tape }, fn);
}

/** Runs `fn` with the draws noted before, so that it gives the same numbers. */
export function replayDraws<T>(draws: Draws, fn: () => T): T {
  return withTape({ draws, replayed: 0, outer: tape }, fn);
}

function withTape<T>(next: Tape, fn: () => T): T {
  tape = next;
  try {
    return fn();
  } finally {
    tape = next.outer;
  }
}

/** The key of a new draw; or, while a checkpoint is recomputed, of the draw that was made in its place. */
export function drawKey(generator: Generator, device: Device, from: Tape | null = tape): Draws[number] {
  if (from === null) {
    let key: readonly [number, number] = [0, 0];
    const first = hostScalar(
      () => {
        key = generator.nextKey();
        return key[0];
      },
      { dtype: "int32", device },
    );
    return [first, hostScalar(() => key[1], { dtype: "int32", device })];
  }
  if (from.replayed === null) {
    const made = drawKey(generator, device, from.outer);
    from.draws.push(made);
    return made;
  }
  const known = from.draws[from.replayed++];
  if (known === undefined)
    throw new OpError("checkpoint", "the function drew more random numbers when it was computed again; it must do the same both times");
  return known;
}
