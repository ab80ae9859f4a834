/** What became of a case, and how errors count. */
import { BackendError, OpError } from "../engine/errors.js";
import type { Verdict } from "./compare.js";

export type Status = "passed" | "failed" | "missing" | "refused";

export interface Outcome {
  readonly status: Status;
  /** Worst error in units of what is allowed; 0 where nothing was compared. */
  readonly error: number;
  /** Why it did not pass, in one line. */
  readonly message: string;
}

/** The public names of the package, looked up at run time: what is not there yet is missing. */
export type Api = Readonly<Record<string, unknown>>;

/** Something that the case needs is not there yet. */
export class Missing extends Error {}

export function need<T>(api: Api, name: string, where = "crabro"): T {
  if (typeof api[name] !== "function") throw new Missing(`${where} has no ${name}`);
  return api[name] as T;
}

/** A call that a device refuses by design, as it cannot represent what is in it. */
export interface Refusal {
  readonly operation: string;
  readonly device: string;
  readonly reason: string;
  /** Ids of the cases. */
  readonly cases: readonly string[];
  /** Part of the BackendError's message. */
  readonly message: RegExp;
}

/**
 * All that is refused. It is empty: where integers are floats, the reference cases have none beyond 2^24, random numbers are made on the host, and
 * what a device has no template for gets the slow definition. A case that is refused and not listed fails, as does one that is listed and not refused.
 */
export const refusals: readonly Refusal[] = [];

export const oneLine = (error: unknown): string => {
  const text =
    error instanceof Error
      ? (error instanceof OpError || error instanceof BackendError ? "" : `${error.name}: `) + error.message
      : String(error);
  return text.replace(/\s*\n\s*/g, " ").slice(0, 400);
};

/** The outcome of a case that threw where it should not. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof Missing) return { status: "missing", error: 0, message: error.message };
  if (error instanceof BackendError) return { status: "refused", error: 0, message: error.message };
  return { status: "failed", error: Number.POSITIVE_INFINITY, message: oneLine(error) };
}

/** An outcome by the table: refused is what is listed there, for that reason, and nothing else. */
export function byTable(outcome: Outcome, id: string, device: string, table: readonly Refusal[] = refusals): Outcome {
  const row = table.find((row) => row.device === device && row.cases.includes(id));
  const refused = outcome.status === "refused";
  if (row !== undefined && refused && row.message.test(outcome.message)) return { ...outcome, message: row.reason };
  if (row !== undefined) return failed(`${outcome.status}, but listed as refused: ${row.reason}; ${outcome.message}`);
  return refused ? failed(oneLine(outcome.message)) : outcome;
}

export const failed = (message: string): Outcome => ({ status: "failed", error: Number.POSITIVE_INFINITY, message });

export function conclude(verdict: Verdict): Outcome {
  return { status: verdict.messages.length === 0 ? "passed" : "failed", error: verdict.error, message: verdict.message };
}
