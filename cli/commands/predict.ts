/** `crabro predict`: what a network says of pictures. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { OpError } from "../../engine/errors.js";
import { softmax } from "../../engine/functional/activation.js";
import { fromHost, noGrad } from "../../index.js";
import { Draws } from "../../train/augment/draws.js";
import { applyTransform, evaluationFraming, type Transform } from "../../train/augment/transform.js";
import { readModel } from "../../train/checkpoint.js";
import { decodePicture } from "../../train/data/decode.js";
import { imagenetStatistics, isPictureFile } from "../../train/data/folder.js";
import {
  addFields,
  checkedValues,
  fallbacks,
  number,
  onSwitch,
  openNumber,
  openText,
  share,
  text,
  typedValues,
  wholeFrom,
} from "../options/field.js";
import { localCheckpoint, type OpenedCheckpoint, openCheckpoint } from "./checkpoint.js";
import { detected } from "./predict-objects.js";
import { segmented } from "./predict-scenes.js";

const predictFields = {
  model: openText("<name>", "network (default: the one named in the file)"),
  inputSize: openNumber("<pixels>", "side of the images (default: the one in the file)", wholeFrom(1), { aliases: ["img-size"] }),
  inChans: openNumber("<n>", "channels of the images (default: those in the file)", wholeFrom(1)),
  numClasses: openNumber("<n>", "classes (default: those in the file)", wholeFrom(1)),
  topk: number("<k>", "classes to name", 5, wholeFrom(1)),
  json: onSwitch("one JSON object a picture"),
  output: text("<folder>", "where pictures go on which a network of segmentation or detection has drawn", "predictions"),
  minScore: number("<score>", "least score of objects that are named and drawn", 0.3, share),
  device: text("<name>", "where to compute", "auto"),
};

const examples = `
Examples:
  crabro predict digit.png --checkpoint runs/…/model_best.safetensors
  crabro predict photos --checkpoint runs/…/last.safetensors --topk 3 --json > said.jsonl
  crabro predict scenes/images/val --checkpoint runs/…/model_best.safetensors --output drawn      after train --task segment, or detect
`;

interface Named {
  readonly class: string;
  readonly probability: number;
}

export function predictCommand(): Command {
  const command = new Command("predict")
    .description("say what pictures show, and draw it where it has a place")
    .argument("<pictures...>", "files (JPEG, PNG, WebP), or folders of them")
    .requiredOption("--checkpoint <file>", "file or URL of weights: .safetensors of a run, or weights of PyTorch");
  return addFields(command, predictFields)
    .addHelpText("after", examples)
    .action(async (paths: string[], given: { readonly checkpoint: string }, self: Command) => {
      const options = checkedValues({ ...fallbacks(predictFields), ...typedValues(self, predictFields) }, predictFields);
      const files = paths.flatMap(picturesAt);
      const checkpoint = await localCheckpoint(given.checkpoint);
      const { card, tensors } = readModel(checkpoint);
      if (card?.task === "segment") {
        for await (const { file, drawn, classes } of segmented(files, checkpoint, card, tensors, options)) {
          const line = classes.map(({ class: name, share }) => `${name} ${(100 * share).toFixed(1)}%`).join("  ");
          process.stdout.write(options.json ? `${JSON.stringify({ file, drawn, classes })}\n` : `${file}: ${line}; drawn in ${drawn}\n`);
        }
        return;
      }
      if (card?.task === "detect") {
        for await (const { file, drawn, objects } of detected(files, checkpoint, card, tensors, options)) {
          const line = objects.map(({ class: name, score, box }) => `${name} ${(100 * score).toFixed(0)}% at ${box.join(" ")}`).join("; ");
          process.stdout.write(
            options.json ? `${JSON.stringify({ file, drawn, objects })}\n` : `${file}: ${line || "nothing"}; drawn in ${drawn}\n`,
          );
        }
        return;
      }
      const opened = openCheckpoint("predict", { ...options, checkpoint });
      for await (const { file, named } of predictions(files, opened, options)) {
        const line = named.map(({ class: name, probability }) => `${name} ${(100 * probability).toFixed(1)}%`).join("  ");
        process.stdout.write(options.json ? `${JSON.stringify({ file, predictions: named })}\n` : `${file}: ${line}\n`);
      }
    });
}

/** A file itself, or the pictures in a folder and below. */
function picturesAt(path: string): string[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  const found = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) =>
    isPictureFile(name.split(/[/\\]/).at(-1) as string),
  );
  if (found.length === 0) throw new OpError("predict", `${path} holds no pictures`);
  return found.sort().map((name) => join(path, name));
}

/** What the network sees: as in its evaluation where the file says so, else as ImageNet's pictures are shown. */
function transformOf({ card, size, shape }: OpenedCheckpoint): Transform {
  if (card?.transform !== undefined) return { ...card.transform, size };
  if (shape.inChans !== 1 && shape.inChans !== 3)
    throw new OpError("predict", `pictures have 1 or 3 channels, the network takes ${shape.inChans}`);
  return {
    ...imagenetStatistics,
    size,
    channels: shape.inChans,
    interpolation: "bicubic",
    framing: evaluationFraming(size),
    augmentation: null,
  };
}

async function* predictions(
  files: readonly string[],
  opened: OpenedCheckpoint,
  { topk, device: name }: { readonly topk: number; readonly device: string },
) {
  const transform = transformOf(opened);
  const { device, model } = await opened.load(name);
  model.eval();
  const { size, channels } = transform;
  const classNames = opened.card?.classNames;
  try {
    for (const file of files) {
      const image = new Float32Array(channels * size * size);
      let bytes: Uint8Array;
      try {
        bytes = readFileSync(file);
      } catch (error) {
        throw new OpError("predict", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
      }
      applyTransform(await decodePicture(bytes, file), transform, new Draws(0, "sample", 0, 0), image, 0);
      const images = fromHost(image, [1, channels, size, size], "float32", device);
      const probabilities = await noGrad(() => softmax(model.forward(images), { dim: 1 })).data();
      const named: Named[] = [...probabilities]
        .map((probability, i) => ({ class: classNames?.[i] ?? String(i), probability }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, topk);
      yield { file, named };
    }
  } finally {
    await device.close();
  }
}
