/** Pictures with things in them: what detection and segmentation learn from, and what a detector says. */
import type { Picture } from "../augment/picture.js";

/** A picture and the instances in it, in pixels of the picture. */
export interface Scene {
  readonly image: Picture;
  /** Its number in the annotation file. */
  readonly imageId: number;
  /** [n, 4], left, top, right, bottom; right and bottom are where the box ends (exclusive). */
  readonly boxes: Float32Array;
  /** [n], from 0: places in the data set's `categories`. */
  readonly labels: Int32Array;
  /** [n] bitmaps of height × width, row by row: 1 on the instance, 0 elsewhere. */
  readonly masks: readonly Uint8Array[];
  /** [n], 1 where a region stands for a crowd of instances. */
  readonly iscrowd: Uint8Array;
  /** [n], as the annotation file says: pixels of the instance. */
  readonly areas: Float32Array;
  /** height × width classes; 255 where nobody knows. */
  readonly semantic?: Uint8Array;
}

/** What is ignored in semantic masks. */
export const ignoredClass = 255;

/** Scenes by number. */
export interface SceneDataset {
  readonly name: string;
  readonly length: number;
  /** Names of what is labelled. */
  readonly categories: readonly string[];
  /** Names of the classes of `semantic`; empty where scenes have none. */
  readonly classes: readonly string[];
  /** Where scene `index` is found, for messages. */
  title(index: number): string;
  /** Throws OpError naming the file where the scene cannot be read. */
  get(index: number): Promise<Scene>;
}

/** What a detector finds in a picture, in its pixels, best first. */
export interface Detections {
  readonly imageId: number;
  /** [n, 4], left, top, right, bottom. */
  readonly boxes: Float32Array;
  /** [n] */
  readonly scores: Float32Array;
  /** [n], from 0. */
  readonly labels: Int32Array;
  /** [n] bitmaps of height × width. */
  readonly masks?: readonly Uint8Array[];
}

/** The first `length` scenes of a data set; all where it is undefined. */
export const firstScenes = (dataset: SceneDataset, length: number | undefined): SceneDataset =>
  length === undefined || length >= dataset.length
    ? dataset
    : { ...dataset, length, title: (index) => dataset.title(index), get: (index) => dataset.get(index) };

/** The same scenes, of which those read first stay in memory, up to so many bytes of pictures and masks. */
export function keptScenes(dataset: SceneDataset, bytes: number): SceneDataset {
  const kept = new Map<number, Scene>();
  let room = bytes;
  return {
    ...dataset,
    title: (index) => dataset.title(index),
    get: async (index) => {
      const known = kept.get(index);
      if (known !== undefined) return known;
      const scene = await dataset.get(index);
      const { image, labels, semantic } = scene;
      room -= image.data.length + (labels.length * image.width * image.height + (semantic?.length ?? 0));
      if (room >= 0) kept.set(index, scene);
      return scene;
    },
  };
}
