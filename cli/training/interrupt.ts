/** Ctrl-C: the step under way is finished, the run saved. */
import { constants } from "node:os";

const signals = ["SIGINT", "SIGTERM"] as const;

/** A run that was asked to stop, and has saved itself. */
export class Interrupted extends Error {
  /** The status that shells give to what a signal ended. */
  readonly status: number;

  constructor(message: string, signal: (typeof signals)[number]) {
    super(message);
    this.name = "Interrupted";
    this.status = 128 + constants.signals[signal];
  }
}

/** Whether, and by which signal, the process was asked to stop. */
export interface StopRequest {
  readonly signal: AbortSignal;
  /** Throws Interrupted. */
  readonly leave: (message: string) => never;
  /** Listens no more. */
  readonly close: () => void;
}

/** Listens for the first signal; a second one ends the process at once. */
export function listenForStop(say: (line: string) => void): StopRequest {
  const controller = new AbortController();
  let by: (typeof signals)[number] = "SIGINT";
  const handler = (name: (typeof signals)[number]): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    by = name;
    say("stopping after this step; once more stops at once, and loses what came after the last checkpoint");
    controller.abort();
  };
  for (const name of signals) process.on(name, handler);
  return {
    signal: controller.signal,
    leave: (message) => {
      throw new Interrupted(message, by);
    },
    close: () => {
      for (const name of signals) process.off(name, handler);
    },
  };
}
