/**
 * Classes of pixels as PNG files beside pictures, in ADE20K's layout: `images/{training,validation}/a.jpg` and
 * `annotations/{training,validation}/a.png`; `train` and `val` are the same.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import type { Split } from "./dataset.js";
import { decodePicture } from "./decode.js";
import { isPictureFile } from "./folder.js";
import { readLabelPng } from "./label-png.js";
import { ignoredClass, type Scene, type SceneDataset } from "./scene.js";

export interface SemanticOptions {
  /** Value 0 means that nobody knows, and value v is class v − 1, as in ADE20K's files. Default false: values are classes. */
  readonly reduceZeroLabel?: boolean;
  /** Names of the classes. Default: the lines of `classes.txt`, or ADE20K's `objectInfo150.txt`, in the data set's folder. */
  readonly classes?: readonly string[];
  /** Leave out pictures without masks, and tell `onBroken`. Default: throw at the first. */
  readonly skipBroken?: boolean;
  /** Hears of each that is left out. */
  readonly onBroken?: (why: string) => void;
}

/** A folder of masks, by the names of their pictures. */
export interface SemanticMasks {
  readonly classes: readonly string[];
  /** Why there is no mask for a picture; null where there is one. */
  problem(picture: string): string | null;
  /** [height, width]; throws OpError naming the file where it is broken, of another size, or has values that are no classes. */
  read(picture: string, width: number, height: number): Uint8Array;
}

/** Masks of classes in a folder: `<picture>.png` for each picture. */
export function semanticMasks(folder: string, classes: readonly string[], reduceZeroLabel = false): SemanticMasks {
  const pathOf = (picture: string): string => join(folder, `${basename(picture, extname(picture))}.png`);
  return {
    classes,
    problem: (picture) => (existsSync(pathOf(picture)) ? null : `there is no mask ${pathOf(picture)}`),
    read: (picture, width, height) => {
      const path = pathOf(picture);
      let bytes: Uint8Array;
      try {
        bytes = readFileSync(path);
      } catch (error) {
        throw new OpError("mask", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
      }
      const map = readLabelPng(bytes, path);
      if (map.width !== width || map.height !== height)
        throw new OpError("mask", `${path} has ${map.width} × ${map.height} pixels; its picture has ${width} × ${height}`);
      // 0 becomes 255, and 255 stays.
      const data = reduceZeroLabel
        ? map.data.map((value) => (value === 0 ? ignoredClass : value === ignoredClass ? value : value - 1))
        : map.data;
      const strange = data.findIndex((value) => value >= classes.length && value !== ignoredClass);
      if (strange !== -1)
        throw new OpError(
          "mask",
          `${path}: the value at row ${Math.floor(strange / width)}, column ${strange % width} is ${map.data[strange]}; there are ${classes.length} classes`,
        );
      return data;
    },
  };
}

const splitFolders: Readonly<Record<Split, readonly string[]>> = { train: ["training", "train"], test: ["validation", "val"] };

/** Where a half of a data set lies below `folder`; throws OpError where it does not. */
export function splitFolder(folder: string, split: Split): string {
  const found = splitFolders[split].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined) throw new OpError("data", `${folder} has no folder ${splitFolders[split].join(" or ")}`);
  return found;
}

/** Names of the classes that a data set's own files tell; null where none do. */
export function classNamesIn(root: string): string[] | null {
  const lines = (name: string): string[] | null => {
    const path = join(root, name);
    return existsSync(path)
      ? readFileSync(path, "utf8")
          .split(/\r?\n/)
          .filter((line) => line.trim() !== "")
      : null;
  };
  return (
    lines("classes.txt")?.map((line) => line.trim()) ??
    lines("objectInfo150.txt")
      ?.slice(1)
      .map((line) => (line.split("\t").at(-1) ?? line).trim()) ??
    null
  );
}

/** Pictures with classes of pixels and without instances. Throws OpError where folders, masks or the classes' names are missing. */
export function semanticDataset(root: string, split: Split, options: SemanticOptions = {}): SceneDataset {
  const { reduceZeroLabel = false, classes, skipBroken = false, onBroken } = options;
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new OpError("semantic", `there is no folder ${root}`);
  const images = splitFolder(join(root, "images"), split);
  const names = classes ?? classNamesIn(root);
  if (names === null)
    throw new OpError(
      "semantic",
      `nothing says what the classes of ${root} are called; write them to ${join(root, "classes.txt")}, one a line`,
    );
  if (names.length > ignoredClass) throw new OpError("semantic", `a mask tells ${ignoredClass} classes apart; got ${names.length}`);
  const masks = semanticMasks(splitFolder(join(root, "annotations"), split), names, reduceZeroLabel);
  const files = readdirSync(images)
    .filter(isPictureFile)
    .sort()
    .filter((file) => {
      const why = masks.problem(file);
      if (why !== null && !skipBroken)
        throw new OpError("semantic", `${join(images, file)}: ${why}; mend it, or pass --skip-broken to leave such pictures out`);
      if (why !== null) onBroken?.(`${join(images, file)}: ${why}`);
      return why === null;
    });
  if (files.length === 0) throw new OpError("semantic", `${images} holds no pictures that can be used`);
  const path = (index: number): string => join(images, files[index]);
  return {
    name: images,
    length: files.length,
    categories: [],
    classes: names,
    title: path,
    get: async (index): Promise<Scene> => {
      const image = await decodePicture(readFileSync(path(index)), path(index));
      return {
        image,
        imageId: index,
        boxes: new Float32Array(0),
        labels: new Int32Array(0),
        masks: [],
        iscrowd: new Uint8Array(0),
        areas: new Float32Array(0),
        semantic: masks.read(path(index), image.width, image.height),
      };
    },
  };
}
