/** Writes scenes as an ordinary COCO data set: pictures, annotations, and masks of the classes of pixels. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { writeAtomically } from "../checkpoint.js";
import { encodePng } from "../report/gallery.js";
import { writeLabelPng } from "./label-png.js";
import { encodeRle, rleToString } from "./mask.js";
import type { Scene } from "./scene.js";

export interface WriteCocoOptions {
  /** The half, as in `images/train`. */
  readonly split: string;
  readonly categories: readonly string[];
  /** Names of the classes of pixels; written to `classes.txt`. */
  readonly classes: readonly string[];
  /** Scenes in order; each is asked for when the one before is written. */
  readonly scenes: Iterable<Scene>;
  readonly onScene?: (written: number) => void;
}

/** The annotation file of a half. */
export const annotationFile = (folder: string, split: string): string => join(folder, "annotations", `instances_${split}.json`);

/**
 * Writes `images/<split>/000001.png`, `annotations/<split>/000001.png` (classes of pixels) and, once all are there,
 * `annotations/instances_<split>.json`. Throws OpError where that file is there already.
 */
export function writeCoco(folder: string, { split, categories, classes, scenes, onScene }: WriteCocoOptions): void {
  const file = annotationFile(folder, split);
  if (existsSync(file)) throw new OpError("data", `${file} is there already; delete it, or name another folder`);
  const [images, masks] = [join(folder, "images", split), join(folder, "annotations", split)];
  for (const path of [images, masks]) mkdirSync(path, { recursive: true });
  writeFileSync(join(folder, "classes.txt"), classes.map((name) => `${name}\n`).join(""));
  const content = {
    images: [] as object[],
    annotations: [] as object[],
    categories: categories.map((name, i) => ({ id: i + 1, name })),
  };
  for (const scene of scenes) {
    const { width, height } = scene.image;
    const name = `${String(scene.imageId).padStart(6, "0")}.png`;
    writeFileSync(join(images, name), encodePng(scene.image));
    if (scene.semantic !== undefined) writeFileSync(join(masks, name), writeLabelPng({ width, height, data: scene.semantic }));
    content.images.push({ id: scene.imageId, file_name: name, width, height });
    scene.masks.forEach((mask, i) => {
      const [left, top, right, bottom] = scene.boxes.subarray(4 * i, 4 * i + 4);
      content.annotations.push({
        id: content.annotations.length + 1,
        image_id: scene.imageId,
        category_id: scene.labels[i] + 1,
        bbox: [left, top, right - left, bottom - top],
        area: scene.areas[i],
        iscrowd: scene.iscrowd[i],
        segmentation: { size: [height, width], counts: rleToString(encodeRle(mask, height, width)) },
      });
    });
    onScene?.(content.images.length);
  }
  writeAtomically(file, new TextEncoder().encode(JSON.stringify(content)));
}
