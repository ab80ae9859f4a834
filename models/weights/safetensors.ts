/**
 * safetensors: an 8-byte little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the raw data.
 * Bytes in, bytes out: files are the caller's business, so that this works in a browser. Malformed input is refused before any of
 * its numbers is believed.
 */
import { OpError } from "../../engine/errors.js";
import { showShape } from "../../engine/shape.js";
import { type ByteSource, concatenate, sourceOf } from "./source.js";
import { type StoredDType, type StoredTensor, storedAt, storedBytes } from "./stored.js";

export { type StoredDType, type StoredTensor, store, toTypedArray } from "./stored.js";

/** The reference implementation's limit. */
const maxHeaderBytes = 100_000_000;

/** The contents of a safetensors file. */
export interface SafetensorsFile {
  /** In the header's order. The bytes are views of the input, or read from it when asked for. */
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

const refuse = (why: string): OpError => new OpError("readSafetensors", why);

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The keys of the outermost object of valid JSON, in order and with repetitions, both of which JSON.parse loses. */
function topLevelKeys(json: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;
  for (const match of json.matchAll(token)) {
    const first = match[0][0];
    if (first === "{" || first === "[") depth++;
    else if (first === "}" || first === "]") depth--;
    else if (depth === 1 && match[1] !== undefined) keys.push(JSON.parse(match[0].slice(0, -match[1].length)));
  }
  return keys;
}

function parseHeader(text: string): { header: Record<string, unknown>; names: string[] } {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw new OpError("readSafetensors", "the header is not JSON", { cause: error });
  }
  if (!isRecord(header)) throw refuse("the header is not a JSON object");
  const names = topLevelKeys(text);
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw refuse(`the header names ${JSON.stringify(name)} twice`);
    seen.add(name);
  }
  return { header, names };
}

function parseMetadata(value: unknown): Map<string, string> {
  if (value === undefined) return new Map();
  if (!isRecord(value)) throw refuse("__metadata__ is not an object of strings");
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw refuse(`__metadata__ entry ${JSON.stringify(key)} is not a string`);
    metadata.set(key, text);
  }
  return metadata;
}

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

interface Entry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function parseEntry(name: string, value: unknown, dataBytes: number): Entry {
  const label = JSON.stringify(name);
  if (!isRecord(value)) throw refuse(`the header's entry ${label} is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(storedBytes, dtype)) {
    throw refuse(`${label} has dtype ${JSON.stringify(dtype)}; known are ${Object.keys(storedBytes).join(", ")}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) throw refuse(`${label} has no valid shape: ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw refuse(`${label} has no valid data_offsets: ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (end > dataBytes)
    throw refuse(`${label} ends at byte ${end} of the data, but there are only ${dataBytes}; the file is cut off or damaged`);
  const wanted = shape.reduce((n, size) => n * size, storedBytes[dtype as StoredDType]);
  if (wanted !== end - begin)
    throw refuse(`${label} is ${dtype} ${showShape(shape)}, which takes ${wanted} bytes; its offsets hold ${end - begin}`);
  return { name, dtype: dtype as StoredDType, shape, begin, end };
}

/** The data must be covered exactly once: neither overlaps nor holes (where something could hide) nor a tail. */
function checkCoverage(entries: readonly Entry[], dataBytes: number): void {
  let at = 0;
  let before = "";
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) throw refuse(`the data of ${JSON.stringify(name)} and ${JSON.stringify(before)} overlap`);
    if (begin > at) throw refuse(`bytes ${at} to ${begin} of the data belong to no tensor`);
    at = end;
    before = name;
  }
  if (at !== dataBytes) throw refuse(`bytes ${at} to ${dataBytes} of the data belong to no tensor`);
}

/** Reads a whole file. Throws OpError, in one line, for anything malformed. */
export function readSafetensors(input: Uint8Array | ByteSource): SafetensorsFile {
  const source = sourceOf(input);
  if (source.length < 8) throw refuse(`${source.length} bytes are too few for a safetensors file`);
  const prefix = source.view(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) throw refuse(`the header claims ${length} bytes; more than ${maxHeaderBytes} are not believed`);
  const start = 8 + Number(length);
  if (start > source.length)
    throw refuse(`the header claims ${length} bytes, but only ${source.length - 8} follow; the file is cut off or damaged`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source.view(8, start - 8));
  } catch (error) {
    throw new OpError("readSafetensors", "the header is not UTF-8", { cause: error });
  }
  const { header, names } = parseHeader(text);
  const entries = names.filter((name) => name !== "__metadata__").map((name) => parseEntry(name, header[name], source.length - start));
  checkCoverage(entries, source.length - start);
  const tensors = new Map(entries.map(({ name, dtype, shape, begin }) => [name, storedAt(source, start + begin, dtype, shape)]));
  return { tensors, metadata: parseMetadata(Object.hasOwn(header, "__metadata__") ? header.__metadata__ : undefined) };
}

type Metadata = Iterable<readonly [string, string]>;

/** What PyTorch's loaders expect. */
const usualMetadata: Metadata = [["format", "pt"]];

/** A whole file, tensors in the order given. */
export function writeSafetensors(tensors: Iterable<readonly [string, StoredTensor]>, metadata: Metadata = usualMetadata): Uint8Array {
  return concatenate(safetensorsChunks(tensors, metadata));
}

/** A whole file in pieces: the header, then each tensor as it is asked for. */
export function* safetensorsChunks(
  tensors: Iterable<readonly [string, StoredTensor]>,
  metadata: Metadata = usualMetadata,
): Generator<Uint8Array> {
  const entries = [...tensors];
  yield headerOf(entries, metadata);
  for (const [name, { dtype, shape, bytes }] of entries) {
    const wanted = bytesOf({ dtype, shape });
    if (bytes.length !== wanted) {
      throw new OpError("writeSafetensors", `${name}: ${dtype} ${showShape(shape)} takes ${wanted} bytes; got ${bytes.length}`);
    }
    yield bytes;
  }
}

const bytesOf = ({ dtype, shape }: Pick<StoredTensor, "dtype" | "shape">): number =>
  shape.reduce((n, size) => n * size, storedBytes[dtype]);

function headerOf(entries: readonly (readonly [string, StoredTensor])[], metadata: Metadata): Uint8Array {
  const names = new Set<string>();
  // Text put together by hand: an object would move names like "0" to the front.
  const parts = [`"__metadata__":${JSON.stringify(Object.fromEntries(metadata))}`];
  let at = 0;
  for (const [name, { dtype, shape }] of entries) {
    if (names.has(name) || name === "__metadata__") throw new OpError("writeSafetensors", `the name ${JSON.stringify(name)} is taken`);
    names.add(name);
    const end = at + bytesOf({ dtype, shape });
    parts.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [at, end] })}`);
    at = end;
  }
  const json = new TextEncoder().encode(`{${parts.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}
