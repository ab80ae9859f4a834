/** COCO's annotations and ADE20K's masks, whole and broken. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import "../../../index.js";
import { cocoDataset, semanticDataset, semanticMasks, writeLabelPng } from "../../../train/data/index.js";
import { encodePng } from "../../../train/report/gallery.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-coco-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const picture = (width: number, height: number): Uint8Array =>
  encodePng({ width, height, channels: 3, data: new Uint8Array(3 * width * height).map((_, i) => i % 251) });
writeFileSync(join(folder, "a.png"), picture(6, 4));
writeFileSync(join(folder, "b.png"), picture(5, 5));

const whole = {
  images: [
    { id: 7, file_name: "a.png", width: 6, height: 4 },
    { id: 3, file_name: "b.png", width: 5, height: 5 },
  ],
  categories: [
    { id: 20, name: "dog" },
    { id: 4, name: "cat" },
  ],
  annotations: [
    { id: 1, image_id: 7, category_id: 20, bbox: [1, 1, 2, 2], area: 4, iscrowd: 0, segmentation: [[1, 1, 3, 1, 3, 3, 1, 3]] },
    { id: 2, image_id: 7, category_id: 4, bbox: [0, 0, 1, 4], area: 4, iscrowd: 1, segmentation: { size: [4, 6], counts: [0, 4, 20] } },
    { id: 5, image_id: 3, category_id: 4, bbox: [4, 0, 1, 5], area: 5, segmentation: { size: [5, 5], counts: "d05" } },
  ],
};
type Content = typeof whole;

let files = 0;
function write(content: unknown): string {
  const path = join(folder, `${files++}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

describe("cocoDataset", () => {
  it("reads boxes, polygons, run lengths and crowds; categories by their numbers", async () => {
    const dataset = cocoDataset(write(whole), folder);
    expect([dataset.length, dataset.categories, dataset.title(1)]).toEqual([2, ["cat", "dog"], join(folder, "b.png")]);
    const first = await dataset.get(0);
    expect([first.imageId, first.image.width, first.image.height]).toEqual([7, 6, 4]);
    expect([...first.boxes]).toEqual([1, 1, 3, 3, 0, 0, 1, 4]);
    expect([[...first.labels], [...first.iscrowd], [...first.areas]]).toEqual([
      [1, 0],
      [0, 1],
      [4, 4],
    ]);
    expect(first.masks.map((mask) => mask.join(""))).toEqual(["000000011000011000000000", "100000100000100000100000"]);
    const second = await dataset.get(1);
    expect(second.masks.map((mask) => mask.join(""))).toEqual(["0000100001000010000100001"]);
    expect([...second.labels]).toEqual([0]);
  });

  const change = (edit: (content: Content) => void): Content => {
    const copy = structuredClone(whole);
    edit(copy);
    return copy;
  };
  const annotation = (entries: Record<string, unknown>): Content => change(({ annotations }) => Object.assign(annotations[0], entries));
  const cases: readonly (readonly [string, Content, string])[] = [
    [
      "a picture that is missing",
      change(({ images }) => Object.assign(images[1], { file_name: "c.png" })),
      "image id 3: there is no picture",
    ],
    ["an image twice", change(({ images }) => images.push(images[0])), "image id 7: another image has the same id"],
    ["an image without a size", change(({ images }) => Object.assign(images[0], { width: 0 })), "image id 7: its size is 0 × 4"],
    [
      "an annotation twice",
      change(({ annotations }) => annotations.push(annotations[0])),
      "annotation id 1: another annotation has the same id",
    ],
    [
      "a category twice",
      change(({ categories }) => categories.push({ id: 4, name: "cow" })),
      "category id 4: another category has the same id",
    ],
    [
      "a name twice",
      change(({ categories }) => categories.push({ id: 5, name: "cat" })),
      "category id 5: another category is called cat, too",
    ],
    ["an unknown image", annotation({ image_id: 9 }), "annotation id 1: there is no image 9"],
    ["an unknown category", annotation({ category_id: 1 }), "annotation id 1: there is no category 1"],
    ["a box outside", annotation({ bbox: [3, 1, 5, 2] }), "annotation id 1: its box [3, 1, 5, 2] reaches out of the picture of 6 × 4"],
    ["a box without extent", annotation({ bbox: [1, 1, 0, 2] }), "annotation id 1: its box is 0 × 2; expected an extent"],
    ["a box of three numbers", annotation({ bbox: [1, 1, 2] }), "annotation id 1: its bbox is [1,1,2]"],
    ["a polygon of two points", annotation({ segmentation: [[1, 1, 2, 2]] }), "annotation id 1: polygon 0 is [1,1,2,2]"],
    ["no polygon", annotation({ segmentation: [] }), "annotation id 1: its segmentation has no polygon"],
    ["runs that do not fill", annotation({ segmentation: { size: [4, 6], counts: [1, 2] } }), "malformed RLE: the runs make 3 pixels"],
    ["runs for another size", annotation({ segmentation: { size: [6, 4], counts: [24] } }), "malformed RLE: it is for 6 × 4"],
    ["a text that is cut off", annotation({ segmentation: { size: [4, 6], counts: "X" } }), "malformed RLE: the text ends within a run"],
    ["no segmentation", annotation({ segmentation: undefined }), 'annotation id 1: it has no "segmentation"'],
    ["a strange crowd", annotation({ iscrowd: 2 }), "annotation id 1: its iscrowd is 2"],
    ["an area below 0", annotation({ area: -1 }), "annotation id 1: its area is -1"],
  ];
  it.each(cases)("refuses %s with file, record and reason, or leaves it out and says so", (_, content, reason) => {
    const file = write(content);
    expect(() => cocoDataset(file, folder)).toThrow(
      `coco: ${file}: ${reason.startsWith("malformed") ? `annotation id 1: ${reason}` : reason}`,
    );
    const left: string[] = [];
    const dataset = cocoDataset(file, folder, { skipBroken: true, onBroken: (why) => left.push(why) });
    expect(left[0]).toContain(reason);
    expect(dataset.length).toBe(reason.startsWith("image id 7: its") || reason.startsWith("image id 3") ? 1 : 2);
  });

  it("leaves out the annotations of a picture that is left out", () => {
    const left: string[] = [];
    const content = change(({ images }) => Object.assign(images[0], { file_name: "c.png" }));
    cocoDataset(write(content), folder, { skipBroken: true, onBroken: (why) => left.push(why) });
    expect(left.map((why) => why.replace(/^.*json: /, ""))).toEqual([
      `image id 7: there is no picture ${join(folder, "c.png")}`,
      "annotation id 1: its image 7 is left out",
      "annotation id 2: its image 7 is left out",
    ]);
  });

  it("cuts off what stands out by less than a pixel", async () => {
    const dataset = cocoDataset(write(annotation({ bbox: [-0.5, 1, 6.75, 3.25] })), folder);
    expect([...(await dataset.get(0)).boxes].slice(0, 4)).toEqual([0, 1, 6, 4]);
  });

  it("refuses files that hold something else, and pictures of another size", async () => {
    expect(() => cocoDataset(join(folder, "none.json"), folder)).toThrow("coco: cannot read");
    expect(() => cocoDataset(write("{"), folder)).toThrow("coco: cannot read");
    expect(() => cocoDataset(write({ images: [], annotations: [] }), folder)).toThrow('has no list "categories"');
    expect(() => cocoDataset(write({ ...whole, images: [], annotations: [] }), folder)).toThrow("names no picture that can be used");
    const dataset = cocoDataset(write(change(({ images }) => Object.assign(images[0], { width: 9 }))), folder, { skipBroken: true });
    await expect(dataset.get(0)).rejects.toThrow(/a\.png has 6 × 4 pixels; .*json says 9 × 4 of image 7/);
  });

  it("brings the classes of pixels along", async () => {
    const masks = join(folder, "masks");
    mkdirSync(masks);
    writeFileSync(join(masks, "a.png"), writeLabelPng({ width: 6, height: 4, data: new Uint8Array(24).fill(1) }));
    const semantic = semanticMasks(masks, ["ground", "dog"]);
    expect(() => cocoDataset(write(whole), folder, { semantic })).toThrow("image id 3: there is no mask");
    const dataset = cocoDataset(write(whole), folder, { semantic, skipBroken: true });
    expect(dataset.classes).toEqual(["ground", "dog"]);
    expect(new Set((await dataset.get(0)).semantic)).toEqual(new Set([1]));
  });
});

describe("semanticDataset", () => {
  const root = join(folder, "ade");
  for (const split of ["training", "validation"])
    for (const kind of ["images", "annotations"]) mkdirSync(join(root, kind, split), { recursive: true });
  const put = (split: string, values: readonly number[]): void => {
    writeFileSync(join(root, "images", split, "x.png"), picture(3, 2));
    writeFileSync(join(root, "annotations", split, "x.png"), writeLabelPng({ width: 3, height: 2, data: Uint8Array.from(values) }));
  };
  put("training", [0, 1, 2, 2, 255, 0]);
  put("validation", [0, 1, 2, 3, 2, 0]);

  it("reads pictures with masks; 0 may stand for what nobody knows", async () => {
    expect(() => semanticDataset(root, "train")).toThrow(`write them to ${join(root, "classes.txt")}, one a line`);
    writeFileSync(join(root, "classes.txt"), "wall\nsky\ntree\n");
    const plain = semanticDataset(root, "train");
    expect([plain.length, plain.classes]).toEqual([1, ["wall", "sky", "tree"]]);
    expect([...((await plain.get(0)).semantic as Uint8Array)]).toEqual([0, 1, 2, 2, 255, 0]);
    const reduced = semanticDataset(root, "train", { reduceZeroLabel: true });
    expect([...((await reduced.get(0)).semantic as Uint8Array)]).toEqual([255, 0, 1, 1, 255, 255]);
    expect([...((await semanticDataset(root, "test", { reduceZeroLabel: true }).get(0)).semantic as Uint8Array)]).toEqual([
      255, 0, 1, 2, 1, 255,
    ]);
  });

  it("refuses values that are no classes, and pictures without masks", async () => {
    await expect(semanticDataset(root, "test").get(0)).rejects.toThrow("the value at row 1, column 0 is 3; there are 3 classes");
    writeFileSync(join(root, "images", "training", "y.png"), picture(3, 2));
    expect(() => semanticDataset(root, "train")).toThrow("y.png: there is no mask");
    const left: string[] = [];
    expect(semanticDataset(root, "train", { skipBroken: true, onBroken: (why) => left.push(why) }).length).toBe(1);
    expect(left).toHaveLength(1);
    writeFileSync(join(root, "annotations", "training", "y.png"), writeLabelPng({ width: 2, height: 2, data: new Uint8Array(4) }));
    await expect(semanticDataset(root, "train").get(1)).rejects.toThrow("y.png has 2 × 2 pixels; its picture has 3 × 2");
    expect(() => semanticDataset(join(folder, "nowhere"), "train")).toThrow("there is no folder");
  });
});
