/** Results for people and for programs. */
import pc from "picocolors";
import type { CaseResult, RunResult } from "./supervise.js";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly missing: number;
  readonly refused: number;
}

export function count(results: readonly CaseResult[]): Counts {
  const counts = { passed: 0, failed: 0, missing: 0, refused: 0 };
  for (const { status } of results) counts[status]++;
  return counts;
}

/** The report as data. Errors are in units of the tolerance, so that one is the limit; null where nothing finite is to be said. */
export function toJson({ device, results }: RunResult) {
  return {
    device,
    total: results.length,
    ...count(results),
    cases: results.map(({ id, op, status, error, message }) => ({
      id,
      op,
      status,
      error: Number.isFinite(error) ? error : null,
      tolerance: 1,
      ...(message === "" ? {} : { message }),
    })),
  };
}

function grouped(results: readonly CaseResult[], key: (result: CaseResult) => string): Map<string, CaseResult[]> {
  const groups = new Map<string, CaseResult[]>();
  for (const result of results) {
    const group = groups.get(key(result)) ?? [];
    group.push(result);
    groups.set(key(result), group);
  }
  return groups;
}

export const showError = (error: number): string => (error === 0 ? "0" : Number.isFinite(error) ? error.toPrecision(2) : "∞");

const worst = (results: readonly CaseResult[]): string =>
  results.some(({ status }) => status === "passed" || status === "failed") ? showError(Math.max(...results.map(({ error }) => error))) : "";

/** A line an operation, counts of each status, and the worst error in units of what is allowed. */
function table(results: readonly CaseResult[], key: (result: CaseResult) => string, title: string): string[] {
  const groups = [...grouped(results, key)];
  const width = Math.max(title.length, ...groups.map(([name]) => name.length));
  const row = (name: string, cells: readonly (string | number)[]): string =>
    name.padEnd(width) + cells.map((cell) => (cell === 0 ? "·" : String(cell)).padStart(9)).join("");
  const lines = groups.map(([name, group]) => {
    const { passed, failed, missing, refused } = count(group);
    const text = row(name, [passed, failed, missing, refused, worst(group)]);
    return failed > 0 ? pc.red(text) : missing > 0 ? pc.yellow(text) : text;
  });
  return [pc.bold(row(title, ["passed", "failed", "missing", "refused", "worst"])), ...lines];
}

/** What is missing or refused, each reason once. */
function reasons(results: readonly CaseResult[], status: "missing" | "refused"): string[] {
  const groups = grouped(
    results.filter((result) => result.status === status),
    ({ op, message }) => `${op}: ${message}`,
  );
  return groups.size === 0 ? [] : ["", `${status}:`, ...[...groups].map(([text, group]) => `  ${text} (${cases(group.length)})`)];
}

const cases = (n: number): string => `${n} case${n === 1 ? "" : "s"}`;

/** Everything that did not pass, a line each. */
function troubles(results: readonly CaseResult[]): string[] {
  const bad = results.filter(({ status }) => status === "failed");
  const lines = bad.map(({ id, op, error, message }) => `  ${id} (${op}): ${message} [error ${showError(error)} × allowed]`);
  return [...(lines.length === 0 ? [] : ["", "failed:", ...lines]), ...reasons(results, "missing"), ...reasons(results, "refused")];
}

export const totals = (results: readonly CaseResult[]): string => {
  const { passed, failed, missing, refused } = count(results);
  return `${passed} passed, ${failed} failed, ${missing} missing, ${refused} refused`;
};

export function textReport(run: RunResult, by: "op" | "family" = "op"): string {
  const { results } = run;
  const lines = table(results, (result) => result[by], by === "op" ? "operation or kind" : "family");
  const device = run.description === "" ? [] : [run.description, ""];
  return [...device, ...lines, ...troubles(results), "", `${totals(results)} (${cases(results.length)} on ${run.device})`].join("\n");
}
