/** What a detector finds in pictures, drawn on them. */
import { mkdirSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { fromHost } from "../../index.js";
import { Detector, type DetectorOptions, inPicture, maskRCNN } from "../../models/detection/index.js";
import type { StoredTensor } from "../../models/weights/stored.js";
import { Draws } from "../../train/augment/draws.js";
import { transformScene, writePlanes } from "../../train/augment/scene-transform.js";
import { type ModelCard, writeAtomically } from "../../train/checkpoint.js";
import { drawDetections } from "../../train/report/draw.js";
import { encodePng } from "../../train/report/gallery.js";
import { openDevice } from "./open-device.js";
import { bareScene, pictureAt } from "./predict-scenes.js";

export interface DetectedPicture {
  readonly file: string;
  /** The file in which boxes, masks and names are drawn. */
  readonly drawn: string;
  /** Best first; boxes are left, top, right, bottom in pixels of the picture. */
  readonly objects: readonly { readonly class: string; readonly score: number; readonly box: readonly number[] }[];
}

/** Finds objects in pictures one by one, and writes each with those of at least `minScore` as `<output>/<name>.png`. */
export async function* detected(
  files: readonly string[],
  checkpoint: string,
  { design, sceneTransform, classNames = [] }: ModelCard,
  tensors: ReadonlyMap<string, StoredTensor>,
  { output, device: name, minScore }: { readonly output: string; readonly device: string; readonly minScore: number },
): AsyncGenerator<DetectedPicture> {
  if (design === undefined || sceneTransform === undefined)
    throw new OpError("predict", `${checkpoint} does not say how its network is built`);
  const device = await openDevice(name);
  try {
    const model = maskRCNN({ ...(design as unknown as DetectorOptions), meta: true });
    model.loadStateDict(tensors);
    const detector = new Detector(model);
    mkdirSync(output, { recursive: true });
    const [height, width] = sceneTransform.size;
    for (const file of files) {
      const image = await pictureAt(file);
      const { scene, scale } = transformScene(bareScene(image), sceneTransform, new Draws(0, "sample", 0, 0));
      const planes = new Float32Array(sceneTransform.channels * height * width);
      writePlanes(scene, sceneTransform, planes, 0);
      const images = fromHost(planes, [1, sceneTransform.channels, height, width], "float32", device);
      const [raw] = await detector.detect(images, [scene.image]);
      const found = { imageId: 0, ...inPicture(raw, image, scale) };
      const drawn = join(output, `${basename(file, extname(file))}.png`);
      writeAtomically(drawn, encodePng(drawDetections(image, found, classNames, minScore)));
      const objects = Array.from(found.labels, (label, i) => ({
        class: classNames[label] ?? String(label),
        score: found.scores[i],
        box: Array.from(found.boxes.subarray(4 * i, 4 * i + 4), (side) => Math.round(10 * side) / 10),
      })).filter(({ score }) => score >= minScore);
      yield { file, drawn, objects };
    }
  } finally {
    await device.close();
  }
}
