/**
 * Weights from files and from the network: what of the models needs Node. Everything else of them works in a browser, and imports nothing
 * of this.
 */
import { OpError } from "../engine/errors.js";
import { Tensor } from "../engine/tensor.js";
import { fileSource, writeAtomically } from "./node/files.js";
import { type StateValue, storeState } from "./state.js";
import { pthState, readPth } from "./weights/pth.js";
import { pthChunks } from "./weights/pth-write.js";
import { readSafetensors, safetensorsChunks } from "./weights/safetensors.js";
import type { ByteSource } from "./weights/source.js";
import type { StoredTensor } from "./weights/stored.js";
import { isZip, type ZipOptions } from "./weights/zip.js";

export { fileSource, writeAtomically } from "./node/files.js";

export interface WeightsFile {
  /** By name, in the file's order. Values are read from the file when they are asked for. */
  readonly tensors: Map<string, StoredTensor>;
  readonly format: "safetensors" | "pth";
  /** Of safetensors files. */
  readonly metadata: ReadonlyMap<string, string>;
}

export interface ReadWeightsOptions extends ZipOptions {
  /** Where in a PyTorch file the state lies, such as `model_ema`; by default where checkpoints have it (see `pthState`). */
  readonly at?: string;
}

/** Whether a file begins as PyTorch's do: as a zip archive, or as a pickle (a safetensors file has its `{` at byte 8). */
function isPth(source: ByteSource): boolean {
  const start = source.view(0, Math.min(9, source.length));
  return isZip(start) || (start[0] === 0x80 && start[8] !== 0x7b);
}

/**
 * Tensors by name of a file of weights, safetensors or PyTorch's; the contents decide, not the name. Names, shapes and checksums are checked
 * at once; values are read when they are asked for, each straight to its place, so that a checkpoint takes little more memory than the
 * tensors that are used of it.
 *
 * ```ts
 * import { createModel } from "crabro/models";
 * import { readWeights, saveWeights } from "crabro/models/node";
 *
 * const trained = createModel("hornet_micro_7x7");
 * await saveWeights("/tmp/crabro-example.pth", trained.stateDict());
 * const model = createModel("hornet_micro_7x7", { meta: true });
 * model.loadStateDict(readWeights("/tmp/crabro-example.pth").tensors);
 * ```
 *
 * Every failure is an OpError of one line that names the file and the reason.
 */
export function readWeights(path: string, { at, ...options }: ReadWeightsOptions = {}): WeightsFile {
  const source = fileSource(path);
  if (source.length === 0) throw new OpError("readWeights", `${path} is empty`);
  const pth = isPth(source);
  if (!pth && at !== undefined)
    throw new OpError("readWeights", `${path} is a safetensors file, which holds one state; there is no ${at} in it`);
  try {
    if (pth) return { tensors: pthState(readPth(source, options), { at }), format: "pth", metadata: new Map() };
    return { ...readSafetensors(source), format: "safetensors" };
  } catch (error) {
    const why = error instanceof OpError ? error.message.replace(`${error.op}: `, "") : (error as Error).message;
    throw new OpError("readWeights", `${path}${pth ? "" : " is not a whole safetensors file"}: ${why}`, { cause: error });
  }
}

export interface WriteWeightsOptions {
  /** In a PyTorch file: put the state under this key of a dictionary, such as `model`. */
  readonly at?: string;
  /** In a safetensors file, besides `format: pt`. */
  readonly metadata?: Iterable<readonly [string, string]>;
}

/**
 * Writes stored tensors to a file whose name ends in `.safetensors`, `.pth` or `.pt`, one after the other: no more than one is in memory.
 * The file is whole or not there. Throws OpError for other endings, and for options that the format has no place for.
 */
export function writeWeights(
  path: string,
  tensors: Iterable<readonly [string, StoredTensor]>,
  { at, metadata }: WriteWeightsOptions = {},
): void {
  if (path.endsWith(".safetensors")) {
    if (at !== undefined) throw new OpError("writeWeights", `${path}: a safetensors file holds one state; it has no place for ${at}`);
    writeAtomically(path, safetensorsChunks(tensors, new Map([["format", "pt"], ...(metadata ?? [])])));
  } else if (/\.pth?$/.test(path)) {
    if (metadata !== undefined) throw new OpError("writeWeights", `${path}: only safetensors files have metadata`);
    writeAtomically(path, pthChunks(tensors, { at }));
  } else throw new OpError("writeWeights", `${path}: the name decides the format; let it end in .safetensors, .pth or .pt`);
}

/** The same for a model's state: `await saveWeights("tiny.pth", model.stateDict())`. `torch.load` reads it, with `strict=True`. */
export async function saveWeights(
  path: string,
  state: Iterable<readonly [string, StateValue]>,
  options: WriteWeightsOptions = {},
): Promise<void> {
  const entries = [...state];
  const own = await storeState(entries.filter((entry): entry is readonly [string, Tensor] => entry[1] instanceof Tensor));
  writeWeights(
    path,
    entries.map(([name, value]) => [name, value instanceof Tensor ? (own.get(name) as StoredTensor) : value]),
    options,
  );
}
