/** Draws of random numbers in their order, so that a checkpoint can make them a second time. */
import { OpError } from "./errors.js";
import type { Tensor } from "./tensor.js";

/** The tensors that each draw made. */
export type Draws = (readonly Tensor[])[];

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

/** What a new draw makes; or, while a checkpoint is recomputed, what was made in its place. */
export function drawn(make: () => readonly Tensor[], from: Tape | null = tape): readonly Tensor[] {
  if (from === null) return make();
  if (from.replayed === null) {
    const made = drawn(make, from.outer);
    from.draws.push(made);
    return made;
  }
  const known = from.draws[from.replayed++];
  if (known === undefined)
    throw new OpError("checkpoint", "the function drew more random numbers when it was computed again; it must do the same both times");
  return known;
}
