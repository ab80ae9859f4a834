/**
 * The process in which cases run, one after the other. It is one of its own so that a case that hangs or kills it is one failure, not
 * the end of the run: the parent (`supervise.ts`) notices, and starts another at the next case.
 */
import * as crabro from "../index.js";
import { openFolder } from "./disk.js";
import { type Outcome, oneLine } from "./outcome.js";
import { tasksOf } from "./tasks.js";

/** What the parent asks for. */
export interface Job {
  readonly folder: string;
  readonly device: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Positions in the list of tasks. */
  readonly tasks: readonly number[];
}

export type Report =
  | { readonly type: "device"; readonly description: string }
  | { readonly type: "unavailable"; readonly message: string }
  | { readonly type: "start"; readonly task: number }
  /** `error` is text, as JSON has no infinity. */
  | { readonly type: "done"; readonly task: number; readonly outcome: Omit<Outcome, "error"> & { readonly error: string } };

function send(report: Report): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(report, () => resolve());
  });
}

async function run({ folder, device: name, options, tasks: wanted }: Job): Promise<void> {
  let device: crabro.Device;
  try {
    device = await crabro.device(name, options);
  } catch (error) {
    await send({ type: "unavailable", message: oneLine(error) });
    return;
  }
  crabro.setDefaultDevice(device);
  await send({ type: "device", description: device.describe() });
  const tasks = tasksOf(openFolder(folder));
  for (const at of wanted) {
    await send({ type: "start", task: at });
    const { status, message, error } = await tasks[at].run(crabro, device);
    await send({ type: "done", task: at, outcome: { status, message, error: String(error) } });
  }
  await device.close();
}

process.once("message", (job: Job) => {
  run(job).then(
    () => process.disconnect(),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
