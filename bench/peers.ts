/** `npm run bench`: the workloads on our devices and on the peers, side by side. */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { whole } from "../cli/commands/flags.js";
import { chart } from "./chart.js";
import { Comparison, type Pace, type Row } from "./compare.js";
import { type Entrant, entrant, isGpu, isSoftware, peers } from "./players.js";
import { invalid, machine, type Report, showReport } from "./report.js";
import { measureRoofline } from "./roofline.js";
import { verdicts } from "./targets.js";
import { type Size, type Task, tasksOf } from "./workloads.js";

interface Flags {
  readonly device: readonly string[];
  readonly peer?: readonly string[];
  readonly only?: string;
  readonly size?: Size;
  readonly threads: number;
  readonly python?: string;
  readonly quick?: boolean;
  readonly seconds?: number;
  readonly limit?: number;
  readonly within?: number;
  readonly out: string;
  readonly list?: boolean;
}

/** Seconds within which `--quick` ends, with some to spare for what is under way. */
const quickSeconds = 95;

/** What `--quick` measures unless `--only` says otherwise. */
const quickRows: ReadonlySet<string> = new Set([
  ...["matmul_512", "conv3x3_1x64x56x56_64", "dw7_1x64x56x56"].flatMap((name) => [`${name} fwd`, `${name} fwd+bwd`]),
  ...["conv1x1_1x64x56x56_128", "norm_channels_1x64x56x56", "gelu_1x256x56x56", "attention_1x8x196x32"].map((name) => `${name} fwd+bwd`),
  ...["fourier_1x192x14x14 fwd+bwd", "softmax_64x3136 fwd", "chain_1x256x56x56 fwd", "adamw_500k step", "gnconv_1x64x28x28 fwd+bwd"],
  "hornet_micro_64x1x32x32 step",
]);

const help = `
Devices: cpu, wasm, webgpu, webgpu:software. Peers: ${Object.keys(peers).join(", ")}; by default those of the devices' kind but tfjs-cpu.
Numbers of all contestants are compared; a row in which they differ is INVALID, and the status is then 1.

Examples:
  npm run bench -- --quick
  npm run bench -- --only matmul,dw7 --device wasm cpu
  npm run bench -- --device webgpu:software
  npm run bench -- roofline                        what WebAssembly can do on this machine
  npm run bench -- steps                           a training step: its kernels, and the host's own work
  npm run bench -- micro cpu wasm --profile        a training step on several devices
  npm run bench -- kernels gelu                    single kernels of the cpu backend
`;

function oneOf<T extends string>(...allowed: readonly T[]): (text: string) => T {
  return (text) => {
    if (!allowed.includes(text as T)) throw new InvalidArgumentError(`expected ${allowed.join(" or ")}.`);
    return text as T;
  };
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected seconds, more than 0.");
  return value;
}

export function peersCommand(): Command {
  return new Command("peers")
    .description("our devices and other libraries, side by side (the default)")
    .option("--device <names...>", "our devices", ["wasm"])
    .option("--peer <names...>", "other libraries; none: --peer none")
    .option("--only <parts>", "rows whose name has one of these, separated by commas")
    .option("--size <size>", "full or small (default: small with --quick and on software GPUs)", oneOf("full", "small"))
    .option("--threads <n>", "threads of everyone who can use them", whole(1), Math.min(4, availableParallelism()))
    .option("--python <path>", "a Python with PyTorch (default: python3, else /usr/bin/python3)")
    .option("--quick", "less precise, within two minutes", false)
    .option("--seconds <s>", "of measuring, a row and contestant", seconds)
    .option("--limit <s>", "after which a contestant is cut off", seconds)
    .option("--within <s>", "begin no row later than this; what is left out is named", seconds)
    .option("--out <folder>", "where bench.json and bench.svg go", "runs/bench")
    .option("--list", "show the rows, and measure nothing", false)
    .addHelpText("after", help)
    .action(async (flags: Flags) => {
      process.exitCode = await peersMain(flags);
    });
}

/** The first Python that has PyTorch, or null. */
function pythonWithTorch(given: string | undefined): string | null {
  const candidates = given === undefined ? ["python3", "/usr/bin/python3"] : [given];
  return candidates.find((path) => spawnSync(path, ["-c", "import torch, numpy"], { stdio: "ignore" }).status === 0) ?? null;
}

function chosenTasks({ only, size, quick, device }: Flags): Task[] {
  const small = size === "small" || (size === undefined && (quick || device.some(isSoftware)));
  const parts = only?.split(",").map((part) => part.trim());
  return tasksOf(small ? "small" : "full").filter(({ workload, direction }) => {
    const row = `${workload} ${direction}`;
    if (parts !== undefined) return parts.some((part) => row.includes(part));
    return !quick || !small || quickRows.has(row);
  });
}

/** Peers as asked for, or those that run on the same kind of device. Throws for unknown names. */
function entrantsOf(flags: Flags): { readonly entrants: Entrant[]; readonly absent: Record<string, string> } {
  const { device: devices, threads } = flags;
  const wanted = flags.peer ?? Object.keys(peers).filter((id) => defaultPeer(id, devices));
  for (const id of wanted)
    if (!(id in peers) && id !== "none")
      throw new InvalidArgumentError(`no peer is named ${id}; there are ${Object.keys(peers).join(", ")}.`);
  const python = wanted.includes("torch") ? pythonWithTorch(flags.python) : null;
  const context = { threads, software: devices.some(isSoftware), python };
  const absent: Record<string, string> = {};
  const entrants: Entrant[] = [];
  for (const id of [...devices, ...wanted.filter((each) => each !== "none")]) {
    const found = entrant(id, context);
    if (found === null)
      absent[id] =
        flags.python === undefined
          ? "no python3 here has torch and numpy; name one with --python"
          : `${flags.python} has no torch or no numpy`;
    else entrants.push(found);
  }
  return { entrants, absent };
}

function defaultPeer(id: string, devices: readonly string[]): boolean {
  if (id === "tfjs-cpu") return devices.every((device) => device === "cpu");
  return devices.some((device) => isGpu(device) === (peers[id] === "gpu"));
}

/** Measures, prints and writes. The status: 0, or 1 where a row is invalid. */
async function peersMain(flags: Flags): Promise<number> {
  const tasks = chosenTasks(flags);
  if (tasks.length === 0) throw new InvalidArgumentError(`no row has ${flags.only}; --list shows them.`);
  if (flags.list) {
    console.log(tasks.map(({ workload, direction }) => `${workload} ${direction}`).join("\n"));
    return 0;
  }
  const quick = flags.quick === true;
  const within = flags.within ?? (quick ? quickSeconds : Number.POSITIVE_INFINITY);
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const { entrants, absent } = entrantsOf(flags);
  const pace: Pace = { seconds: flags.seconds ?? (quick ? 0.2 : 1.5), rounds: quick ? 2 : 3, limit: flags.limit ?? (quick ? 8 : 120) };
  const progress = progressLine();
  const comparison = new Comparison(entrants, pace, (text) => progress(`${text}  ${elapsed().toFixed(0)} s`));
  const rows: Row[] = [];
  const leftOut: string[] = [];
  try {
    progress("measuring what the machine can do");
    const roofline = await measureRoofline(flags.threads);
    await comparison.open();
    for (const task of tasks) {
      if (elapsed() > within) leftOut.push(`${task.workload} ${task.direction}`);
      else rows.push(await comparison.row(task));
    }
    progress("");
    const report: Report = {
      machine: machine(),
      size: tasks.every((task) => tasksOf("small").some((small) => small.workload === task.workload)) ? "small" : "full",
      threads: flags.threads,
      contestants: Object.fromEntries(comparison.descriptions),
      ours: flags.device,
      absent: { ...absent, ...Object.fromEntries(comparison.absent) },
      roofline,
      rows,
      verdicts: rows.flatMap((row) => flags.device.flatMap((device) => verdicts(row, device, roofline))),
      leftOut,
    };
    console.log(showReport(report));
    await mkdir(flags.out, { recursive: true });
    await writeFile(join(flags.out, "bench.json"), `${JSON.stringify(report, null, 1)}\n`);
    await writeFile(join(flags.out, "bench.svg"), chart(report));
    console.log(`\n${rows.length} rows in ${elapsed().toFixed(0)} s; ${join(flags.out, "bench.json")}, ${join(flags.out, "bench.svg")}`);
    const wrong = invalid(rows).length;
    if (wrong > 0) console.error(`bench: ${wrong} of ${rows.length} rows are INVALID: someone computes other numbers`);
    return wrong > 0 ? 1 : 0;
  } finally {
    comparison.close();
  }
}

/** One line that is written over on a terminal, and nothing elsewhere. */
function progressLine(): (text: string) => void {
  if (!process.stderr.isTTY) return () => {};
  return (text) => process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}
