/** Reference cases of a folder in a page, a few at a time so that what hangs or kills the page is few failures. */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import type { Browser } from "playwright-core";
import { openFolder } from "../../conformance/disk.js";
import { failed } from "../../conformance/outcome.js";
import type { CaseResult, RunResult } from "../../conformance/supervise.js";
import { type Task, tasksOf } from "../../conformance/tasks.js";
import { bundle, type Files } from "../../web/bundle.js";
import { runPage } from "./harness.js";
import type { CasesRequest, CasesResult } from "./page-cases.js";

export interface PageRun {
  readonly folder: string;
  readonly device: string;
  readonly select?: (task: Task, at: number) => boolean;
  /** Cases a page. Default 40. */
  readonly chunk?: number;
  /** Seconds for each page. Default 300. */
  readonly seconds?: number;
  readonly onChunk?: (done: number, total: number) => void;
}

const scripts = (): Promise<Files> => bundle(["test/browser/page-cases.ts"]);
let bundled: Promise<Files> | null = null;

export async function runInPage(browser: Browser, options: PageRun): Promise<RunResult> {
  const { folder, device, select = () => true, chunk = 40, seconds = 300, onChunk = () => {} } = options;
  const tasks = tasksOf(openFolder(folder));
  const chosen = tasks.map((_, i) => i).filter((i) => select(tasks[i], i));
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join("/"),
    )
    .sort();
  bundled ??= scripts();
  const files = new Map([...(await bundled), ...names.map((name) => [`cases/${name}`, readFileSync(join(folder, name))] as const)]);
  const results: CaseResult[] = [];
  let description = "";
  for (let from = 0; from < chosen.length; from += chunk) {
    const part = chosen.slice(from, from + chunk);
    const request: CasesRequest = { device, at: "cases", files: names, tasks: part };
    const page = { files, main: "page-cases.js", isolated: true, seconds };
    const outcomes = await runPage<CasesRequest, CasesResult>(browser, page, request).then(
      (found) => {
        description = found.describe;
        return found.outcomes.map((outcome) => ({ ...outcome, error: Number(outcome.error) }));
      },
      (error: Error) => part.map(() => failed(`the page: ${error.message.split("\n")[0]}`)),
    );
    part.forEach((at, i) => results.push({ id: tasks[at].id, op: tasks[at].op, family: tasks[at].family, ...outcomes[i] }));
    onChunk(results.length, chosen.length);
  }
  return { device, description, results };
}
