/** What a network costs: parameters and multiply-adds, counted; milliseconds of a step, measured. */
import { readTrainingFlags } from "../../cli/commands/train.js";
import { detection } from "../../cli/training/detect.js";
import { segmentation } from "../../cli/training/segment.js";
import { planTask } from "../../cli/training/tasks.js";
import { device, manualSeed, setDefaultDevice } from "../../index.js";
import { summary } from "../../models/index.js";
import type { Task } from "../../train/index.js";
import { flagsOf, titleOf, type Variant } from "./variants.js";

export interface Cost {
  readonly parameters: number;
  /** Of one picture, in use. Of detection: backbone, pyramid and proposal network; what follows is the same for all pyramids. */
  readonly multiplyAdds: number;
}

const side = 128;

/** Builds the network without values, and counts. */
export function costOf(variant: Variant): Cost {
  const { options } = readTrainingFlags(flagsOf(variant));
  const kind = variant.task === "detect" ? detection : segmentation;
  const design = kind.designOf(options, side, variant.task === "detect" ? 10 : 11);
  const model = kind.build(design as Readonly<Record<string, unknown>>, { meta: true });
  const { macs } = summary(model, [1, 3, side, side]);
  return { parameters: model.numParameters, multiplyAdds: macs };
}

/**
 * Milliseconds of `steps` training steps of each variant. The variants take turns, one step each, so that whatever slows the machine slows
 * all alike; each has taken three steps before.
 */
export async function timeSteps(
  list: readonly Variant[],
  {
    data,
    steps,
    threads,
    onTurn,
  }: { readonly data: string; readonly steps: number; readonly threads?: number; readonly onTurn: () => void },
): Promise<ReadonlyMap<string, number[]>> {
  const opened = await device("wasm", threads === undefined ? {} : { threads });
  setDefaultDevice(opened);
  manualSeed(0);
  const runners: { readonly name: string; readonly task: Task<unknown>; readonly step: () => Promise<number> }[] = [];
  try {
    for (const variant of list) {
      const { options } = readTrainingFlags([data, ...flagsOf(variant), "--train-limit", "64", "--val-limit", "1"]);
      const task = await planTask(options).build(() => undefined);
      task.optimizer.setLr(1e-4);
      let batches = task.loader.epoch(0);
      const step = async (): Promise<number> => {
        const start = performance.now();
        let next = await batches.next();
        if (next.done) {
          batches = task.loader.epoch(0);
          next = await batches.next();
        }
        await task.step([next.value as unknown]);
        return performance.now() - start;
      };
      for (let i = 0; i < 3; i++) await step();
      runners.push({ name: titleOf(variant), task, step });
      onTurn();
    }
    const found = new Map<string, number[]>(runners.map(({ name }) => [name, []]));
    for (let i = 0; i < steps; i++) {
      for (const { name, step } of runners) found.get(name)?.push(Math.round(10 * (await step())) / 10);
      onTurn();
    }
    return found;
  } finally {
    for (const { task } of runners) await task.close();
    await opened.close();
  }
}
