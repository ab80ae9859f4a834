/**
 * CIFAR-10 and CIFAR-100 in their binary form: records of one label (100: coarse, then fine) and 3 × 32 × 32 bytes, plane by plane.
 * @see https://www.cs.toronto.edu/~kriz/cifar.html
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { openBytes } from "./bytes.js";
import type { Dataset, Split } from "./dataset.js";

const side = 32;
const pixels = 3 * side * side;

const variants = {
  10: {
    folder: "cifar-10-batches-bin",
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ["test_batch.bin"] },
    names: "batches.meta.txt",
    labelBytes: 1,
    statistics: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  },
  100: {
    folder: "cifar-100-binary",
    files: { train: ["train.bin"], test: ["test.bin"] },
    names: "fine_label_names.txt",
    labelBytes: 2,
    statistics: { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
  },
} as const;

/** Reads one half of CIFAR into memory. Throws OpError for missing or damaged files. */
export function cifar(classes: 10 | 100, split: Split, dataDir: string | undefined): Dataset {
  const { folder: usual, files, names, labelBytes, statistics } = variants[classes];
  const op = `cifar${classes}`;
  const hint = `run crabro data --fetch ${op} --to FOLDER, and pass --data-dir FOLDER`;
  if (dataDir === undefined) throw new OpError(op, `its files are in no package; ${hint}`);
  const folder = [dataDir, join(dataDir, usual)].find((path) => existsSync(join(path, files[split][0])));
  if (folder === undefined) throw new OpError(op, `${dataDir} does not hold ${files[split][0]}, nor ${usual}/${files[split][0]}; ${hint}`);
  const record = labelBytes + pixels;
  const parts = files[split].map((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) throw new OpError(op, `${folder} does not hold ${name}`);
    const bytes = readFileSync(path);
    if (bytes.length === 0 || bytes.length % record !== 0)
      throw new OpError(op, `${path} has ${bytes.length} bytes, no whole number of records of ${record}; it is cut off or something else`);
    return { path, bytes };
  });
  const count = parts.reduce((sum, { bytes }) => sum + bytes.length / record, 0);
  const data = new Uint8Array(new SharedArrayBuffer(count * pixels));
  const labels = new Int32Array(count);
  let at = 0;
  for (const { path, bytes } of parts) {
    for (let start = 0; start < bytes.length; start += record, at++) {
      labels[at] = bytes[start + labelBytes - 1];
      if (labels[at] >= classes)
        throw new OpError(op, `${path}: the label of record ${start / record} is ${labels[at]}; expected 0 to ${classes - 1}`);
      data.set(bytes.subarray(start + labelBytes, start + record), at * pixels);
    }
  }
  const classNames = classNamesOf(join(folder, names), classes);
  return openBytes({
    kind: "bytes",
    name: `CIFAR-${classes} ${split}`,
    side,
    channels: 3,
    layout: "planes",
    data,
    labels,
    classNames,
    ...statistics,
  });
}

/** The names in the file that lies beside the data; numbers where there is none. */
function classNamesOf(path: string, classes: number): string[] {
  const names = existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "")
    : [];
  return names.length === classes ? names : Array.from({ length: classes }, (_, i) => String(i));
}
