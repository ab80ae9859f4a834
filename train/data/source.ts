/** Data sets from what describes them. */
import { openBytes } from "./bytes.js";
import { type Dataset, firstOf, type Source } from "./dataset.js";
import { openFiles } from "./folder.js";
import { synthetic } from "./synthetic.js";
import { texturedDigits } from "./textured-digits.js";

/** Opens the data set that a source describes. */
export function openSource(source: Source): Dataset {
  switch (source.kind) {
    case "bytes":
      return openBytes(source);
    case "files":
      return openFiles(source);
    case "synthetic":
      return synthetic(source);
    case "textured":
      return texturedDigits(openSource(source.of), source.split, source);
    case "part":
      return firstOf(openSource(source.of), source.length);
  }
}
