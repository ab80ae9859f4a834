/** Folders of pictures, and loaders with workers. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../index.js";
import { noAugmentation, parseRandAugment, type Transform } from "../../train/augment/index.js";
import { DataLoader, decodeInJavaScript, decodePicture, imageFolder, pictureFormat, plainTransform } from "../../train/data/index.js";
import { writePictures } from "./pictures-folder.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-pictures-"));
beforeAll(() => writePictures(folder, 6));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string): string => join(folder, name);

describe("decoding", () => {
  const pixels = { width: 16, height: 16, channels: 3 as const };
  const smooth = Uint8Array.from({ length: 768 }, (_, i) => (i % 3) * 60 + Math.floor(i / 48) * 4);

  it("reads JPEG, PNG and WebP alike, by their contents", async () => {
    const image = sharp(smooth, { raw: pixels });
    for (const [format, bytes] of [
      ["JPEG", await image.jpeg({ quality: 95 }).toBuffer()],
      ["PNG", await image.png().toBuffer()],
      ["WebP", await image.webp({ lossless: true }).toBuffer()],
    ] as const) {
      expect(pictureFormat(bytes)).toBe(format);
      const { data, width, height, channels } = await decodePicture(bytes, "x");
      expect([width, height, channels]).toEqual([16, 16, 3]);
      for (let i = 0; i < 768; i++) expect(Math.abs(data[i] - smooth[i])).toBeLessThanOrEqual(format === "JPEG" ? 8 : 0);
      if (format === "WebP") {
        await expect(decodeInJavaScript(bytes)).rejects.toThrow("WebP needs the package sharp");
        continue;
      }
      const own = await decodeInJavaScript(bytes);
      for (let i = 0; i < 768; i++) expect(Math.abs(own.data[i] - data[i])).toBeLessThanOrEqual(format === "JPEG" ? 4 : 0);
    }
  });

  it("drops transparency, and spreads grey", async () => {
    const clear = await sharp(Buffer.from([1, 2, 3, 0, 4, 5, 6, 255]), { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    for (const decode of [(bytes: Uint8Array) => decodePicture(bytes, "x"), decodeInJavaScript])
      expect([...(await decode(clear)).data]).toEqual([1, 2, 3, 4, 5, 6]);
    const grey = await sharp(Buffer.from([7, 9]), { raw: { width: 2, height: 1, channels: 1 } })
      .png()
      .toBuffer();
    expect([...(await decodeInJavaScript(grey)).data]).toEqual([7, 7, 7, 9, 9, 9]);
    const own = await decodePicture(grey, "x");
    expect(own.channels === 1 ? [...own.data] : [own.data[0], own.data[3]]).toEqual([7, 9]);
  });

  it("names files that are broken", async () => {
    const jpeg = await sharp(smooth, { raw: pixels }).jpeg().toBuffer();
    await expect(decodePicture(jpeg.subarray(0, jpeg.length >> 1), "half.jpg")).rejects.toThrow("picture: half.jpg cannot be decoded: ");
    await expect(decodeInJavaScript(jpeg.subarray(0, 30))).rejects.toThrow();
    await expect(decodePicture(new Uint8Array(0), "none.png")).rejects.toThrow(
      "none.png is no JPEG, PNG or WebP file; it begins with nothing",
    );
  });
});

describe("imageFolder", () => {
  it("takes folders as classes, in order", () => {
    const train = imageFolder(folder, "train");
    expect([train.length, train.classNames, train.label(0), train.label(17)]).toEqual([18, ["blue", "green", "red"], 0, 2]);
    expect(train.title(6)).toBe(join(folder, "train", "green", "0.png"));
  });

  it("says what is missing", () => {
    expect(() => imageFolder(file("nowhere"), "train")).toThrow("there is no folder");
    mkdirSync(file("empty/train/cats"), { recursive: true });
    expect(() => imageFolder(file("empty"), "train")).toThrow(/train holds no pictures; expected .*train\/<class>\/<picture>/);
    expect(() => imageFolder(file("empty"), "test")).toThrow("has no folder val or validation or test");
    symlinkSync(file("train"), file("empty/val"));
    expect(() => imageFolder(file("empty"), "test", ["cats"])).toThrow(/val\/blue is a class that the training half has not/);
  });
});

describe("DataLoader", () => {
  const dataset = () => imageFolder(folder, "train");
  const transform = (): Transform => ({
    ...plainTransform(dataset(), 32),
    augmentation: {
      ...noAugmentation,
      box: { scale: [0.1, 1], ratio: [3 / 4, 4 / 3] },
      hflip: 0.5,
      randAugment: parseRandAugment("rand-m9-mstd0.5-inc1"),
      erasing: { probability: 0.5, mode: "pixel", count: 1 },
    },
  });

  async function epochs(workers: number, from = 0): Promise<string[]> {
    const loader = new DataLoader(dataset(), {
      batchSize: 4,
      transform: transform(),
      shuffle: true,
      seed: 5,
      repeats: 2,
      mixing: { mixup: 0.8, cutmix: 1, probability: 1, switchProbability: 0.5, offEpoch: 1 },
      targets: { classes: 3, smoothing: 0.1 },
      workers,
    });
    const seen: string[] = [];
    try {
      for (const epoch of [0, 1])
        for await (const { images, targets, indices } of loader.epoch(epoch, from))
          seen.push(
            Buffer.concat([
              Buffer.from((await images.data()).buffer),
              Buffer.from((await targets.data()).buffer),
              Buffer.from(indices.buffer),
            ]).toString("base64"),
          );
    } finally {
      await loader.close();
    }
    return seen;
  }

  it("gives the same batches with any number of workers, and from the middle", { timeout: 120_000 }, async () => {
    const alone = await epochs(0);
    expect(alone.length).toBe(10);
    expect(new Set(alone).size).toBe(10);
    expect((await epochs(2)).map((batch, i) => batch === alone[i])).toEqual(Array(10).fill(true));
    expect((await epochs(1, 3)).map((batch, i) => batch === [...alone.slice(3, 5), ...alone.slice(8)][i])).toEqual(Array(4).fill(true));
  });

  it("refuses broken pictures by name, replaces them, or leaves them out", { timeout: 120_000 }, async () => {
    const broken = file("broken");
    writePictures(broken, 2);
    const bad = join(broken, "train", "green", "0.png");
    writeFileSync(bad, readFileSync(bad).subarray(0, 200));
    const labelsWith = async (policy: "refuse" | "replace" | "drop", workers = 0): Promise<{ labels: number[]; broken: number }> => {
      const loader = new DataLoader(imageFolder(broken, "train"), {
        batchSize: 6,
        transform: plainTransform(dataset(), 32),
        broken: policy,
        workers,
      });
      try {
        const labels: number[] = [];
        for await (const batch of loader.epoch()) labels.push(...(await batch.labels.data()));
        return { labels, broken: loader.broken.size };
      } finally {
        await loader.close();
      }
    };
    await expect(labelsWith("refuse")).rejects.toThrow(`picture: ${bad} cannot be decoded`);
    await expect(labelsWith("refuse", 1)).rejects.toThrow(`picture: ${bad} cannot be decoded`);
    expect(await labelsWith("replace")).toEqual({ labels: [0, 0, 1, 1, 2, 2], broken: 1 });
    expect(await labelsWith("drop")).toEqual({ labels: [0, 0, 1, 2, 2], broken: 1 });
    expect(existsSync(bad)).toBe(true);
  });
});
