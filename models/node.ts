/** Weights from files: what of the models needs Node. Everything else of them works in a browser. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { OpError } from "../engine/errors.js";
import { pthState, readPth } from "./weights/pth.js";
import { readSafetensors } from "./weights/safetensors.js";
import type { StoredTensor } from "./weights/stored.js";
import { isZip } from "./weights/zip.js";

export interface WeightsFile {
  readonly tensors: Map<string, StoredTensor>;
  readonly format: "safetensors" | "pth";
  /** Of safetensors files. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** More than a read of the system may ask for at once. */
const chunk = 1 << 30;

/** A whole file, of any size that fits into memory. */
export function readBytes(path: string): Uint8Array {
  let file: number | null = null;
  try {
    file = openSync(path, "r");
    const bytes = new Uint8Array(fstatSync(file).size);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(file, bytes, at, Math.min(chunk, bytes.length - at), at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } catch (error) {
    throw new OpError("readWeights", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** Whether bytes begin as PyTorch's files do: as a zip archive, or as a pickle (a safetensors file has its `{` at byte 8). */
export const isPth = (bytes: Uint8Array): boolean => isZip(bytes) || (bytes[0] === 0x80 && bytes[8] !== 0x7b);

/**
 * Tensors by name of a file of weights, safetensors or PyTorch's; the contents decide, not the name (only an empty file is judged by it).
 * `at`: where in a PyTorch file the state lies, such as `model_ema`; by default where checkpoints have it (see `pthState`).
 *
 * ```ts
 * model.loadStateDict(readWeights("hornet_tiny_7x7.pth").tensors);
 * ```
 *
 * Every failure is an OpError of one line that names the file and the reason.
 */
export function readWeights(path: string, { at }: { readonly at?: string } = {}): WeightsFile {
  const bytes = readBytes(path);
  if (bytes.length === 0) throw new OpError("readWeights", `${path} is empty`);
  const pth = isPth(bytes);
  if (!pth && at !== undefined)
    throw new OpError("readWeights", `${path} is a safetensors file, which holds one state; there is no ${at} in it`);
  try {
    if (pth) return { tensors: pthState(readPth(bytes), { at }), format: "pth", metadata: new Map() };
    return { ...readSafetensors(bytes), format: "safetensors" };
  } catch (error) {
    const why = error instanceof OpError ? error.message.replace(`${error.op}: `, "") : (error as Error).message;
    throw new OpError("readWeights", `${path}${pth ? "" : " is not a whole safetensors file"}: ${why}`, { cause: error });
  }
}
