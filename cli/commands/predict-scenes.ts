/** What a network of segmentation says of pictures, drawn on them. */
import { mkdirSync, readFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { fromHost, noGrad } from "../../index.js";
import { type SegmentorOptions, segmentor } from "../../models/segmentor.js";
import type { StoredTensor } from "../../models/weights/stored.js";
import { Draws } from "../../train/augment/draws.js";
import type { Picture } from "../../train/augment/picture.js";
import { transformScene, writePlanes } from "../../train/augment/scene-transform.js";
import { type ModelCard, writeAtomically } from "../../train/checkpoint.js";
import { decodePicture } from "../../train/data/decode.js";
import type { Scene } from "../../train/data/scene.js";
import { drawClasses } from "../../train/report/draw.js";
import { encodePng } from "../../train/report/gallery.js";
import { toOriginal } from "../../train/segment.js";
import { openDevice } from "./open-device.js";

/** A picture without anything known of it. */
export const bareScene = (image: Picture): Scene => ({
  image,
  imageId: 0,
  boxes: new Float32Array(0),
  labels: new Int32Array(0),
  masks: [],
  iscrowd: new Uint8Array(0),
  areas: new Float32Array(0),
});

/** Reads and decodes a picture; throws OpError that names it. */
export async function pictureAt(file: string): Promise<Picture> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new OpError("predict", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  return decodePicture(bytes, file);
}

export interface SegmentedPicture {
  readonly file: string;
  /** The file in which the classes are drawn. */
  readonly drawn: string;
  /** Shares of the pixels, the largest first. */
  readonly classes: readonly { readonly class: string; readonly share: number }[];
}

/** Segments pictures one by one, and writes each with its classes as `<output>/<name>.png`. */
export async function* segmented(
  files: readonly string[],
  checkpoint: string,
  { design, sceneTransform, sliding, classNames = [] }: ModelCard,
  tensors: ReadonlyMap<string, StoredTensor>,
  { topk, output, device: name }: { readonly topk: number; readonly output: string; readonly device: string },
): AsyncGenerator<SegmentedPicture> {
  if (design === undefined || sceneTransform === undefined)
    throw new OpError("predict", `${checkpoint} does not say how its network is built`);
  const device = await openDevice(name);
  try {
    const model = segmentor({ ...(design as unknown as SegmentorOptions), meta: true });
    model.loadStateDict(tensors);
    model.eval();
    mkdirSync(output, { recursive: true });
    const [height, width] = sceneTransform.size;
    for (const file of files) {
      const image = await pictureAt(file);
      const { scene } = transformScene(bareScene(image), sceneTransform, new Draws(0, "sample", 0, 0));
      const planes = new Float32Array(sceneTransform.channels * height * width);
      writePlanes(scene, sceneTransform, planes, 0);
      const images = fromHost(planes, [1, sceneTransform.channels, height, width], "float32", device);
      const said = await noGrad(() =>
        (sliding === undefined ? model.forward(images) : model.forwardSliding(images, sliding)).argmax({ dim: 1 }),
      ).data();
      const scale = [scene.image.height / image.height, scene.image.width / image.width] as const;
      const classes = toOriginal(said, width, scale, [image.height, image.width]);
      const drawn = join(output, `${basename(file, extname(file))}.png`);
      writeAtomically(drawn, encodePng(drawClasses(image, classes, classNames)));
      yield { file, drawn, classes: sharesOf(classes, classNames).slice(0, topk) };
    }
  } finally {
    await device.close();
  }
}

function sharesOf(classes: Uint8Array, names: readonly string[]): { readonly class: string; readonly share: number }[] {
  const counts = new Map<number, number>();
  for (const label of classes) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || a - b)
    .map(([label, count]) => ({ class: names[label] ?? String(label), share: count / classes.length }));
}
