/** `crabro visualize`: PNG files of what networks see, and pictures that cannot be read. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pngjs from "pngjs";
import { afterAll, describe, expect, it } from "vitest";
import { visualize } from "../../cli/commands/visualize.js";
import { arranged, blended, createModel, enlarged, heatMap, labelMap, slotPicture } from "../../models/index.js";
import { saveWeights } from "../../models/node.js";
import type { Picture } from "../../models/picture.js";
import { encodePng } from "../../train/report/gallery.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-visualize-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

/** Red in the left half, blue in the right. */
const halves = (width: number, height: number): Picture => ({
  width,
  height,
  channels: 3,
  data: Uint8Array.from({ length: 3 * width * height }, (_, i) => ((Math.floor(i / 3) % width < width / 2 ? 0 : 2) === i % 3 ? 255 : 0)),
});
const pixel = ({ width, data }: Picture, x: number, y: number): number[] => [...data.slice(3 * (y * width + x), 3 * (y * width + x) + 3)];

describe("visualize", () => {
  it("draws the orders of each gnConv asked for, the network's picture first", async () => {
    writeFileSync(path("in.png"), encodePng(halves(80, 60)));
    await saveWeights(path("weights.pth"), createModel("hornet_micro_7x7").stateDict(), { at: "model" });
    const common = { model: "hornet_micro_7x7", image: path("in.png"), device: "cpu", weights: path("weights.pth") };
    const files = await visualize({ ...common, out: path("out"), layer: "stages.2.*" });
    expect(files.map((file) => file.slice(path("out").length + 1))).toEqual(["stages.2.0.gnconv.png", "stages.2.1.gnconv.png"]);
    const drawn = pngjs.PNG.sync.read(readFileSync(files[0]));
    expect([drawn.width, drawn.height]).toEqual([5 * 32 + 4 * 4, 32]); // the picture and four orders
    expect([...drawn.data.slice(0, 4)]).toEqual([255, 0, 0, 255]);
    const map = drawn.data.subarray(4 * 36, 4 * 68); // the first row of the first order
    expect(new Set(map).size).toBeGreaterThan(4);
    await expect(visualize({ ...common, out: path("none"), layer: "stages.9.*" })).rejects.toThrow('is named stages.9.*; try "stages.2.*"');
    await expect(visualize({ ...common, image: path("none.png"), out: path("none"), layer: "*" })).rejects.toThrow("cannot read");
    await expect(visualize({ ...common, image: path("weights.pth"), out: path("none"), layer: "*" })).rejects.toThrow(
      "is no JPEG, PNG or WebP",
    );
    await expect(visualize({ ...common, model: "hornet_micro_gf", out: path("none"), layer: "*" })).rejects.toThrow("does not fit HorNet");
    expect(existsSync(path("none"))).toBe(false);
  });
});

describe("pictures", () => {
  it("show values from dark to bright, labels in colours, and what is no number in grey", () => {
    const map = heatMap([0, 1, Number.NaN, 0.5], [2, 2]);
    expect([pixel(map, 0, 0), pixel(map, 1, 0), pixel(map, 0, 1)]).toEqual([[0x44, 0x01, 0x54], [0xfd, 0xe7, 0x25], [128, 128, 128]]); // biome-ignore format: three pixels
    expect(heatMap([3, 3], [1, 2]).data.slice(0, 3)).toEqual(map.data.slice(0, 3));
    expect(() => heatMap([1], [2, 2])).toThrow("1 values do not fill 2 × 2 pixels");
    const labels = labelMap([0.9, 0.2, 0.1, 0.8], [2, 1, 2]);
    expect(pixel(labels, 0, 0)).not.toEqual(pixel(labels, 1, 0));
    expect(enlarged(labels, [2, 4]).data.slice(0, 6)).toEqual(Uint8Array.of(...pixel(labels, 0, 0), ...pixel(labels, 0, 0)));
  });

  it("stand beside each other on white", () => {
    const one = halves(2, 2);
    const both = arranged([one, one, one], 2, 1);
    expect([both.width, both.height, pixel(both, 2, 0), pixel(both, 3, 3)]).toEqual([5, 5, [255, 255, 255], [255, 255, 255]]);
    expect(pixel(blended(one, one), 0, 0)).toEqual([255, 0, 0]);
    expect(() => blended(one, halves(3, 2))).toThrow("pictures of one size are wanted; got 2 × 2 and 3 × 2");
    const slots = slotPicture(halves(8, 8), new Float32Array(4 * 4).fill(0.25), [4, 2, 2]);
    expect([slots.width, slots.height]).toEqual([3 * 9 + 2 * 4, 9]);
  });
});
