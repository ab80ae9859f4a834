/**
 * Token labels as they are published (Jiang et al., "All Tokens Matter", 2021): for each picture a PyTorch file `<class>/<name>.pt` with one
 * tensor [2, k, H, W]: the k largest scores at each place of a teacher's last map, and the classes they are of.
 */
import { readFileSync } from "node:fs";
import { OpError } from "../../engine/errors.js";
import { showShape } from "../../engine/shape.js";
import { PthTensor, readPth } from "../../models/weights/pth.js";
import { toTypedArray } from "../../models/weights/stored.js";
import type { TokenMap } from "./token-map.js";

/** Reads the token labels of a picture. Throws OpError, naming the file, where it is missing, damaged or something else. */
export function readTokenMap(path: string, numClasses: number): TokenMap {
  const refuse = (why: string, cause?: unknown): OpError => new OpError("tokenLabels", `${path}: ${why}`, { cause });
  let tensor: ReturnType<typeof readPth>;
  try {
    tensor = readPth(readFileSync(path));
  } catch (error) {
    throw refuse((error as Error).message.replace(/^readPth: /, ""), error);
  }
  if (!(tensor instanceof PthTensor)) throw refuse("expected one tensor [2, k, H, W]");
  const [two, best, height, width] = tensor.shape;
  if (tensor.shape.length !== 4 || two !== 2 || best * height * width === 0)
    throw refuse(`expected a tensor [2, k, H, W], scores and classes; got ${showShape(tensor.shape)}`);
  const values = toTypedArray(tensor, "float32") as Float32Array;
  const size = best * height * width;
  const classes = Int32Array.from(values.subarray(size));
  const strange = classes.findIndex((label, i) => label !== values[size + i] || label < 0 || label >= numClasses);
  if (strange !== -1) throw refuse(`it names class ${values[size + strange]}; expected whole numbers from 0 to ${numClasses - 1}`);
  return { best, height, width, scores: values.slice(0, size), classes };
}
