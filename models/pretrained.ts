/** Trained weights for a model: where they come from, and how they are made to fit. */
import { OpError } from "../engine/errors.js";
import { numel } from "../engine/shape.js";
import type { Module } from "./nn/module.js";
import { compareState, type LoadReport, showLoadReport } from "./state.js";
import { readState } from "./weights/read.js";
import { type StoredTensor, store, storedBytes, toTypedArray } from "./weights/stored.js";

/** How far a download is. */
export interface DownloadProgress {
  readonly url: string;
  /** Bytes. */
  readonly received: number;
  /** Null where the server does not say. */
  readonly total: number | null;
}

export interface DownloadOptions {
  /** The file's SHA-256 checksum in hexadecimal; a file with another is refused. */
  readonly sha256?: string;
  /** Folder of the cache. Default: `$CRABRO_CACHE`, or `crabro` under `$XDG_CACHE_HOME` or `~/.cache`. */
  readonly cacheDir?: string;
  /** Called as bytes arrive. Default: a line on standard error. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/**
 * What becomes of a head for other classes than the model's: `keep` refuses it, `drop` starts a new head, and a list names the row of
 * the file's head for each class of the model, as for the 1000 classes among the 22k of pre-training.
 */
export type HeadChoice = "keep" | "drop" | readonly number[];

export interface PretrainedOptions extends DownloadOptions {
  /** A path, a URL, or the bytes of a file: safetensors or PyTorch's. */
  readonly source: string | URL | Uint8Array;
  /** Where in a PyTorch file the state lies, such as `model_ema`. */
  readonly at?: string;
  /** Default: keep. */
  readonly head?: HeadChoice;
}

/** Where pretrained weights come from: a path, an address, bytes, or one of these with options. */
export type Pretrained = string | URL | Uint8Array | PretrainedOptions;

/** Gets the tensors of a path or URL. */
export type WeightsLoader = (
  source: string | URL,
  options: DownloadOptions & { readonly at?: string },
) => Promise<ReadonlyMap<string, StoredTensor>>;

let loader: WeightsLoader | null = null;

/** Called by `crabro/models/node` when it is imported: files and network are its business, so that pages need nothing of Node. */
export function provideWeightsLoader(provided: WeightsLoader): void {
  loader = provided;
}

async function tensorsOf({ source, ...options }: PretrainedOptions): Promise<ReadonlyMap<string, StoredTensor>> {
  if (source instanceof Uint8Array) return readState(source, options).tensors;
  if (loader === null) {
    throw new OpError(
      "createModel",
      `to read ${source}, write import "crabro/models/node" once, which can reach files and the network; in a browser fetch the file and pass its bytes as \`pretrained\``,
    );
  }
  return loader(source, options);
}

/**
 * Loads trained weights into a model, made to fit as `adaptState` does; entries that the file lacks are allowed where they are a head to
 * drop, or what distinguishes a backbone from the classifier that it is trained as. Throws OpError for every other difference.
 *
 * ```ts
 * import { createModel, HorNet, hornetVariants, loadPretrained } from "crabro/models";
 * import { saveWeights } from "crabro/models/node";
 *
 * await saveWeights("/tmp/crabro-pretrained.pth", createModel("hornet_micro_7x7").stateDict());
 * const own = new HorNet({ ...hornetVariants.hornet_micro_7x7, dropPathRate: 0.2 });
 * await loadPretrained(own, "/tmp/crabro-pretrained.pth");
 * ```
 */
export async function loadPretrained(model: Module, pretrained: Pretrained): Promise<LoadReport> {
  const options: PretrainedOptions =
    typeof pretrained === "string" || pretrained instanceof URL || pretrained instanceof Uint8Array ? { source: pretrained } : pretrained;
  const { source, head = "keep" } = options;
  const label = source instanceof Uint8Array ? "the file" : String(source);
  const state = adaptState(await tensorsOf(options), model, head);
  const { missing, unexpected, mismatched } = compareState(model.stateDict(), state);
  const isBackbone = ![...model.stateDict().keys()].some(isHead);
  const open = (name: string): boolean => (isHead(name) && head === "drop") || (isBackbone && /^norm\d?\.|^(tklb_aux_)?head\./.test(name));
  const report = { missing: missing.filter((name) => !open(name)), unexpected: unexpected.filter((name) => !open(name)), mismatched };
  const problems = showLoadReport(report);
  if (problems !== "") {
    const heads = mismatched.some(({ name }) => isHead(name));
    const remedy = heads ? '; pass head: "drop" in `pretrained` for a new head, or the list of the rows wanted' : "";
    throw new OpError("createModel", `${label} does not fit ${model.constructor.name}: ${problems}${remedy}`);
  }
  return model.loadStateDict(state, { strict: false });
}

const isHead = (name: string): boolean => /^(tklb_aux_)?head\./.test(name);

/**
 * The entries of a file, made to fit a model: spectral filters (`complex_weight`) are resized for good to the model's size, as for images
 * of another size (bilinear, corners aligned, as in the published code), and a head for other classes is dropped or cut as `head` says.
 * Whatever else differs stays as it is, for `loadStateDict` to report. Throws OpError for rows that the head does not have.
 *
 * ```ts
 * import { adaptState, createModel } from "crabro/models";
 * import { readWeights, saveWeights } from "crabro/models/node";
 *
 * await saveWeights("/tmp/crabro-adapt.pth", createModel("hornet_micro_gf").stateDict()); // ten classes
 * const model = createModel("hornet_micro_gf", { numClasses: 2 });
 * model.loadStateDict(adaptState(readWeights("/tmp/crabro-adapt.pth").tensors, model, [3, 8])); // two rows of the head
 * ```
 */
export function adaptState(
  state: ReadonlyMap<string, StoredTensor>,
  model: Module,
  head: HeadChoice = "keep",
): ReadonlyMap<string, StoredTensor> {
  const own = model.stateDict();
  const adapted = new Map<string, StoredTensor>();
  for (const [name, stored] of state) {
    const target = own.get(name)?.shape;
    if (target === undefined) adapted.set(name, stored);
    else if (isHead(name) && head !== "keep") {
      if (head !== "drop") adapted.set(name, selectRows(name, stored, head));
    } else adapted.set(name, isFilter(name, stored.shape, target) ? resizeFilter(stored, target) : stored);
  }
  return adapted;
}

/** Whether it is a spectral filter of another size. */
const isFilter = (name: string, from: readonly number[], to: readonly number[]): boolean =>
  name.endsWith("complex_weight") &&
  String(from) !== String(to) &&
  from.length === 4 &&
  to.length === 4 &&
  from[0] === to[0] &&
  from[3] === 2 &&
  to[3] === 2;

function selectRows(name: string, stored: StoredTensor, rows: readonly number[]): StoredTensor {
  const [count, ...rest] = stored.shape;
  const width = numel(rest) * storedBytes[stored.dtype];
  const { bytes } = stored;
  const out = new Uint8Array(rows.length * width);
  rows.forEach((row, i) => {
    if (!Number.isInteger(row) || row < 0 || row >= count)
      throw new OpError("adaptState", `${name} has the rows 0 to ${count - 1}; got ${row}`);
    out.set(bytes.subarray(row * width, (row + 1) * width), i * width);
  });
  return { dtype: stored.dtype, shape: [rows.length, ...rest], bytes: out };
}

/** [D, h, w, 2] at another h and w, bilinear with the corners aligned. */
function resizeFilter(stored: StoredTensor, [d, height, width]: readonly number[]): StoredTensor {
  const [, h, w] = stored.shape;
  const from = toTypedArray(stored, "float64");
  const out = new Float32Array(d * height * width * 2);
  const positions = (count: number, size: number) =>
    Array.from({ length: count }, (_, i) => {
      const at = count === 1 ? 0 : (i * (size - 1)) / (count - 1);
      const low = Math.min(Math.floor(at), size - 1);
      return { low, high: Math.min(low + 1, size - 1), share: at - low };
    });
  const [rows, columns] = [positions(height, h), positions(width, w)];
  let to = 0;
  for (let channel = 0; channel < d; channel++) {
    const value = (row: number, column: number, part: number): number => from[((channel * h + row) * w + column) * 2 + part];
    for (const y of rows) {
      for (const x of columns) {
        for (let part = 0; part < 2; part++) {
          const above = value(y.low, x.low, part) * (1 - x.share) + value(y.low, x.high, part) * x.share;
          const below = value(y.high, x.low, part) * (1 - x.share) + value(y.high, x.high, part) * x.share;
          out[to++] = above * (1 - y.share) + below * y.share;
        }
      }
    }
  }
  return store(out, [d, height, width, 2], "float32");
}
