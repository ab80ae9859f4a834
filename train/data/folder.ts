/** Folders of pictures: one folder a class, below `train` and `val` (or `validation`, `test`). */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { OpError } from "../../engine/errors.js";
import type { Dataset, FilesSource, Split } from "./dataset.js";
import { decodePicture } from "./decode.js";
import { readTokenMap } from "./token-map-file.js";

/** Mean and deviation of ImageNet's pixels, with which the published networks were trained. */
export const imagenetStatistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** Endings of pictures' names, in lower case. */
export const pictureExtensions: readonly string[] = [".jpg", ".jpeg", ".png", ".webp"];

const splitFolders: Readonly<Record<Split, readonly string[]>> = { train: ["train"], test: ["val", "validation", "test"] };

/** Whether a file's name is that of a picture. */
export function isPictureFile(name: string): boolean {
  return pictureExtensions.includes(extname(name).toLowerCase()) && !name.startsWith(".");
}

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * One half of a folder of pictures. Classes are the folders' names in order; pictures may lie in folders below. `classNames` are those
 * of the training half, so that both number them alike. `tokenLabels` is the folder of the pictures' token labels.
 */
export function imageFolder(root: string, split: Split, classNames?: readonly string[], tokenLabels: string | null = null): Dataset {
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new OpError("imageFolder", `there is no folder ${root}`);
  const folder = splitFolders[split].map((name) => join(root, name)).find((path) => existsSync(path));
  if (folder === undefined)
    throw new OpError(
      "imageFolder",
      `${root} has no folder ${splitFolders[split].join(" or ")}; expected ${splitFolders[split][0]}/<class>/<picture> in it`,
    );
  const found = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  const own = found.map(({ name }) => name).sort(byName);
  const names = classNames ?? own;
  const strange = own.find((name) => !names.includes(name));
  if (strange !== undefined) throw new OpError("imageFolder", `${join(folder, strange)} is a class that the training half has not`);
  const files: string[] = [];
  const labels: number[] = [];
  for (const name of own) {
    const inside = readdirSync(join(folder, name), { recursive: true, encoding: "utf8" });
    for (const file of inside.filter((path) => isPictureFile(path.split(/[/\\]/).at(-1) as string)).sort(byName)) {
      files.push(join(name, file));
      labels.push(names.indexOf(name));
    }
  }
  if (files.length === 0)
    throw new OpError("imageFolder", `${folder} holds no pictures; expected ${folder}/<class>/<picture>, ${pictureExtensions.join(", ")}`);
  return openFiles({ kind: "files", name: folder, folder, files, labels: Int32Array.from(labels), classNames: names, tokenLabels });
}

/** A data set of files that are decoded when they are wanted. */
export function openFiles(source: FilesSource): Dataset {
  const { name, folder, files, labels, classNames, tokenLabels } = source;
  const path = (index: number): string => join(folder, files[index]);
  // Names end at their first point, as their makers have it.
  const mapPath = (labelFolder: string, index: number): string =>
    join(labelFolder, classNames[labels[index]], `${basename(files[index]).split(".")[0]}.pt`);
  return {
    name,
    length: files.length,
    numClasses: classNames.length,
    classNames,
    channels: 3,
    ...imagenetStatistics,
    side: null,
    source,
    title: path,
    label: (index) => labels[index],
    picture: (index) => decodePicture(readFileSync(path(index)), path(index)),
    ...(tokenLabels === null ? {} : { tokenMap: (index: number) => readTokenMap(mapPath(tokenLabels, index), classNames.length) }),
  };
}
