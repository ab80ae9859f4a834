/** Data sets and devices by the names the command knows them by. */

import { OpError } from "../../engine/errors.js";
import { type Device, device, setDefaultDevice } from "../../index.js";
import { type Dataset, firstOf } from "../../train/data/dataset.js";
import { mnist, type Split } from "../../train/data/mnist.js";
import { synthetic } from "../../train/data/synthetic.js";

export interface DataFlags {
  readonly dataset: string;
  readonly dataDir?: string;
  /** Side of the images. */
  readonly size: number;
  /** At most this many samples. */
  readonly limit?: number;
}

export const datasetNames = ["mnist", "synthetic"];

/** One half of a data set. */
export function openDataset(split: Split, { dataset, dataDir, size, limit }: DataFlags): Dataset {
  const whole = open(split, dataset, dataDir, size);
  return limit === undefined ? whole : firstOf(whole, limit);
}

function open(split: Split, name: string, dataDir: string | undefined, size: number): Dataset {
  switch (name) {
    case "mnist":
      return mnist(split, { dataDir, size });
    case "synthetic":
      // Both halves show the same patterns; the noise differs, as the test half begins where the other ends.
      return split === "train"
        ? synthetic({ length: 1024, imageShape: [1, size, size] })
        : offset(synthetic({ length: 1280, imageShape: [1, size, size] }), 1024);
    default:
      throw new OpError("dataset", `there is no data set ${name}; known are ${datasetNames.join(", ")}`);
  }
}

function offset(dataset: Dataset, first: number): Dataset {
  return {
    ...dataset,
    length: dataset.length - first,
    read: (index, out, at) => dataset.read(first + index, out, at),
    label: (index) => dataset.label(first + index),
  };
}

/** Opens the device and makes it the default. */
export async function openDevice(name: string): Promise<Device> {
  const opened = await device(name);
  setDefaultDevice(opened);
  return opened;
}

/** Throws unless the images fit what the model was built for. */
export function checkFit(
  dataset: Dataset,
  model: string,
  { inChans, numClasses }: { readonly inChans: number; readonly numClasses: number },
): void {
  if (dataset.imageShape[0] !== inChans) {
    throw new OpError(
      "data",
      `${dataset.name} has images of ${dataset.imageShape[0]} channels, ${model} takes ${inChans}; pass --in-chans ${dataset.imageShape[0]}`,
    );
  }
  if (dataset.numClasses > numClasses) {
    throw new OpError(
      "data",
      `${dataset.name} has ${dataset.numClasses} classes, ${model} tells ${numClasses} apart; pass --num-classes ${dataset.numClasses}`,
    );
  }
}
