/** Runs the cases of a folder in a process of their own, with a time limit for each. */
import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { environmentFor } from "../cli/software.js";
import type { Job, Report } from "./child.js";
import { openFolder } from "./disk.js";
import { UsageError } from "./folder.js";
import { failed, type Outcome } from "./outcome.js";
import { type Task, tasksOf } from "./tasks.js";

export interface RunOptions {
  readonly folder: string;
  readonly device: string;
  /** Options of the device, such as `{ fuse: false }`. */
  readonly deviceOptions?: Readonly<Record<string, unknown>>;
  /** Which cases to run; all by default. */
  readonly select?: (task: Task) => boolean;
  /** A case that takes longer is failed. */
  readonly limitSeconds?: number;
  /** Called as each case begins. */
  readonly onStart?: (task: Task, done: number, total: number) => void;
}

export interface CaseResult extends Outcome {
  readonly id: string;
  readonly op: string;
  readonly family: string;
}

export interface RunResult {
  readonly device: string;
  /** How the device describes itself; "" when no case needed it. */
  readonly description: string;
  readonly results: readonly CaseResult[];
}

/** Networks take their time on a slow device; single operations do not. */
const defaultLimit = { ops: 60, models: 900, files: 60 } as const;

/** Throws UsageError when the folder is no folder of cases, no case is selected, or the device cannot be opened. */
export async function runFolder(options: RunOptions): Promise<RunResult> {
  const folder = openFolder(options.folder);
  const tasks = tasksOf(folder);
  const chosen = tasks.map((_, i) => i).filter((i) => options.select?.(tasks[i]) ?? true);
  if (chosen.length === 0) throw new UsageError(`no case of ${options.folder} is selected`);
  const limit = 1000 * (options.limitSeconds ?? defaultLimit[folder.kind]);

  const outcomes = new Map<number, Outcome>();
  let description = "";
  for (let left = chosen; left.length > 0; left = chosen.filter((i) => !outcomes.has(i))) {
    const job: Job = { folder: options.folder, device: options.device, options: options.deviceOptions ?? {}, tasks: left };
    await runChild(job, limit, {
      device: (text) => {
        description = text;
      },
      start: (at) => options.onStart?.(tasks[at], outcomes.size, chosen.length),
      done: (at, outcome) => void outcomes.set(at, outcome),
    });
  }
  const results = chosen.map((i) => ({ id: tasks[i].id, op: tasks[i].op, family: tasks[i].family, ...(outcomes.get(i) as Outcome) }));
  return { device: options.device, description, results };
}

interface Listener {
  device(description: string): void;
  start(task: number): void;
  done(task: number, outcome: Outcome): void;
}

/** One child, until it is through, or hangs, or dies. Settles every case that it began. */
function runChild(job: Job, limit: number, listener: Listener): Promise<void> {
  const file = fileURLToPath(new URL(`./child${extname(fileURLToPath(import.meta.url))}`, import.meta.url));
  // What this process was started with loads TypeScript, where that is needed.
  const env = environmentFor(job.device) ?? process.env;
  const child: ChildProcess = fork(file, { execArgv: process.execArgv, env, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  return new Promise((resolve, reject) => {
    let running: number | null = null;
    let any = false;
    let timer: NodeJS.Timeout | undefined;
    let refused: UsageError | null = null;
    const settle = (outcome: Outcome): void => {
      clearTimeout(timer);
      if (running !== null) listener.done(running, outcome);
      running = null;
    };
    child.on("message", (report: Report) => {
      if (report.type === "device") listener.device(report.description);
      else if (report.type === "unavailable") refused = new UsageError(`device ${job.device}: ${report.message}`);
      else if (report.type === "start") {
        running = report.task;
        any = true;
        listener.start(report.task);
        timer = setTimeout(() => {
          settle(failed(`no result within ${limit / 1000} s`));
          child.kill("SIGKILL");
        }, limit);
      } else settle({ ...report.outcome, error: Number(report.outcome.error) });
    });
    child.on("error", reject);
    // Its last messages may arrive after its end: the channel closes when all are read.
    let ended: string | null = null;
    let disconnected = false;
    const finish = (): void => {
      if (ended === null || !disconnected) return;
      settle(failed(`the process died (${ended})`));
      if (refused !== null) reject(refused);
      else if (!any) reject(new Error(`the process that runs the cases did not start (${ended})`));
      else resolve();
    };
    child.on("disconnect", () => {
      disconnected = true;
      finish();
    });
    child.on("exit", (code, signal) => {
      ended = signal ?? `exit status ${code}`;
      finish();
    });
    child.send(job);
  });
}
