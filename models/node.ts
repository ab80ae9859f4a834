/**
 * Weights from files and from the network: what of the models needs Node. Everything else of them works in a browser, and imports nothing
 * of this.
 */
import { fileURLToPath } from "node:url";
import { OpError } from "../engine/errors.js";
import { Tensor } from "../engine/tensor.js";
import { download, fileSha256 } from "./node/download.js";
import { fileSource, writeAtomically } from "./node/files.js";
import { provideWeightsLoader } from "./pretrained.js";
import { type StateValue, storeState } from "./state.js";
import { pthChunks } from "./weights/pth-write.js";
import { type ReadStateOptions, readState, type WeightsFile } from "./weights/read.js";
import { safetensorsChunks } from "./weights/safetensors.js";
import type { StoredTensor } from "./weights/stored.js";

export { cachePath, defaultCacheDir, download } from "./node/download.js";
export { fileSource, writeAtomically } from "./node/files.js";

export type { WeightsFile } from "./weights/read.js";

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
export function readWeights(path: string, options: ReadStateOptions = {}): WeightsFile {
  const source = fileSource(path);
  try {
    return readState(source, options);
  } catch (error) {
    const why = error instanceof OpError ? error.message.replace(`${error.op}: `, "") : (error as Error).message;
    throw new OpError("readWeights", `${path}: ${why}`, { cause: error });
  }
}

/** Paths, `file:` URLs, and by a download `http:` and `https:` URLs. */
provideWeightsLoader(async (source, { at, ...options }) => {
  const url = source instanceof URL ? source : /^(https?|file):\/\//.test(source) ? new URL(source) : null;
  if (url !== null && !["http:", "https:", "file:"].includes(url.protocol))
    throw new OpError("readWeights", `${url} is of no known protocol; known are http, https and file`);
  if (url?.protocol.startsWith("http")) return readWeights(await download(url.href, options), { at }).tensors;
  const path = url === null ? String(source) : fileURLToPath(url);
  const { sha256 } = options;
  if (sha256 !== undefined) {
    const sum = fileSha256(path);
    if (sum !== sha256.toLowerCase())
      throw new OpError("readWeights", `${path} has the SHA-256 checksum ${sum}, wanted is ${sha256.toLowerCase()}`);
  }
  return readWeights(path, { at }).tensors;
});

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
