/** `crabro train`: its flags, and where their values come from. The run itself is in ../training. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { OpError } from "../../engine/errors.js";
import { holdsRun } from "../../train/run/folder.js";
import { checkConfig, readConfig } from "../options/config.js";
import { addFields, checkedValues, fallbacks, typedValues } from "../options/field.js";
import { recipeOf } from "../options/recipes.js";
import { taskDefaults } from "../options/scene-options.js";
import { sceneRecipeOf } from "../options/scene-recipes.js";
import { type TrainOptions, trainFields, trainGroups } from "../options/train-options.js";
import { run } from "../training/run.js";
import { Reporter } from "./report.js";

const examples = `
Examples:
  crabro train                                        one pass over the 60,000 digits of MNIST
  crabro train --train-limit 10000 --epochs 2         two over some of them
  crabro train photos --model hornet_micro_7x7        photos/train/<class>/…, photos/val/<class>/…
  crabro train --dataset cifar10 --data-dir cifar     after crabro data --fetch cifar10 --to cifar
  crabro train imagenet --model hornet_tiny_7x7 --recipe paper -b 32 --grad-accum-steps 128
  crabro train scenes --task segment --backbone-checkpoint runs/…/model_best.safetensors      after crabro data digits-scenes --to scenes
  crabro train scenes --task detect --neck horfpn_7x7 --backbone-checkpoint runs/…/model_best.safetensors
  crabro train ade --task segment --model hornet_small_7x7 --head horfpn_7x7 --recipe paper --grad-accum-steps 8 -b 2
  crabro train --config run.yaml --lr 2e-3            flags come on top of the file
  crabro train --resume runs/2025-01-01-120000-hornet_micro_7x7

With --task segment: batches of 8 scenes, 12 epochs, --sched poly, --lr 2e-3 unless flags say otherwise. With --task detect: the same,
but --sched multistep with its steps after epochs 9 and 11.
What a flag does not say is taken from --config, then --recipe, then the defaults.
A run folder holds args.json, last.safetensors (to go on), model_best.safetensors (weights), checkpoint-*.safetensors,
summary.csv, log.txt, TensorBoard events and report.html.
`;

interface Sources {
  readonly config?: string;
  readonly recipe?: string;
  readonly output?: string;
  readonly resume?: string;
}

/** The flags of a training. */
function trainFlags(): Command {
  const command = new Command("train")
    .description("train a network on labelled images")
    .argument("[folder]", "data; one of pictures unless --dataset says otherwise");
  command
    .optionsGroup("Where from and where to:")
    .option("-c, --config <file>", "JSON or YAML with any of the options below, as in a run's args.json")
    .option("--recipe <network>", "begin with a published recipe; paper: that of --model")
    .option("--output <folder>", "the run's folder; a run in it goes on (default: runs/<time>-<model>)")
    .option("--resume <folder>", "go on with the run in this folder, with its flags; those given here come on top");
  for (const [title, fields] of trainGroups) addFields(command.optionsGroup(title), fields);
  return command;
}

export function trainCommand(): Command {
  return trainFlags()
    .addHelpText("after", examples)
    .action(async (folder: string | undefined, _, self: Command) => {
      const { options, path } = trainOptions(folder, self);
      await run(options, path, new Reporter(process.stdout, options.logInterval));
    });
}

/** What `crabro train` would do with these arguments. */
export function readTrainingFlags(argv: readonly string[]): ReturnType<typeof trainOptions> {
  const command = trainFlags().parse(argv, { from: "user" });
  return trainOptions(command.args[0], command);
}

/** The options of a run, and its folder. */
function trainOptions(folder: string | undefined, command: Command): { readonly options: TrainOptions; readonly path: string } {
  const { config, recipe, output, resume } = command.opts<Sources>();
  const typed = typedValues(command, trainFields);
  if (folder !== undefined) {
    typed.dataDir = folder;
    typed.dataset ??= "folder";
  }
  const earlier = resume ?? (output !== undefined && holdsRun(output) ? output : undefined);
  if (earlier !== undefined) {
    const path = runFolderOf(earlier);
    const saved = savedArgs(path);
    return { options: checkedValues({ ...fallbacks(trainFields), ...saved, ...typed }, trainFields), path };
  }
  const fromFile = config === undefined ? {} : readConfig(config, trainFields);
  const task = (typed.task ?? fromFile.task ?? "classify") as TrainOptions["task"];
  const base = { ...fallbacks(trainFields), ...taskDefaults[task] };
  const model = (typed.model ?? fromFile.model ?? base.model) as string;
  const head = (typed.head ?? fromFile.head) as string | undefined;
  const fromRecipe = recipe === undefined ? {} : recipeFor(task, recipe === "paper" ? model : recipe, head);
  const options = checkedValues({ ...base, ...fromRecipe, ...fromFile, ...typed }, trainFields);
  return { options, path: output ?? join("runs", runName(options.model)) };
}

const recipeFor = (task: TrainOptions["task"], name: string, head: string | undefined): Partial<TrainOptions> =>
  task === "classify" ? recipeOf(name) : sceneRecipeOf(task, name, head);

const runName = (model: string): string => `${new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-")}-${model}`;

/** A run may be named by its folder or by its `last.safetensors`. */
const runFolderOf = (path: string): string => (path.endsWith("last.safetensors") && existsSync(path) ? join(path, "..") : path);

/** The flags of the run in a folder. */
function savedArgs(folder: string): Record<string, unknown> {
  const path = join(folder, "args.json");
  let saved: Record<string, unknown>;
  try {
    saved = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new OpError("train", `${folder} holds no run to resume: cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  return checkConfig(saved, trainFields, path);
}
