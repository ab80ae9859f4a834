/**
 * `npm run gpu`: everything that is to be known of this program on a GPU, in one go. It bundles itself into `dist/gpu.js` first, and that file
 * with Dawn (the package `webgpu`) and a Vulkan driver is all that a machine needs: `node dist/gpu.js`.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { environmentFor, runAgain } from "../../cli/software.js";
import { type Device, device } from "../../index.js";
import { checkCases, checkSuite } from "./checks.js";
import { measureKernel, measureMemory, measureStep } from "./kernels.js";
import { type Checks, type Report, type Row, show, type TorchFigures } from "./report.js";
import { adapterRoofline } from "./roofline.js";
import { kernelWorkloads, type Size, stepWorkloads } from "./workloads.js";

const parts = ["checks", "roofline", "kernels", "steps", "memory", "torch"] as const;
type Part = (typeof parts)[number];

interface Flags {
  readonly quick: boolean;
  readonly software: boolean;
  readonly tune: boolean;
  readonly only: readonly Part[];
  readonly json?: string;
  readonly cases: string;
  readonly python: string;
}

/** Files of the repository, seen from `dist/gpu.js`. */
const beside = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

const command = new Command("gpu")
  .description(
    "Checks and measures the webgpu backend on this machine's GPU, against its roofline and against PyTorch where it is installed.",
  )
  .option("--quick", "smaller sizes and fewer rounds", false)
  .option("--software", "on the software adapter, with tiny sizes: tries this command, measures nothing of worth", false)
  .option("--tune", "measure schedules of each kernel first and take the fastest; they are remembered", false)
  .addOption(new Option("--only <parts...>", "leave the other parts out").choices(parts).default(parts, "all"))
  .option("--json <file>", "also write the figures")
  .option("--cases <folder>", "folder with the reference cases", beside("test/fixtures"))
  .option("--python <command>", "Python in which PyTorch may be", "python3")
  .addHelpText("after", "\nExit status: 0 nothing failed, 1 a check failed, 2 there is no GPU, and nothing was measured.")
  .parse();

async function main(flags: Flags): Promise<number> {
  const env = flags.software ? environmentFor("webgpu:software") : null;
  if (env !== null) return runAgain(env);
  const start = performance.now();
  const size: Size = flags.software ? "software" : flags.quick ? "quick" : "full";
  const open = (): Promise<Device> => device("webgpu", { software: flags.software, tune: flags.tune });
  const kernels = kernelWorkloads(size);
  const steps = stepWorkloads(size);
  const blank = [...kernels.map(({ name }) => ["kernels", name] as const), ...steps.map(({ name }) => ["steps", name] as const)];
  let report: Report = {
    device: "",
    size,
    node: process.version,
    checks: null,
    roofline: null,
    rows: blank.map(([part, name]): Row => ({ part, name, milliseconds: null, flopsPerSecond: null, bytesPerSecond: null, share: null })),
    memory: null,
    torch: "not asked for",
    seconds: 0,
  };
  const finish = (status: number): number => {
    report = { ...report, seconds: (performance.now() - start) / 1e3 };
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, null, 1)}\n`);
    console.log(show(report));
    return status;
  };
  let on: Device;
  try {
    on = await open();
  } catch (error) {
    report = { ...report, device: `none: ${(error as Error).message}`, torch: "there is no GPU" };
    return finish(2);
  }
  report = { ...report, device: on.describe() };
  const isWanted = (part: Part): boolean => flags.only.includes(part);
  const progress = (text: string): void => void (process.stderr.isTTY && process.stderr.write(`\r\x1b[2K${text}`));
  const set = (row: Row): void => {
    progress(row.name);
    report = { ...report, rows: report.rows.map((old) => (old.name === row.name ? row : old)) };
  };

  if (isWanted("checks")) {
    const few = size !== "full";
    const found = [await checkSuite(open, progress)];
    for (const name of ["ops", "models"]) {
      const checks = await checkCases(on, flags.cases, name, few, progress);
      if (checks !== null) found.push(checks);
    }
    report = { ...report, checks: found };
  }
  if (isWanted("roofline") || isWanted("kernels")) report = { ...report, roofline: await adapterRoofline(size, flags.software) };
  const rounds = { full: 20, quick: 7, software: 1 }[size];
  if (isWanted("kernels") && report.roofline !== null)
    for (const work of kernels) set(await measureKernel(on, work, report.roofline, rounds));
  if (isWanted("steps")) for (const work of steps) set(await measureStep(on, work, rounds));
  if (isWanted("memory"))
    report = { ...report, memory: await measureMemory(on, { full: 1000, quick: 100, software: 12 }[size], size === "software" ? 2 : 64) };
  await on.close();
  if (isWanted("torch")) report = { ...report, torch: inTorch(flags.python, { kernels, steps, rounds }) };
  progress("");
  return finish((report.checks ?? []).some(({ failed }: Checks) => failed.length > 0) ? 1 : 0);
}

/** The same workloads in PyTorch, or why not. */
function inTorch(python: string, task: object): TorchFigures | string {
  const has = spawnSync(python, ["-c", "import torch"], { encoding: "utf8" });
  if (has.error !== undefined || has.status !== 0) return `${python} has no PyTorch`;
  const run = spawnSync(python, [beside("bench/gpu/torch_peer.py")], { input: JSON.stringify(task), encoding: "utf8", maxBuffer: 1 << 26 });
  if (run.status !== 0) return run.stderr.trim().split("\n").at(-1) ?? "PyTorch failed";
  return JSON.parse(run.stdout) as TorchFigures;
}

process.exitCode = await main(command.opts<Flags>());
