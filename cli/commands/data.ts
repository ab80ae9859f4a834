/** `crabro data`: fetches public data sets, and shows what training makes of pictures. */
import { Command, Option } from "commander";
import { OpError } from "../../engine/errors.js";
import { modelInfo } from "../../models/registry.js";
import { writeAtomically } from "../../train/checkpoint.js";
import { makeBatch } from "../../train/data/batch.js";
import { fetchSet, publicSets } from "../../train/data/fetch.js";
import { epochOrder } from "../../train/data/order.js";
import { encodePng } from "../../train/report/gallery.js";
import { contactSheet, denormalised } from "../../train/report/sheet.js";
import { addFields, checkedValues, fallbacks, number, typedValues, wholeFrom } from "../options/field.js";
import { recipeOf } from "../options/recipes.js";
import { augmentFields, dataFields, modelFields } from "../options/train-options.js";
import { evaluationTransform, mixingOf, openDataset, trainingTransform } from "../training/datasets.js";
import { digitsScenesCommand } from "./digits-scenes.js";

const { workers: _workers, valLimit: _limit, trainLimit: _train, ...shared } = dataFields;
const showFields = {
  model: modelFields.model,
  ...shared,
  ...augmentFields,
  seed: number("<n>", "of order and augmentation", 42, wholeFrom(0)),
};

const examples = `
Examples:
  crabro data --fetch cifar10 --to cifar
  crabro data --show 32 --dataset cifar10 --data-dir cifar --aa rand-m9-mstd0.5-inc1 --reprob 0.25
  crabro data digits-scenes --to scenes
  crabro data photos --show 64 --recipe hornet_tiny_7x7 --output sheet.png
`;

interface Flags {
  readonly fetch?: string;
  readonly to?: string;
  readonly show?: number;
  readonly output: string;
  readonly recipe?: string;
}

export function dataCommand(): Command {
  const command = new Command("data")
    .description("fetch public data sets, compose scenes, or show pictures as training sees them")
    // So that what follows a subcommand's name is its own.
    .enablePositionalOptions()
    .addCommand(digitsScenesCommand())
    .argument("[folder]", "data; one of pictures unless --dataset says otherwise")
    .addOption(new Option("--fetch <set>", "download a data set").choices(Object.keys(publicSets)))
    .option("--to <folder>", "where fetched files go (default: data/<set>)")
    .option("--show <n>", "write a contact sheet of n augmented pictures; of one, the picture itself", wholeNumber)
    .option("--output <file>", "the sheet, a PNG", "sheet.png")
    .option("--recipe <network>", "augment as a published recipe does");
  return addFields(command.optionsGroup("Pictures:"), showFields)
    .addHelpText("after", examples)
    .action(async (folder: string | undefined, flags: Flags, self: Command) => {
      if (flags.fetch === undefined && flags.show === undefined) throw new OpError("data", "nothing to do; pass --fetch SET or --show N");
      if (flags.fetch !== undefined) await fetchInto(flags.fetch, flags.to ?? `data/${flags.fetch}`);
      if (flags.show !== undefined) await show(folder, flags.show, flags, self);
    });
}

const wholeNumber = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new OpError("data", `--show is a whole number from 1 up; got ${text}`);
  return value;
};

async function fetchInto(name: string, folder: string): Promise<void> {
  const bar = process.stdout.isTTY === true;
  await fetchSet(publicSets[name], folder, {
    onProgress: (file, done, total) => {
      if (bar)
        process.stdout.write(`\r\u001b[2K${file}  ${(done / 1e6).toFixed(1)}${total === null ? "" : ` of ${(total / 1e6).toFixed(1)}`} MB`);
    },
  });
  process.stdout.write(
    `${bar ? "\r\u001b[2K" : ""}${publicSets[name].title} is in ${folder}; pass --dataset ${name} --data-dir ${folder}\n`,
  );
}

async function show(folder: string | undefined, count: number, { output, recipe }: Flags, command: Command): Promise<void> {
  const typed = typedValues(command, showFields);
  if (folder !== undefined) {
    typed.dataDir = folder;
    typed.dataset ??= "folder";
  }
  const fromRecipe = recipe === undefined ? {} : { model: recipe, ...recipeOf(recipe) };
  const options = checkedValues({ ...fallbacks(showFields), ...fromRecipe, ...typed }, showFields);
  const size = options.inputSize ?? modelInfo(options.model).inputSize;
  const dataset = openDataset("train", { dataset: options.dataset, dataDir: options.dataDir, size });
  const transform = trainingTransform(evaluationTransform(dataset, size, options), options.dataset, options);
  const indices = epochOrder(dataset.length, 0, { shuffle: true, seed: options.seed, repeats: Math.max(1, options.augRepeats) }).slice(
    0,
    count,
  );
  const mixing = mixingOf(options);
  const { images, labels } = await makeBatch(
    dataset,
    {
      source: dataset.source,
      transform,
      mixing,
      targets: mixing === null ? null : { classes: dataset.numClasses, smoothing: options.smoothing },
      seed: options.seed,
      broken: options.skipBroken ? "replace" : "refuse",
    },
    { epoch: 0, batch: 0, first: 0, indices },
  );
  const pixels = images.length / labels.length;
  const pictures = Array.from(labels, (_, i) => denormalised(images.subarray(i * pixels, (i + 1) * pixels), transform));
  const sheet = pictures.length === 1 ? pictures[0] : contactSheet(pictures, Math.ceil(Math.sqrt(pictures.length)));
  writeAtomically(output, encodePng(sheet));
  process.stdout.write(`${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"} of ${dataset.name} in ${output}\n`);
}
