/** The state in a file of weights, of either format. */
import { OpError } from "../../engine/errors.js";
import { pthState, readPth } from "./pth.js";
import { readSafetensors } from "./safetensors.js";
import { type ByteSource, sourceOf } from "./source.js";
import type { StoredTensor } from "./stored.js";
import { isZip, type ZipOptions } from "./zip.js";

/** A file of weights. */
export interface WeightsFile {
  /** By name, in the file's order. Of files, values are read when they are asked for. */
  readonly tensors: Map<string, StoredTensor>;
  readonly format: "safetensors" | "pth";
  /** Of safetensors files. */
  readonly metadata: ReadonlyMap<string, string>;
}

export interface ReadStateOptions extends ZipOptions {
  /** Where in a PyTorch file the state lies, such as `model_ema`; by default where checkpoints have it (see `pthState`). */
  readonly at?: string;
}

/** Whether a file begins as PyTorch's do: as a zip archive, or as a pickle (a safetensors file has its `{` at byte 8). */
function isPth(source: ByteSource): boolean {
  const start = source.view(0, Math.min(9, source.length));
  return isZip(start) || (start[0] === 0x80 && start[8] !== 0x7b);
}

/** Reads safetensors and PyTorch's files; the contents decide which. Throws OpError, in one line, for anything else. */
export function readState(input: Uint8Array | ByteSource, { at, checksums }: ReadStateOptions = {}): WeightsFile {
  const source = sourceOf(input);
  if (source.length === 0) throw new OpError("readState", "the file is empty");
  if (isPth(source)) return { tensors: pthState(readPth(source, { checksums }), { at }), format: "pth", metadata: new Map() };
  if (at !== undefined) throw new OpError("readState", `a safetensors file holds one state; there is no ${at} in it`);
  try {
    return { ...readSafetensors(source), format: "safetensors" };
  } catch (error) {
    const why = (error as Error).message.replace(/^readSafetensors: /, "");
    throw new OpError("readState", `it is not a whole safetensors file: ${why}`, { cause: error });
  }
}
