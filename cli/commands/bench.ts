/** `crabro bench`: the same work on several devices, side by side. */
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { OpError } from "../../engine/errors.js";
import { deviceList, whole } from "./flags.js";

interface BenchFlags {
  readonly devices: readonly string[];
  readonly reference: string;
  readonly only?: string;
  readonly size: string;
  readonly threads: number;
  readonly seconds: number;
  readonly limit: number;
  readonly out: string;
  readonly list: boolean;
}

const examples = `
Examples:
  crabro bench --devices cpu,wasm,gpujs:webasm
  crabro bench --devices wasm,gpujs:cpu,gpujs:webasm --only gnconv,matmul_256
  crabro bench --list
`;

/** What is measured unless `--only` says otherwise: one of each kind of work. */
const usual = "matmul_256,conv3x3,dw7_1x64x56x56,norm_channels,gelu,softmax,gnconv,hornet_micro_64x1x32x32 step";

/** Seconds, more than 0. */
function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected seconds, more than 0.");
  return value;
}

/** `setStatus` hears of the exit status. */
export function benchCommand(setStatus: (status: number) => void): Command {
  return new Command("bench")
    .description("run the same work on several devices: time, throughput, launches, bytes, and whether the results agree")
    .option("--devices <names>", "which, separated by commas", deviceList, ["cpu", "wasm", "gpujs:webasm"])
    .option("--reference <name>", "device whose results the others' are held against", "cpu")
    .option("--only <parts>", "work whose name has one of these, separated by commas", usual)
    .option("--size <size>", "small, or full: batches of eight", "small")
    .option("--threads <n>", "threads of devices that have any", whole(1), Math.min(4, availableParallelism()))
    .option("--seconds <s>", "of measuring, for each device and work", seconds, 0.5)
    .option("--limit <s>", "after which a device that has not answered is cut off", seconds, 60)
    .option("--out <folder>", "where devices.json and devices.svg go", "runs/bench")
    .option("--list", "show the work that there is, and measure nothing", false)
    .addHelpText("after", `${examples}\nExit status: 0 all ran and agree, 1 they do not.`)
    .action(async (flags: BenchFlags) => setStatus(await run(flags)));
}

async function run({ devices, reference, only, size, threads, seconds: time, limit, out, list }: BenchFlags): Promise<number> {
  if (size !== "small" && size !== "full") throw new OpError("bench", `sizes are small and full; got ${size}`);
  const { tasksOf } = await import("../../bench/workloads.js");
  const named = tasksOf(size).map((task) => ({ task, row: `${task.workload} ${task.direction}` }));
  if (list) {
    process.stdout.write(`${named.map(({ row }) => row).join("\n")}\n`);
    return 0;
  }
  const parts = (only ?? "").split(",").map((part) => part.trim());
  const tasks = named.filter(({ row }) => parts.some((part) => row.includes(part))).map(({ task }) => task);
  if (tasks.length === 0) throw new OpError("bench", `no work has ${only} in its name; --list shows what there is`);
  const { sideBySide } = await import("../../bench/side-by-side.js").catch((cause: unknown) => {
    // A development dependency of this package: whoever only trains need not have it.
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new OpError("bench", "times are taken by the package benchmark, which is not installed; run npm install benchmark");
  });
  const pace = { seconds: time, rounds: 3, limit };
  const agree = await sideBySide({ devices, reference, tasks, threads, pace, out }, progress);
  return agree ? 0 : 1;
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}
