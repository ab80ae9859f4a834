/**
 * PyTorch's files (`torch.save`): a pickle of the values and the raw storages beside it, in a zip archive (since PyTorch 1.6) or one after
 * the other (before). Tensors are views of the input wherever their elements lie in order, or read from it when they are asked for.
 *
 * Only tensors and plain containers are built. Whatever else a file names is refused by name, and nothing of it runs.
 */
import { OpError } from "../../engine/errors.js";
import { type Shape, showShape } from "../../engine/shape.js";
import { PickleCallable, PickleObject, PickleRecord, type PickleValue, unpickle } from "./pickle.js";
import { type ByteSource, sourceOf, sourcePart } from "./source.js";
import { type StoredDType, type StoredTensor, storedBytes } from "./stored.js";
import { isZip, ZipArchive, type ZipOptions } from "./zip.js";

export { PickleRecord, type PickleValue } from "./pickle.js";

const refuse = (why: string): OpError => new OpError("readPth", why);

const storageTypes: Readonly<Record<string, StoredDType>> = {
  "torch.DoubleStorage": "F64",
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

const dtypeNames = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"].map(
  (name) => `torch.${name}`,
);

class StorageType extends PickleObject {
  constructor(readonly dtype: StoredDType) {
    super();
  }
}

class Storage extends PickleObject {
  /** Set when the file's storages are found; in legacy files after the pickle. */
  content: ByteSource | null = null;
  /** Throws where the contents are damaged, as far as the file's format can tell. */
  verify: () => void = () => undefined;
  constructor(
    readonly key: string,
    readonly dtype: StoredDType,
    readonly numel: number,
  ) {
    super();
  }
}

/** A tensor of a PyTorch file; its elements are read when they are asked for, and where they do not lie in order put in order. */
export class PthTensor extends PickleObject implements StoredTensor {
  readonly #storage: Storage;

  constructor(
    storage: Storage,
    readonly shape: Shape,
    private readonly strides: readonly number[],
    private readonly offset: number,
  ) {
    super();
    this.#storage = storage;
  }

  get dtype(): StoredDType {
    return this.#storage.dtype;
  }

  get bytes(): Uint8Array {
    const content = this.#content();
    const width = storedBytes[this.dtype];
    return this.isContiguous ? content.view(this.offset * width, this.numel * width) : this.#gather(content, width);
  }

  readonly copyTo = (target: Uint8Array): void => {
    if (this.isContiguous) this.#content().copy(this.offset * storedBytes[this.dtype], target);
    else target.set(this.bytes);
  };

  /** Throws OpError where the storage is damaged. */
  verify(): void {
    this.#storage.verify();
  }

  #content(): ByteSource {
    this.verify();
    return this.#storage.content as ByteSource;
  }

  get numel(): number {
    return this.shape.reduce((n, size) => n * size, 1);
  }

  /** Whether the elements lie in row-major order, one after the other. */
  get isContiguous(): boolean {
    let step = 1;
    for (let d = this.shape.length - 1; d >= 0; d--) {
      if (this.shape[d] !== 1 && this.strides[d] !== step) return this.numel === 0;
      step *= this.shape[d];
    }
    return true;
  }

  /** Throws OpError where an element lies outside the storage. */
  check(): void {
    const last = this.#last();
    const { content, key, dtype, numel } = this.#storage;
    const held = Math.min((content?.length ?? 0) / storedBytes[dtype], numel);
    if (last >= held) {
      throw refuse(
        `a tensor ${dtype} ${showShape(this.shape)} needs ${last + 1} elements of storage ${key}, which has ${Math.floor(held)}; the file is cut off or damaged`,
      );
    }
  }

  /** Where in the storage its last element lies. */
  #last(): number {
    return this.numel === 0 ? this.offset - 1 : this.offset + this.shape.reduce((at, size, d) => at + (size - 1) * this.strides[d], 0);
  }

  #gather(content: ByteSource, width: number): Uint8Array {
    const source = content.view(this.offset * width, (this.#last() + 1 - this.offset) * width);
    const out = new Uint8Array(this.numel * width);
    const index = this.shape.map(() => 0);
    let from = 0;
    for (let to = 0; to < out.length; to += width) {
      for (let b = 0; b < width; b++) out[to + b] = source[from * width + b];
      for (let d = index.length - 1; d >= 0; d--) {
        from += this.strides[d];
        if (++index[d] < this.shape[d]) break;
        from -= this.strides[d] * this.shape[d];
        index[d] = 0;
      }
    }
    return out;
  }
}

const isCount = (value: PickleValue | undefined): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isCounts = (value: PickleValue | undefined): value is number[] => Array.isArray(value) && value.every(isCount);

/** How many bytes tensors may take beyond their storages: expanded ones repeat theirs. */
const expandedLimit = 64 << 20;

/** What a file may name, and the tensors made so far. */
class Globals {
  readonly tensors: PthTensor[] = [];
  readonly storages = new Map<string, Storage>();
  #expanded = 0;

  readonly table: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
    ...Object.entries(storageTypes).map(([name, dtype]): [string, PickleValue] => [name, new StorageType(dtype)]),
    ...Object.entries({
      "torch._utils._rebuild_tensor": (args: readonly PickleValue[]) => this.#tensor(args),
      "torch._utils._rebuild_tensor_v2": (args: readonly PickleValue[]) => this.#tensor(args),
      "torch._utils._rebuild_parameter": ([data]: readonly PickleValue[]) => data ?? null,
      "torch._utils._rebuild_parameter_with_state": ([data]: readonly PickleValue[]) => data ?? null,
      "torch.Size": ([sizes]: readonly PickleValue[]) => sizes ?? [],
      "torch.device": ([name]: readonly PickleValue[]) => name ?? "cpu",
      "collections.OrderedDict": ([items]: readonly PickleValue[]) => ordered(items),
      "argparse.Namespace": () => new PickleRecord(),
      "builtins.set": ([items]: readonly PickleValue[]) => (Array.isArray(items) ? items : []),
      "__builtin__.set": ([items]: readonly PickleValue[]) => (Array.isArray(items) ? items : []),
    }).map(([name, call]): [string, PickleValue] => [name, new PickleCallable(name, call)]),
    // Dtypes by themselves, among the settings of a training.
    ...dtypeNames.map((name): [string, PickleValue] => [name, name]),
  ]);

  #tensor([storage, offset, shape, strides]: readonly PickleValue[]): PthTensor {
    if (
      !(storage instanceof Storage) ||
      !isCount(offset) ||
      !isCounts(shape) ||
      !isCounts(strides) ||
      shape.length !== strides.length ||
      shape.length > 64
    ) {
      throw refuse("a tensor has no valid storage, offset, shape and strides");
    }
    const tensor = new PthTensor(storage, shape, strides, offset);
    if (!Number.isSafeInteger(tensor.numel)) throw refuse(`a tensor claims the shape ${showShape(shape)}`);
    if (tensor.numel > storage.numel) this.#expanded += tensor.numel * storedBytes[storage.dtype];
    if (this.#expanded > expandedLimit)
      throw refuse(`tensors of few elements claim to repeat them over ${this.#expanded} bytes; that much is not believed`);
    this.tensors.push(tensor);
    return tensor;
  }

  /** `("storage", type, key, location, numel)`; legacy files add a view of the storage, which is none in all but very old ones. */
  storage(id: PickleValue): Storage {
    if (!Array.isArray(id) || id[0] !== "storage") throw refuse("the pickle has a persistent id that is no storage");
    const [, type, key, , numel, view = null] = id;
    if (!(type instanceof StorageType) || typeof key !== "string" || !isCount(numel))
      throw refuse("a storage has no valid type, name and size");
    if (view !== null) throw refuse(`storage ${key} is a view of another one, as PyTorch before 0.4 wrote it; save the file anew`);
    let storage = this.storages.get(key);
    if (storage === undefined) {
      storage = new Storage(key, type.dtype, numel);
      this.storages.set(key, storage);
    }
    if (storage.dtype !== type.dtype) throw refuse(`storage ${key} has two types`);
    return storage;
  }

  read(source: Uint8Array | ByteSource, start: number): { readonly value: PickleValue; readonly end: number } {
    return unpickle(source, start, { global: (name) => this.table.get(name), persistent: (id) => this.storage(id) });
  }

  check(): void {
    for (const tensor of this.tensors) tensor.check();
  }
}

function ordered(items: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (items === undefined) return new Map();
  if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2))
    throw refuse("an OrderedDict is made of something other than pairs");
  return new Map(items as [PickleValue, PickleValue][]);
}

/**
 * Reads a whole file: dictionaries are Maps, lists and tuples arrays, tensors `PthTensor`, Namespaces `PickleRecord`s.
 * Throws OpError, in one line, for anything malformed, and for whatever is neither tensor nor plain container.
 */
export function readPth(input: Uint8Array | ByteSource, options: ZipOptions = {}): PickleValue {
  const source = sourceOf(input);
  if (source.length === 0) throw refuse("the file is empty");
  try {
    return isZip(source.view(0, Math.min(4, source.length))) ? readZipped(new ZipArchive(source, options)) : readLegacy(source);
  } catch (error) {
    if (error instanceof OpError && error.op !== "readPth")
      throw new OpError("readPth", error.message.replace(`${error.op}: `, ""), { cause: error });
    throw error;
  }
}

function readZipped(archive: ZipArchive): PickleValue {
  const pickles = archive.names().filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
  if (pickles.length !== 1) throw refuse(`the archive has ${pickles.length} files data.pkl; PyTorch's have one`);
  const folder = pickles[0].slice(0, -"data.pkl".length);
  if (archive.has(`${folder}constants.pkl`))
    throw refuse("the file is a TorchScript program, which only PyTorch can run; save its state_dict()");
  if (archive.has(`${folder}byteorder`) && new TextDecoder().decode(archive.read(`${folder}byteorder`)) !== "little") {
    throw refuse("the file was written on a big-endian machine");
  }
  const globals = new Globals();
  const { value } = globals.read(archive.read(pickles[0]), 0);
  for (const storage of globals.storages.values()) Object.assign(storage, archive.open(`${folder}data/${storage.key}`));
  globals.check();
  return value;
}

const legacyMagic = 0x1950a86a20f9469cfc6cn;

function readLegacy(source: ByteSource): PickleValue {
  if (source.view(0, 1)[0] !== 0x80) throw refuse("the file is neither a zip archive nor a pickle of PyTorch");
  const plain = new Globals();
  const magic = plain.read(source, 0);
  if (magic.value !== legacyMagic) throw refuse("the file is a pickle, but not one of PyTorch");
  const protocol = plain.read(source, magic.end);
  if (protocol.value !== 1001) throw refuse(`the file is of protocol ${String(protocol.value)}; known is 1001`);
  const system = plain.read(source, protocol.end);
  if (system.value instanceof Map && system.value.get("little_endian") === false)
    throw refuse("the file was written on a big-endian machine");
  const globals = new Globals();
  const { value, end } = globals.read(source, system.end);
  const keys = plain.read(source, end);
  if (!Array.isArray(keys.value)) throw refuse("the list of storages is missing");
  let at = keys.end;
  for (const key of keys.value) {
    const storage = typeof key === "string" ? globals.storages.get(key) : undefined;
    if (storage === undefined) throw refuse(`the file lists storage ${String(key)}, which nothing uses`);
    if (at + 8 > source.length) throw refuse("the storages are cut off");
    const head = source.view(at, 8);
    const count = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    const size = BigInt(storedBytes[storage.dtype]) * count;
    if (count < 0n || BigInt(at + 8) + size > BigInt(source.length))
      throw refuse(`storage ${storage.key} claims ${count} elements; the file is cut off or damaged`);
    storage.content = sourcePart(source, at + 8, Number(size));
    at += 8 + Number(size);
  }
  globals.check();
  return value;
}

/** Where checkpoints keep the state of the model, in order of preference. */
const usualPlaces = ["model", "state_dict", "model_state_dict", "module", "model_ema"];

/**
 * The tensors of a file by name, as `loadStateDict` takes them. `at` is the path of the dictionary, such as `model_ema`; without it the
 * whole file if tensors lie at its top, or else what lies under `model`, `state_dict`, … Nested containers give dotted names; other values
 * are left out. The prefix `module.` of data-parallel training falls away.
 *
 * Throws OpError where the path leads nowhere, or to no tensor.
 */
export function pthState(root: PickleValue, { at }: { readonly at?: string } = {}): Map<string, StoredTensor> {
  let place: PickleValue | undefined = root;
  const path =
    at ??
    (root instanceof Map && ![...root.values()].some((value) => value instanceof PthTensor)
      ? usualPlaces.find((name) => root.has(name))
      : "") ??
    "";
  for (const part of path === "" ? [] : path.split(".")) {
    const keys: string[] = place instanceof Map ? [...place.keys()].map(String) : [];
    place = place instanceof Map ? place.get(part) : Array.isArray(place) ? place[Number(part)] : undefined;
    if (place === undefined)
      throw refuse(`there is no ${path} in the file${keys.length > 0 ? `; ${part} is not among ${keys.slice(0, 8).join(", ")}` : ""}`);
  }
  const state = new Map<string, PthTensor>();
  collect(place as PickleValue, "", 0, state, { left: 1_000_000 });
  for (const tensor of state.values()) tensor.verify();
  if (state.size === 0) throw refuse(`there are no tensors ${path === "" ? "in the file" : `under ${path}`}`);
  if (![...state.keys()].every((name) => name.startsWith("module."))) return state;
  return new Map([...state].map(([name, value]) => [name.slice("module.".length), value]));
}

function collect(value: PickleValue, name: string, depth: number, into: Map<string, PthTensor>, budget: { left: number }): void {
  if (value instanceof PthTensor) {
    into.set(name, value);
    return;
  }
  const items = value instanceof Map ? value.entries() : Array.isArray(value) ? value.entries() : null;
  if (items === null) return;
  // Containers may hold themselves, or each other many times over.
  if (depth > 32) throw refuse("its containers are nested more than 32 deep");
  for (const [key, item] of items) {
    if (budget.left-- <= 0) throw refuse("it has more than a million values");
    collect(item, name === "" ? String(key) : `${name}.${String(key)}`, depth + 1, into, budget);
  }
}
