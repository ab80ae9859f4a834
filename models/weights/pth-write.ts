/**
 * Writes PyTorch's files: what `torch.save(state_dict)` of PyTorch 1.6 and later writes, and `torch.load` reads (also with
 * `weights_only=True`, as it names nothing but tensors and an OrderedDict).
 */
import { OpError } from "../../engine/errors.js";
import { numel } from "../../engine/shape.js";
import { concatenate } from "./source.js";
import { type StoredDType, type StoredTensor, storedBytes } from "./stored.js";
import { type ZipFile, zipChunks } from "./zip-write.js";

const storageNames: Readonly<Partial<Record<StoredDType, string>>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

export interface PthWriteOptions {
  /** Put the state under this key of a dictionary, such as `model`, in place of at the top. */
  readonly at?: string;
}

/** A whole file. */
export const writePth = (tensors: Iterable<readonly [string, StoredTensor]>, options: PthWriteOptions = {}): Uint8Array =>
  concatenate(pthChunks(tensors, options));

/**
 * A whole file in pieces, each tensor as it is asked for. Throws OpError for a name twice, for dtypes that PyTorch's storages have not
 * (U16, U32, U64), and beyond 4 GiB.
 */
export function* pthChunks(tensors: Iterable<readonly [string, StoredTensor]>, { at }: PthWriteOptions = {}): Generator<Uint8Array> {
  const entries = [...tensors];
  const names = new Set<string>();
  for (const [name] of entries) {
    if (names.has(name)) throw new OpError("writePth", `the name ${JSON.stringify(name)} is taken`);
    names.add(name);
  }
  const pickle = pickled(entries, at);
  const text = (content: string) => () => new TextEncoder().encode(content);
  yield* zipChunks([
    { name: "archive/data.pkl", content: () => pickle },
    { name: "archive/byteorder", content: text("little") },
    ...entries.map(([name, tensor], i): ZipFile => ({ name: `archive/data/${i}`, content: () => wholeBytes(name, tensor) })),
    { name: "archive/version", content: text("3\n") },
  ]);
}

function wholeBytes(name: string, { dtype, shape, bytes }: StoredTensor): Uint8Array {
  const wanted = numel(shape) * storedBytes[dtype];
  if (bytes.length !== wanted) throw new OpError("writePth", `${name}: ${wanted} bytes are wanted; got ${bytes.length}`);
  return bytes;
}

type Piece = string | number | Uint8Array | readonly Piece[];

function bytesOf(piece: Piece, into: number[]): number[] {
  if (typeof piece === "number") into.push(piece);
  else if (typeof piece === "string") for (const byte of new TextEncoder().encode(piece)) into.push(byte);
  else for (const inner of piece) bytesOf(inner, into);
  return into;
}

const little = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

/** Whole numbers: BININT1, BININT2, BININT, LONG1. */
function int(value: number): Piece {
  if (value < 256) return ["K", value];
  if (value < 65536) return ["M", value & 255, value >> 8];
  if (value < 2 ** 31) return ["J", little(value)];
  return [0x8a, 8, new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)];
}

function unicode(text: string): Piece {
  const bytes = new TextEncoder().encode(text);
  return ["X", little(bytes.length), bytes];
}

const global = (module: string, name: string): Piece => `c${module}\n${name}\n`;
const tuple = (...items: Piece[]): Piece => ["(", ...items, "t"];
const orderedDict: Piece = [global("collections", "OrderedDict"), ")R"];

/** `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`, the storage by its persistent id. */
function tensor(name: string, { dtype, shape }: StoredTensor, key: number): Piece {
  const storage = storageNames[dtype];
  if (storage === undefined) throw new OpError("writePth", `${name} is ${dtype}, for which PyTorch has no storage; convert it first`);
  const id = tuple(unicode("storage"), global("torch", storage), unicode(String(key)), unicode("cpu"), int(numel(shape)));
  const strides = shape.map((_, d) => numel(shape.slice(d + 1)));
  return [global("torch._utils", "_rebuild_tensor_v2"), tuple(id, "Q", int(0), sizes(shape), sizes(strides), 0x89, orderedDict), "R"];
}

const sizes = (values: readonly number[]): Piece => (values.length === 0 ? ")" : tuple(...values.map(int)));

function pickled(entries: readonly (readonly [string, StoredTensor])[], at: string | undefined): Uint8Array {
  const items = entries.map(([name, stored], i): Piece => [unicode(name), tensor(name, stored, i)]);
  const state: Piece = [orderedDict, "(", ...items, "u"];
  return Uint8Array.from(bytesOf([0x80, 2, at === undefined ? state : ["}", unicode(at), state, "s"], "."], []));
}
