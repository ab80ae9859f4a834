/** Trains the same network from the same seed on several devices, each in a process of its own, and keeps what they tell. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TrainingRequest } from "../../web/messages.js";
import { environmentFor } from "../software.js";
import type { FromRunner, ToRunner } from "./messages.js";

/** How it goes on one device. */
export interface Lane {
  readonly device: string;
  /** What the device says of itself; "" until it is open. */
  description: string;
  /** Loss of each step, and the seconds from the start to its end. */
  readonly losses: number[];
  readonly seconds: number[];
  /** Images a second of each step. */
  readonly rates: number[];
  /** Of the test digits at the end, per cent. */
  accuracy: number | null;
  state: "waits" | "runs" | "done" | "failed";
  /** Why it failed. */
  reason: string;
}

export interface RaceOptions {
  readonly devices: readonly string[];
  readonly request: Omit<TrainingRequest, "device">;
  readonly dataDir?: string;
  /** All at once, in place of one after the other. */
  readonly together: boolean;
}

/** Resolves when all lanes are done or have failed; `changed` hears of every step. Ends the processes when `signal` says so. */
export async function race(
  options: RaceOptions,
  changed: (lanes: readonly Lane[], lane: Lane) => void,
  signal: AbortSignal,
): Promise<Lane[]> {
  const lanes = options.devices.map(
    (device): Lane => ({ device, description: "", losses: [], seconds: [], rates: [], accuracy: null, state: "waits", reason: "" }),
  );
  const run = (lane: Lane): Promise<void> => runLane(lane, options, () => changed(lanes, lane), signal);
  if (options.together) await Promise.all(lanes.map(run));
  else for (const lane of lanes) await run(lane);
  return lanes;
}

async function runLane(lane: Lane, { request, dataDir }: RaceOptions, changed: () => void, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const child = start(lane.device);
  const stop = (): void => void child.kill();
  signal.addEventListener("abort", stop, { once: true });
  lane.state = "runs";
  changed();
  const fail = (reason: string): void => {
    if (lane.state === "runs") Object.assign(lane, { state: "failed", reason });
  };
  await new Promise<void>((resolve) => {
    child.on("message", (message: FromRunner) => {
      note(lane, message, fail);
      changed();
    });
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, ending) => {
      fail(`the process ended (${ending ?? code})`);
      resolve();
    });
    child.send({ request: { ...request, device: lane.device }, ...(dataDir === undefined ? {} : { dataDir }) } satisfies ToRunner);
  });
  signal.removeEventListener("abort", stop);
  changed();
}

/** From sources it takes the loader that this process runs under, or tsx. */
function start(device: string): ChildProcess {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const execArgv = extension === ".js" || process.execArgv.length > 0 ? process.execArgv : ["--import", import.meta.resolve("tsx")];
  const file = fileURLToPath(new URL(`./runner${extension}`, import.meta.url));
  return fork(file, { execArgv, env: environmentFor(device) ?? process.env, stdio: ["ignore", "ignore", "inherit", "ipc"] });
}

function note(lane: Lane, message: FromRunner, fail: (reason: string) => void): void {
  switch (message.kind) {
    case "start":
      lane.description = message.device;
      return;
    case "step":
      lane.losses.push(message.loss);
      lane.seconds.push(message.seconds);
      lane.rates.push(message.imagesPerSecond);
      return;
    case "evaluation":
      lane.accuracy = message.accuracy;
      return;
    case "end":
      lane.state = "done";
      return;
    case "error":
      fail(message.message);
  }
}
