/** Data sets by the names the command knows them by, and how each is shown to a network unless the flags say otherwise. */
import { availableParallelism } from "node:os";
import { OpError } from "../../engine/errors.js";
import type { Mixing } from "../../train/augment/mix.js";
import {
  type Augmentation,
  evaluationFraming,
  type Framing,
  noAugmentation,
  parseRandAugment,
  type Transform,
} from "../../train/augment/transform.js";
import { cifar } from "../../train/data/cifar.js";
import { type Dataset, firstOf, type Source, type Split } from "../../train/data/dataset.js";
import { imageFolder } from "../../train/data/folder.js";
import { mnist } from "../../train/data/mnist.js";
import { synthetic } from "../../train/data/synthetic.js";
import { texturedDigits } from "../../train/data/textured-digits.js";
import type { AugmentOptions, DataOptions } from "../options/train-options.js";

export type DatasetName = DataOptions["dataset"];

/** One half of a data set; `size` is the side of the made-up pictures. `classNames` are those of the other half, for folders. */
export function openDataset(split: Split, given: Given, classNames?: readonly string[]): Dataset {
  const whole = open(split, given, classNames);
  return given.limit === undefined ? whole : firstOf(whole, given.limit);
}

interface Given {
  readonly dataset: DatasetName;
  readonly dataDir?: string;
  readonly limit?: number;
  readonly size: number;
  /** The folder of token labels, for folders of pictures. */
  readonly tokenLabels?: string;
}

function open(split: Split, { dataset, dataDir, size, tokenLabels }: Given, classNames?: readonly string[]): Dataset {
  switch (dataset) {
    case "mnist":
      return mnist(split, { dataDir });
    case "textured-digits":
      return texturedDigits(mnist(split, { dataDir }), split, { side: size });
    case "fashion-mnist":
      return mnist(split, { dataDir, variant: "fashion" });
    case "cifar10":
      return cifar(10, split, dataDir);
    case "cifar100":
      return cifar(100, split, dataDir);
    case "folder":
      if (dataDir === undefined) throw new OpError("data", "name the folder of pictures: crabro train FOLDER");
      return imageFolder(dataDir, split, classNames, tokenLabels);
    case "synthetic":
      // Both halves show the same patterns; the noise differs, as the test half begins where the other ends.
      return split === "train" ? synthetic({ length: 1024, side: size }) : synthetic({ length: 256, side: size, first: 1024 });
  }
}

type InputFlags = Pick<DataOptions, "inChans" | "mean" | "std" | "cropPct" | "interpolation">;

/** How evaluation shows the pictures of a data set. */
export function evaluationTransform(dataset: Dataset, size: number, flags: InputFlags): Transform {
  const channels = flags.inChans ?? dataset.channels;
  if (channels !== 1 && channels !== 3) throw new OpError("data", `images have 1 or 3 channels; got --in-chans ${channels}`);
  const mean = flags.mean ?? statistics(dataset.mean, channels);
  const std = flags.std ?? statistics(dataset.std, channels);
  for (const [name, values] of [
    ["mean", mean],
    ["std", std],
  ] as const)
    if (values.length !== channels) throw new OpError("data", `--${name} has ${values.length} values for ${channels} channels`);
  return {
    size,
    channels,
    mean,
    std,
    interpolation: flags.interpolation,
    framing: framingOf(dataset, size, flags.cropPct),
    augmentation: null,
  };
}

function framingOf({ side }: Dataset, size: number, share: number): Framing {
  // Small pictures of one size are shown as they are; they have no margin to cut off.
  if (side === null) return evaluationFraming(size, share);
  return size >= side && size < 2 * side ? { kind: "pad", inner: side } : { kind: "squash" };
}

function statistics(values: readonly number[], channels: number): readonly number[] {
  if (values.length === channels) return values;
  return values.length === 1 ? Array<number>(channels).fill(values[0]) : [values.reduce((sum, value) => sum + value, 0) / values.length];
}

/** How training shows them. Photographs are cropped, mirrored and jittered unless the flags say otherwise; digits are not. */
export function trainingTransform(evaluation: Transform, name: DatasetName, flags: AugmentOptions): Transform {
  if (!flags.aug) return { ...evaluation, augmentation: noAugmentation };
  const folder = name === "folder";
  const photographs = folder || name === "cifar10" || name === "cifar100";
  const crops = flags.scale !== undefined || flags.ratio !== undefined || folder;
  const pair = (values: readonly number[] | undefined, usual: readonly [number, number]) =>
    [values?.[0] ?? usual[0], values?.[1] ?? usual[1]] as const;
  const augmentation: Augmentation = {
    box: crops ? { scale: pair(flags.scale, [0.08, 1]), ratio: pair(flags.ratio, [3 / 4, 4 / 3]) } : null,
    shift: photographs && !crops ? 4 : 0,
    hflip: flags.hflip ?? (photographs ? 0.5 : 0),
    vflip: flags.vflip,
    colourJitter: flags.colorJitter ?? (folder ? 0.4 : 0),
    randAugment: flags.aa === undefined || flags.aa === "" ? null : parseRandAugment(flags.aa),
    erasing: { probability: flags.reprob, mode: flags.remode, count: flags.recount },
  };
  return { ...evaluation, augmentation };
}

export function mixingOf({ mixup, cutmix, mixupProb, mixupSwitchProb, mixupOffEpoch }: AugmentOptions): Mixing | null {
  if (mixup === 0 && cutmix === 0) return null;
  return { mixup, cutmix, probability: mixupProb, switchProbability: mixupSwitchProb, offEpoch: mixupOffEpoch };
}

/** Threads for data: none where pictures lie in memory and are hardly touched, else what the machine has, up to 4. */
export function workersFor(dataset: Dataset, { augmentation }: Transform, given: number | undefined): number {
  if (given !== undefined) return given;
  const lies = (source: Source): boolean =>
    source.kind === "part" ? lies(source.of) : source.kind === "bytes" || source.kind === "synthetic";
  const light = lies(dataset.source) && (augmentation === null || (augmentation.box === null && augmentation.randAugment === null));
  return light ? 0 : Math.min(4, availableParallelism());
}
