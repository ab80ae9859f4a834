import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import "../../index.js";
import { applyTransform, Draws, type Picture } from "../../train/augment/index.js";
import { cifar } from "../../train/data/cifar.js";
import { type Dataset, firstOf } from "../../train/data/dataset.js";
import { mnistStatistics } from "../../train/data/digits.js";
import { readIdx } from "../../train/data/idx.js";
import { type Batch, DataLoader, plainTransform } from "../../train/data/loader.js";
import { mnist } from "../../train/data/mnist.js";
import { synthetic } from "../../train/data/synthetic.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-data-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function idx(shape: readonly number[], data: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  bytes.set([0, 0, 8, shape.length]);
  const view = new DataView(bytes.buffer);
  shape.forEach((size, i) => {
    view.setUint32(4 + 4 * i, size);
  });
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

describe("readIdx", () => {
  const whole = idx([2, 3], [1, 2, 3, 4, 5, 250]);

  it("reads plain and gzipped files", () => {
    for (const bytes of [whole, gzipSync(whole)]) {
      const { shape, data } = readIdx(bytes, "x");
      expect(shape).toEqual([2, 3]);
      expect([...data]).toEqual([1, 2, 3, 4, 5, 250]);
    }
  });

  it("names what is wrong with a file", () => {
    expect(() => readIdx(whole.subarray(0, 15), "x")).toThrow(
      "x: the file is cut off: its header promises 6 bytes of data (2 × 3), 3 follow",
    );
    expect(() => readIdx(Uint8Array.of(...whole, 0), "x")).toThrow("x: the file is too long");
    expect(() => readIdx(whole.subarray(0, 7), "x")).toThrow("x: the file ends within its header");
    expect(() => readIdx(new Uint8Array(0), "x")).toThrow("x: 0 bytes are too few");
    expect(() => readIdx(new TextEncoder().encode("<!doctype html>"), "x")).toThrow("x: the file begins with 3c 21 64 6f");
    expect(() => readIdx(gzipSync(whole).subarray(0, 20), "x")).toThrow("x: the gzip data is damaged or cut off");
  });
});

describe("mnist", () => {
  it("reads the digits of the package, and shows them padded and normalised", () => {
    const test = mnist("test");
    expect([test.length, test.side, test.channels, test.numClasses]).toEqual([10_000, 28, 1, 10]);
    expect(Array.from({ length: 10 }, (_, i) => test.label(i))).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    const out = new Float32Array(2 * 32 * 32).fill(9);
    applyTransform(test.picture(0) as Picture, plainTransform(test, 32), new Draws(0, "sample", 0, 0), out, 32 * 32);
    expect([...new Set(out.subarray(0, 1024))]).toEqual([9]);
    const image = out.subarray(1024);
    const [mean, std] = [mnistStatistics.mean[0], mnistStatistics.std[0]];
    const black = Math.fround(-mean / std);
    // Two rows and columns of padding on each side.
    for (let i = 0; i < 32; i++)
      expect([image[i], image[32 + i], image[31 * 32 + i], image[32 * i], image[32 * i + 31]]).toEqual(Array(5).fill(black));
    // The stroke of this 7 begins at row 7, column 6 of the original.
    expect(image[(2 + 7) * 32 + 2 + 6]).toBeCloseTo((84 / 255 - mean) / std, 6);
    expect(image[(2 + 7) * 32 + 2 + 5]).toBe(black);
  });

  it("has the mean and deviation it is normalised by", () => {
    const train = mnist("train");
    expect(train.length).toBe(60_000);
    let [sum, squares] = [0, 0];
    for (let i = 0; i < train.length; i++) {
      for (const byte of (train.picture(i) as Picture).data) {
        sum += byte / 255;
        squares += (byte / 255) ** 2;
      }
    }
    const mean = sum / (train.length * 784);
    expect(mean).toBeCloseTo(mnistStatistics.mean[0], 4);
    expect(Math.sqrt(squares / (train.length * 784) - mean * mean)).toBeCloseTo(mnistStatistics.std[0], 4);
  });

  it("finds gzipped files where other tools leave them", () => {
    const raw = join(folder, "other", "MNIST", "raw");
    mkdirSync(raw, { recursive: true });
    writeFileSync(join(raw, "t10k-images-idx3-ubyte.gz"), gzipSync(idx([1, 28, 28], Array(784).fill(255))));
    writeFileSync(join(raw, "t10k-labels.idx1-ubyte"), idx([1], [3]));
    const test = mnist("test", { dataDir: join(folder, "other") });
    expect([test.length, test.label(0)]).toEqual([1, 3]);
  });

  it("names what is missing or does not fit", () => {
    expect(() => mnist("train", { dataDir: join(folder, "nowhere") })).toThrow(/there is no folder .*nowhere/);
    const bad = join(folder, "bad");
    mkdirSync(bad);
    expect(() => mnist("train", { dataDir: bad })).toThrow("does not hold train-images-idx3-ubyte, plain or as .gz");
    writeFileSync(join(bad, "train-images-idx3-ubyte"), idx([2, 28, 28], Array(2 * 784).fill(0)));
    writeFileSync(join(bad, "train-labels-idx1-ubyte"), idx([3], [0, 1, 2]));
    expect(() => mnist("train", { dataDir: bad })).toThrow("holds 3 labels for 2 images");
    writeFileSync(join(bad, "train-labels-idx1-ubyte"), idx([2], [0, 12]));
    expect(() => mnist("train", { dataDir: bad })).toThrow("label 1 is 12; expected 0 to 9");
    expect(() => mnist("test", { variant: "fashion" })).toThrow("run crabro data --fetch fashion-mnist");
  });
});

/** A CIFAR file of pictures whose planes are 1, 2, 3 all over. */
function cifarFile(labels: readonly number[][]): Uint8Array {
  return Uint8Array.from(labels.flatMap((label) => [...label, ...[1, 2, 3].flatMap((value) => Array<number>(1024).fill(value))]));
}

describe("cifar", () => {
  it("reads the binary files, in the archive's folder or without it", async () => {
    const inside = join(folder, "c10", "cifar-10-batches-bin");
    mkdirSync(inside, { recursive: true });
    for (let i = 1; i <= 5; i++) writeFileSync(join(inside, `data_batch_${i}.bin`), cifarFile([[i], [9 - i]]));
    writeFileSync(
      join(inside, "batches.meta.txt"),
      `${["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"].join("\n")}\n\n`,
    );
    for (const dir of [inside, join(folder, "c10")]) {
      const train = cifar(10, "train", dir);
      expect([train.length, train.channels, train.side, train.classNames[3]]).toEqual([10, 3, 32, "cat"]);
      expect(Array.from({ length: 10 }, (_, i) => train.label(i))).toEqual([1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
      const { data } = await train.picture(9);
      expect([data.length, ...data.subarray(0, 6)]).toEqual([3072, 1, 2, 3, 1, 2, 3]);
    }
    writeFileSync(join(folder, "test.bin"), cifarFile([[3, 77]]));
    expect(cifar(100, "test", folder).label(0)).toBe(77);
  });

  it("names what is missing or does not fit", () => {
    expect(() => cifar(10, "train", undefined)).toThrow(
      "cifar10: its files are in no package; run crabro data --fetch cifar10 --to FOLDER",
    );
    expect(() => cifar(10, "train", folder)).toThrow("does not hold data_batch_1.bin, nor cifar-10-batches-bin/data_batch_1.bin");
    writeFileSync(join(folder, "test.bin"), cifarFile([[3, 7]]).subarray(1));
    expect(() => cifar(100, "test", folder)).toThrow("test.bin has 3073 bytes, no whole number of records of 3074");
    writeFileSync(join(folder, "test.bin"), cifarFile([[3, 101]]));
    expect(() => cifar(100, "test", folder)).toThrow("the label of record 0 is 101; expected 0 to 99");
  });
});

describe("synthetic", () => {
  const read = (dataset: Dataset, index: number): number[] => [...(dataset.picture(index) as Picture).data];

  it("gives the same images in any order, and others for another seed", () => {
    const a = synthetic({ side: 4 });
    const third = read(a, 3);
    read(a, 5);
    expect(read(a, 3)).toEqual(third);
    expect(read(synthetic({ side: 4, seed: 1 }), 3)).not.toEqual(third);
    expect(a.label(13)).toBe(3);
  });
});

describe("DataLoader", () => {
  const dataset = synthetic({ length: 10, side: 2, numClasses: 10 });
  const labels = async (loader: DataLoader, epoch: number, from = 0): Promise<number[][]> => {
    const all: number[][] = [];
    for await (const batch of loader.epoch(epoch, from)) all.push([...(await batch.labels.data())]);
    return all;
  };

  it("goes through the data in order, the rest in a smaller batch", async () => {
    const loader = new DataLoader(dataset, { batchSize: 4 });
    expect([loader.length, loader.samples]).toEqual([3, 10]);
    expect(await labels(loader, 0)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    const first = (await loader.epoch().next()).value as Batch;
    expect([first.images.shape, first.images.dtype, first.labels.dtype, first.size]).toEqual([[4, 1, 2, 2], "float32", "int32", 4]);
  });

  it("drops the rest when asked", async () => {
    const loader = new DataLoader(dataset, { batchSize: 4, dropLast: true });
    expect([loader.length, loader.samples]).toEqual([2, 8]);
    expect((await labels(loader, 0)).length).toBe(2);
  });

  it("shuffles by seed and epoch alone", async () => {
    const make = (seed: number) => new DataLoader(dataset, { batchSize: 4, shuffle: true, seed });
    const first = await labels(make(1), 0);
    expect(first.flat().sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(first.flat()).not.toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const again = make(1);
    const second = await labels(again, 1);
    expect(second).not.toEqual(first);
    expect(await labels(again, 0)).toEqual(first);
    expect(await labels(make(2), 0)).not.toEqual(first);
  });

  it("continues an epoch", async () => {
    const loader = new DataLoader(dataset, { batchSize: 4, shuffle: true });
    expect(await labels(loader, 3, 1)).toEqual((await labels(loader, 3)).slice(1));
  });

  it("refuses what makes no batch", () => {
    expect(() => new DataLoader(dataset, { batchSize: 16, dropLast: true })).toThrow("synthetic has 10 samples, which make no batch of 16");
    expect(() => new DataLoader(dataset, { batchSize: 0 })).toThrow("batchSize is a whole number from 1 up; got 0");
  });

  it("takes a part of a data set", () => {
    expect(firstOf(dataset, 3).length).toBe(3);
    expect(firstOf(dataset, 30)).toBe(dataset);
  });
});
