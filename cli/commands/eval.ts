/** `crabro eval`: measures a checkpoint on test images. */
import { Command } from "commander";
import { readModel } from "../../train/checkpoint.js";
import { DataLoader } from "../../train/data/loader.js";
import { type EvalResult, evaluation } from "../../train/evaluate.js";
import {
  addFields,
  checkedValues,
  choice,
  fallbacks,
  number,
  onSwitch,
  openText,
  text,
  typedValues,
  type ValuesOf,
  wholeFrom,
} from "../options/field.js";
import { sceneFields } from "../options/scene-options.js";
import { dataFields, datasetNames } from "../options/train-options.js";
import { evaluationTransform, openDataset, workersFor } from "../training/datasets.js";
import { detection } from "../training/detect.js";
import { segmentation } from "../training/segment.js";
import { checkClasses, localCheckpoint, openCheckpoint } from "./checkpoint.js";
import { evaluateScenes } from "./eval-scenes.js";
import { Reporter } from "./report.js";

const { trainLimit: _, ...shared } = dataFields;
const evalFields = {
  model: openText("<name>", "network (default: the one named in the file)"),
  ...shared,
  split: choice("half to measure", ["test", "train"], "test"),
  dataset: choice("data set; a folder named after the command is one of pictures", datasetNames, "mnist"),
  reduceZeroLabel: sceneFields.reduceZeroLabel,
  batchSize: number("<n>", "images a batch", 64, wholeFrom(1), { short: "-b" }),
  device: text("<name>", "where to compute", "auto"),
  logInterval: number("<n>", "batches between two lines of the log", 50, wholeFrom(1)),
  json: onSwitch("one JSON object with all that was measured, in place of the log"),
};
type EvalOptions = ValuesOf<typeof evalFields> & { readonly checkpoint: string };

const examples = `
Examples:
  crabro eval --checkpoint runs/…/model_best.safetensors
  crabro eval photos --checkpoint runs/…/last.safetensors      photos/val/<class>/…
  crabro eval --checkpoint runs/…/model_best.safetensors --split train --val-limit 10000
  crabro eval scenes --checkpoint runs/…/model_best.safetensors      after train --task segment: IoU and accuracy of each class
  crabro eval scenes --checkpoint runs/…/model_best.safetensors --json      after train --task detect: COCO's lines, for boxes and masks
  crabro eval --checkpoint weights.pth --model hornet_tiny_7x7 imagenet    a file that does not name its network

Size, channels, classes and normalisation are those in the file unless flags say otherwise.
`;

export function evalCommand(): Command {
  const command = new Command("eval")
    .description("measure a checkpoint on test images")
    .argument("[folder]", "data; one of pictures unless --dataset says otherwise")
    .requiredOption("--checkpoint <file>", "file or URL of weights: .safetensors of a run, or weights of PyTorch");
  return addFields(command, evalFields)
    .addHelpText("after", examples)
    .action(async (folder: string | undefined, source: { readonly checkpoint: string }, self: Command) => {
      const typed = typedValues(self, evalFields);
      if (folder !== undefined) {
        typed.dataDir = folder;
        typed.dataset ??= "folder";
      }
      const options = checkedValues({ ...fallbacks(evalFields), ...typed }, evalFields);
      const report = new Reporter(options.json ? { write: () => true } : process.stdout, options.logInterval);
      const checkpoint = await localCheckpoint(source.checkpoint);
      const { card, tensors } = readModel(checkpoint);
      const given = { ...options, checkpoint };
      const measured = async () => {
        if (card?.task === "segment") return evaluateScenes(segmentation, given, card, tensors, report);
        if (card?.task === "detect") return evaluateScenes(detection, given, card, tensors, report);
        return evaluate(given, report);
      };
      const result = await measured();
      // What is no number, as of classes that are nowhere, becomes null.
      if (options.json) process.stdout.write(`${JSON.stringify({ task: card?.task ?? "classify", checkpoint, ...result })}\n`);
    });
}

/** Evaluates a checkpoint from options. */
async function evaluate(options: EvalOptions, report: Reporter): Promise<EvalResult> {
  const file = openCheckpoint("eval", options);
  const { name, shape, size, card } = file;
  const dataset = openDataset(
    options.split,
    { dataset: options.dataset, dataDir: options.dataDir, size, limit: options.valLimit },
    card?.classNames,
  );
  checkClasses(dataset, name, shape.numClasses);
  const { mean, std } = options;
  const shown = card?.transform ?? evaluationTransform(dataset, size, { ...options, inChans: shape.inChans });
  const transform = { ...shown, size, mean: mean ?? shown.mean, std: std ?? shown.std };
  const { device, model } = await file.load(options.device);
  const loader = new DataLoader(dataset, {
    batchSize: options.batchSize,
    transform,
    broken: options.skipBroken ? "drop" : "refuse",
    workers: workersFor(dataset, transform, options.workers),
  });
  try {
    report.line(`${name}: ${model.numParameters} parameters, on ${device.describe()}`);
    const result = await evaluation(model)(loader, { onBatch: (progress) => report.evaluate(progress) });
    for (const why of loader.broken) report.line(`left out: ${why}`);
    report.result(result);
    return result;
  } finally {
    await loader.close();
    await device.close();
  }
}
