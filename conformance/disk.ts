/** Folders of reference cases on a disk. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runFileCase } from "./files.js";
import { type FileSource, Folder, UsageError } from "./folder.js";

/** Throws UsageError where there is no folder of cases at this path. */
export function openFolder(path: string): Folder {
  if (!existsSync(path) || !statSync(path).isDirectory()) throw new UsageError(`there is no folder ${path}`);
  const source: FileSource = {
    path,
    has: (file) => existsSync(join(path, file)),
    list: (folder) => (existsSync(join(path, folder)) ? readdirSync(join(path, folder)).sort() : []),
    bytes: (file) => readFileSync(join(path, file)),
    runFile: (file, test) => runFileCase(path, file, test),
  };
  return new Folder(source);
}
