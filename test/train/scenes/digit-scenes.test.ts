/** Composed scenes: exact boxes and masks, the same from a seed, and read back from disk as they were. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import "../../../index.js";
import { main } from "../../../cli/commands/program.js";
import {
  classNamesIn,
  cocoDataset,
  type Dataset,
  digitScene,
  firstOf,
  maskBox,
  mnist,
  openSource,
  semanticDataset,
  semanticMasks,
  texturedDigits,
} from "../../../train/data/index.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-scenes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const train = mnist("train");
const test = mnist("test");

describe("texturedDigits", () => {
  const digits = texturedDigits(train, "train", { side: 48, seed: 2 });

  it("shows the digits of a data set one by one, in colours, each with a ground of its own", async () => {
    expect([digits.length, digits.channels, digits.side, digits.numClasses]).toEqual([60000, 3, 48, 10]);
    const pictures = await Promise.all(Array.from({ length: 40 }, (_, i) => digits.picture(i)));
    for (const [i, { width, height, channels, data }] of pictures.entries()) {
      expect([width, height, channels, digits.label(i)]).toEqual([48, 48, 3, train.label(i)]);
      expect(new Set(data).size).toBeGreaterThan(20);
    }
    expect(new Set(pictures.map(({ data }) => data.join())).size).toBe(40);
  });

  it.each([32, 64, 96])("shows digits brighter than their ground, as large as scenes of 128 pixels do, in pictures of %i", async (side) => {
    const shown = texturedDigits(train, "train", { side });
    for (let i = 0; i < 6; i++) {
      const { data } = await shown.picture(i);
      const brightness = Array.from({ length: side * side }, (_, at) => data[3 * at] + data[3 * at + 1] + data[3 * at + 2]).sort(
        (a, b) => a - b,
      );
      const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length / 3;
      // Strokes cover a few hundredths of a picture at least.
      expect(mean(brightness.slice(-0.02 * side * side)) - mean(brightness.slice(0, side * side * 0.7))).toBeGreaterThan(40);
    }
  });

  it("is a function of seed, half and number, for workers too", async () => {
    const { data } = await digits.picture(7);
    const opened = openSource(firstOf(digits, 10).source);
    expect([opened.length, (await opened.picture(7)).data]).toEqual([10, data]);
    for (const other of [texturedDigits(train, "train", { side: 48, seed: 3 }), texturedDigits(train, "test", { side: 48, seed: 2 })])
      expect((await other.picture(7)).data).not.toEqual(data);
  });
});

describe("digitScene", () => {
  const scenes = Array.from({ length: 12 }, (_, i) => digitScene(train, "train", i, { size: 96, seed: 5 }));

  it("has boxes that its masks just fit, masks that do not overlap, and classes that are the masks'", () => {
    for (const { image, boxes, masks, labels, areas, semantic } of scenes) {
      expect([image.width, image.height, image.channels]).toEqual([96, 96, 3]);
      expect(labels.length).toBeGreaterThan(0);
      const classes = new Uint8Array(96 * 96);
      masks.forEach((mask, i) => {
        expect(maskBox(mask, 96, 96)).toEqual([...boxes.subarray(4 * i, 4 * i + 4)]);
        expect(mask.reduce((sum, bit) => sum + bit, 0)).toBe(areas[i]);
        mask.forEach((bit, at) => {
          if (bit === 0) return;
          expect(classes[at]).toBe(0);
          classes[at] = labels[i] + 1;
        });
      });
      expect(classes).toEqual(semantic);
    }
    expect(new Set(scenes.flatMap(({ labels }) => [...labels])).size).toBeGreaterThan(7);
    expect(new Set(scenes.map(({ labels }) => labels.length)).size).toBeGreaterThan(2);
  });

  it("is a function of seed, half and number", () => {
    const again = digitScene(train, "train", 3, { size: 96, seed: 5 });
    expect(again).toEqual(scenes[3]);
    for (const other of [
      digitScene(train, "train", 3, { size: 96, seed: 6 }),
      digitScene(train, "train", 4, { size: 96, seed: 5 }),
      digitScene(test, "test", 3, { size: 96, seed: 5 }),
    ])
      expect(other.image.data).not.toEqual(again.image.data);
  });

  it("has no digit within another", () => {
    for (let i = 0; i < 60; i++) {
      const { boxes, labels } = digitScene(train, "train", i);
      const list = [...labels].map((_, n) => [...boxes.subarray(4 * n, 4 * n + 4)]);
      const area = ([left, top, right, bottom]: number[]): number => Math.max(0, right - left) * Math.max(0, bottom - top);
      list.forEach((a, n) => {
        for (const b of list.slice(n + 1)) {
          const both = a.map((side, s) => (s < 2 ? Math.max(side, b[s]) : Math.min(side, b[s])));
          // A quarter of the whole smaller digit; a part of it may be hidden.
          expect(area(both)).toBeLessThan(0.4 * Math.min(area(a), area(b)));
        }
      });
    }
  });

  it("shows at least seven tenths of what it has placed", () => {
    // A single glyph, so that its whole area is known for each size: a square of 14 of its 28 pixels.
    const square = Uint8Array.from({ length: 784 }, (_, at) =>
      Math.abs((at % 28) - 13.5) < 7 && Math.abs(Math.floor(at / 28) - 13.5) < 7 ? 255 : 0,
    );
    const full: Dataset = {
      ...train,
      length: 1,
      label: () => 3,
      picture: () => ({ width: 28, height: 28, channels: 1, data: square }),
    };
    for (let i = 0; i < 6; i++) {
      const { masks, areas } = digitScene(full, "train", i, { digits: [3, 6] });
      expect(masks.length).toBeGreaterThan(1);
      // The smallest square is 0.16 of the picture's side.
      for (const area of areas) expect(area).toBeGreaterThan(0.69 * (0.16 * 128) ** 2);
    }
  });
});

describe("crabro data digits-scenes", () => {
  let output = "";
  beforeEach(() => {
    output = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      output += text;
      return true;
    });
    vi.spyOn(console, "error").mockImplementation((text) => {
      output += `${text}\n`;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("writes an ordinary data set, which the loaders of such read as it was composed", async () => {
    const to = join(folder, "set");
    expect(await main(["data", "digits-scenes", "--to", to, "--train", "3", "--val", "2", "--size", "64", "--seed", "9"])).toBe(0);
    expect(output).toMatch(/^train: 3 pictures of 64 × 64 with \d+ digits\nval: 2 pictures of 64 × 64 with \d+ digits\nwrote .*set; train/);
    expect(existsSync(join(to, "images", "val", "000002.png"))).toBe(true);
    for (const [split, half, source, length] of [
      ["train", "train", train, 3],
      ["val", "test", test, 2],
    ] as const) {
      const semantic = semanticMasks(join(to, "annotations", split), classNamesIn(to) as string[]);
      const dataset = cocoDataset(join(to, "annotations", `instances_${split}.json`), join(to, "images", split), { semantic });
      expect([dataset.length, dataset.categories.length, dataset.classes.length]).toEqual([length, 10, 11]);
      const masks = semanticDataset(to, half);
      for (let i = 0; i < length; i++) {
        const [read, composed] = [await dataset.get(i), digitScene(source, half, i, { size: 64, seed: 9 })];
        expect({ ...read, image: null }).toEqual({ ...composed, image: null });
        expect(Buffer.from(read.image.data).equals(composed.image.data)).toBe(true);
        expect((await masks.get(i)).semantic).toEqual(composed.semantic);
      }
    }
    const before = readFileSync(join(to, "annotations", "instances_train.json"));
    expect(await main(["data", "digits-scenes", "--to", to, "--train", "1"])).toBe(2);
    expect(output).toContain("instances_train.json is there already; delete it, or name another folder");
    expect(readFileSync(join(to, "annotations", "instances_train.json"))).toEqual(before);
  });

  it("refuses sizes that have no room for digits", async () => {
    expect(await main(["data", "digits-scenes", "--to", join(folder, "no"), "--size", "8"])).toBe(2);
    expect(output).toContain("expected a whole number from 48 up");
  });
});
