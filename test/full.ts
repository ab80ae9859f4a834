/**
 * `npm run test:full`: everything that the whole set of reference data says about what is here, on the cpu device, and a training that is killed
 * at twenty random moments. The data lie beside the repository (`../shared/golden`); where they do not, this says so.
 *
 * The last line is "N passed, N failed"; what is missing counts as failed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { openFolder } from "../conformance/disk.js";
import { count, textReport } from "../conformance/report.js";
import { type RunResult, runFolder } from "../conformance/supervise.js";
import { type Task, tasksOf } from "../conformance/tasks.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const golden = resolve(root, "..", "shared", "golden");

interface Part {
  readonly name: string;
  readonly folder: string;
  readonly select: (task: Task) => boolean;
  readonly deviceOptions?: Readonly<Record<string, unknown>>;
}

/** Kinds of cases that take their time. */
const networks = new Set(["model", "trajectory"]);
const unfusedKinds = new Set(["GlobalLocalFilter", "hornet_block", "GLMixBlock", "MHSA_NCHW_Block", "GNConvModule_detection"]);

const unfused = { fuse: false };
const parts: readonly Part[] = [
  { name: "operations", folder: "ops", select: () => true },
  { name: "operations, unfused", folder: "ops", select: (task) => task.family !== "errors", deviceOptions: unfused },
  { name: "modules", folder: "models", select: (task) => !networks.has(task.op) },
  {
    name: "modules, unfused",
    folder: "models",
    select: (task) => unfusedKinds.has(task.op),
    deviceOptions: unfused,
  },
  { name: "networks and trainings", folder: "models", select: (task) => networks.has(task.op) },
  { name: "files", folder: "files", select: () => true },
];

async function main(json: string | undefined): Promise<number> {
  if (!existsSync(golden)) {
    console.log(`there is no reference data in ${golden}: nothing is compared`);
    return finish([killed()], json);
  }
  const rows: Row[] = [];
  for (const part of parts) {
    const start = performance.now();
    const run = await runFolder({
      folder: join(golden, part.folder),
      device: "cpu",
      deviceOptions: part.deviceOptions,
      select: part.select,
    });
    const seconds = (performance.now() - start) / 1000;
    console.log(`\n== ${part.name} (${seconds.toFixed(1)} s)\n${textReport(run, part.folder === "ops" ? "family" : "op")}`);
    rows.push(rowOf(part, run, seconds));
  }
  for (const folder of ["ops", "models", "files"]) {
    const out = tasksOf(openFolder(join(golden, folder))).filter(
      (task) => !parts.some((part) => part.folder === folder && part.select(task)),
    );
    if (out.length > 0)
      console.log(`\nleft out, not here yet: ${out.length} cases of ${[...new Set(out.map((task) => task.op))].join(", ")}`);
  }
  return finish([...rows, killed()], json);
}

interface Row {
  readonly name: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
}

function rowOf({ name }: Part, { results }: RunResult, seconds: number): Row {
  const { passed, failed, missing, refused } = count(results);
  return { name, seconds, passed: passed + refused, failed: failed + missing };
}

/** Each kill is followed by a run to the end, which must leave the bytes of a run that nobody killed. */
function killed(): Row {
  const start = performance.now();
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const { status } = spawnSync(process.execPath, [vitest, "run", "test/cli/interrupt.test.ts", "-t", "SIGKILL"], {
    cwd: root,
    env: { ...process.env, KILLS: "20" },
    stdio: "inherit",
  });
  const passed = status === 0 ? 1 : 0;
  return { name: "twenty kills", seconds: (performance.now() - start) / 1000, passed, failed: 1 - passed };
}

function finish(rows: readonly Row[], json: string | undefined): number {
  const passed = rows.reduce((n, row) => n + row.passed, 0);
  const failed = rows.reduce((n, row) => n + row.failed, 0);
  if (rows.length > 0) console.log();
  for (const row of rows) {
    const counts = `${String(row.passed).padStart(6)} passed ${String(row.failed).padStart(4)} failed`;
    console.log(`${row.name.padEnd(28)}${counts} ${row.seconds.toFixed(1).padStart(8)} s`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ passed, failed, parts: rows }, null, 1)}\n`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

const command = new Command("test:full").option("--json <file>", "also write the counts to a file").allowExcessArguments(false).parse();
process.exitCode = await main(command.opts<{ json?: string }>().json);
