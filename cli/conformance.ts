/** `npm run conformance -- --cases DIR --device NAME`: compares a device with reference results. */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { UsageError } from "../conformance/folder.js";
import type { Task } from "../conformance/tasks.js";
import { regex } from "./commands/flags.js";

interface Flags {
  readonly cases: string;
  readonly device: string;
  readonly filter?: RegExp;
  readonly json?: string;
  readonly fuse: boolean;
  readonly interpret: boolean;
  readonly timeout?: number;
}

function truth(text: string): boolean {
  if (text !== "true" && text !== "false") throw new InvalidArgumentError("Expected true or false.");
  return text === "true";
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("Expected a number of seconds above 0.");
  return value;
}

/** A line that rewrites itself, on a terminal. */
function progress(task: Task, done: number, total: number): void {
  if (!process.stderr.isTTY) return;
  const text = `[${done + 1}/${total}] ${task.op} ${task.id}`;
  process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}
const endProgress = (): void => {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
};

async function main(flags: Flags): Promise<number> {
  // Here, so that help and wrong flags do not wait for the engine to load.
  const { count, textReport, toJson } = await import("../conformance/report.js");
  const { runFolder } = await import("../conformance/supervise.js");
  const deviceOptions = { ...(flags.fuse ? {} : { fuse: false }), ...(flags.interpret ? { interpret: true } : {}) };
  const { filter, json } = flags;
  if (json !== undefined && !existsSync(dirname(resolve(json)))) throw new UsageError(`cannot write ${json}: its folder is not there`);
  const run = await runFolder({
    folder: flags.cases,
    device: flags.device,
    deviceOptions,
    select: (task) => filter === undefined || filter.test(task.id) || filter.test(task.op),
    limitSeconds: flags.timeout,
    onStart: progress,
  }).finally(endProgress);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(toJson(run), null, 1)}\n`);
  console.log(textReport(run));
  const { failed, missing } = count(run.results);
  return failed + missing > 0 ? 1 : 0;
}

const command = new Command("conformance")
  .description("Runs reference cases (single operations, modules and networks, files) on a device and compares the results.")
  .requiredOption("--cases <folder>", "folder with an index.json")
  .option("--device <name>", "device to run on", "cpu")
  .option("--filter <regex>", "only cases whose id or operation matches", regex)
  .option("--json <file>", "also write the results to a file")
  .option("--fuse <boolean>", "false: one kernel an operation", truth, true)
  .option("--interpret", "cpu: run the interpreter of the kernels' IR instead of compiled kernels", false)
  .option("--timeout <seconds>", "a case that takes longer is failed (default: 60 for an operation, 900 for a network)", seconds)
  .addHelpText("after", "\nExit status: 0 all passed or refused by design, 1 something failed or is missing, 2 the call was wrong.")
  .allowExcessArguments(false)
  .exitOverride();

try {
  command.parse();
  process.exitCode = await main(command.opts<Flags>());
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}`);
    process.exitCode = 2;
  } else if (error instanceof Error && "exitCode" in error && "code" in error) {
    process.exitCode = error.exitCode === 0 ? 0 : 2; // commander has said why
  } else throw error;
}
