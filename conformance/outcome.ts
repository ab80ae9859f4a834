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

/** What devices refuse by design: part of the BackendError's message, and the reason as documented. */
export interface Refusal {
  readonly device: string;
  readonly message: RegExp;
  readonly reason: string;
}

/** cpu, the reference, refuses nothing. */
export const refusals: readonly Refusal[] = [];

export const oneLine = (error: unknown): string => {
  const text =
    error instanceof Error
      ? (error instanceof OpError || error instanceof BackendError ? "" : `${error.name}: `) + error.message
      : String(error);
  return text.replace(/\s*\n\s*/g, " ").slice(0, 400);
};

/** The outcome of a case that threw where it should not. */
export function outcomeOf(error: unknown, device: string, table: readonly Refusal[] = refusals): Outcome {
  if (error instanceof Missing) return { status: "missing", error: 0, message: error.message };
  if (error instanceof BackendError) {
    const refusal = table.find((row) => row.device === device && row.message.test(error.message));
    if (refusal !== undefined) return { status: "refused", error: 0, message: refusal.reason };
  }
  return { status: "failed", error: Number.POSITIVE_INFINITY, message: oneLine(error) };
}

export const failed = (message: string): Outcome => ({ status: "failed", error: Number.POSITIVE_INFINITY, message });

export function conclude(verdict: Verdict): Outcome {
  return { status: verdict.messages.length === 0 ? "passed" : "failed", error: verdict.error, message: verdict.message };
}
