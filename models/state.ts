/** State dictionaries: their names, what a load reports, and entries of files. */
import type { Device } from "../engine/device.js";
import type { DType } from "../engine/dtype.js";
import { OpError } from "../engine/errors.js";
import { type Shape, sameShape, showShape } from "../engine/shape.js";
import { fromHost, Tensor } from "../engine/tensor.js";
import { type StoredTensor, store, toTypedArray } from "./weights/stored.js";

/**
 * The state-dict name of a property: `projIn` → `proj_in`. The one place where names are converted, so that the keys of the published
 * checkpoints and the camelCase of the code agree.
 */
export const stateName = (property: string): string => property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** `path.name`, without the dot at the root. */
export const joinPath = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

/** An entry whose shape is not that of the tensor it is for. */
export interface Mismatch {
  readonly name: string;
  readonly expected: Shape;
  readonly given: Shape;
}

/** What `loadStateDict` did not load. */
export interface LoadReport {
  /** Entries of the model that the dictionary lacks. */
  readonly missing: readonly string[];
  /** Entries of the dictionary that the model lacks. */
  readonly unexpected: readonly string[];
  /** Entries of both, of different shapes. */
  readonly mismatched: readonly Mismatch[];
}

/** What of `given` fits the entries of `own`, and what does not: by names and shapes, without a look at values. */
export function compareState(
  own: ReadonlyMap<string, { readonly shape: Shape }>,
  given: ReadonlyMap<string, { readonly shape: Shape }>,
): LoadReport & { readonly fitting: readonly string[] } {
  const missing: string[] = [];
  const mismatched: Mismatch[] = [];
  const fitting: string[] = [];
  for (const [name, { shape }] of own) {
    const value = given.get(name);
    if (value === undefined) missing.push(name);
    else if (sameShape(value.shape, shape)) fitting.push(name);
    else mismatched.push({ name, expected: shape, given: value.shape });
  }
  return { missing, unexpected: [...given.keys()].filter((name) => !own.has(name)), mismatched, fitting };
}

const some = (names: readonly string[], most = 5): string =>
  names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");

/** The report in one line; "" when everything was loaded. */
export function showLoadReport(report: LoadReport): string {
  const parts: string[] = [];
  if (report.missing.length > 0) parts.push(`missing: ${some(report.missing)}`);
  if (report.unexpected.length > 0) parts.push(`unexpected: ${some(report.unexpected)}`);
  if (report.mismatched.length > 0) {
    parts.push(`of another shape: ${some(report.mismatched.map((m) => `${m.name} ${showShape(m.given)} for ${showShape(m.expected)}`))}`);
  }
  return parts.join("; ");
}

/** Names within a few edits of `name`, nearest first. */
export function nearest(name: string, names: readonly string[], most = 2): string[] {
  const normal = (text: string): string => text.toLowerCase().replace(/[-\s]/g, "_");
  const scored = names.map((candidate) => ({ candidate, distance: editDistance(normal(name), normal(candidate)) }));
  const limit = Math.max(2, Math.floor(name.length / 3));
  const close = scored.filter(({ distance }) => distance <= limit).sort((a, b) => a.distance - b.distance);
  return close.slice(0, most).map(({ candidate }) => candidate);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}

/** An entry to load: a tensor of the engine, or what a file holds. */
export type StateValue = Tensor | StoredTensor;

/** `value` with this dtype on this device, without a copy where none is needed. Throws where a value does not fit the dtype. */
export function fitTensor(value: StateValue, dtype: DType, device: Device, name: string): Tensor {
  if (!(value instanceof Tensor)) return fromHost(toTypedArray(value, dtype), value.shape, dtype, device);
  if (value.dtype === dtype && value.device === device) return value;
  const held = value.node.value;
  if (held === null || held.kind !== "host") {
    throw new OpError(
      "loadStateDict",
      `${name} is ${value.dtype} on ${value.device.name}, the model wants ${dtype} on ${device.name}; read it with data() and make a tensor from that`,
    );
  }
  const data = value.dtype === dtype ? held.data : toTypedArray(store(held.data, value.shape, value.dtype), dtype);
  return fromHost(data, value.shape, dtype, device);
}

/** Reads entries for a file, in order. Counters keep the 64-bit integers that PyTorch has for them. */
export async function storeState(entries: Iterable<readonly [string, Tensor]>): Promise<Map<string, StoredTensor>> {
  const list = [...entries];
  const values = await Promise.all(list.map(([, tensor]) => tensor.data()));
  return new Map(
    list.map(([name, { shape, dtype }], i) => {
      if (!name.endsWith("num_batches_tracked")) return [name, store(values[i], shape, dtype)];
      return [name, { dtype: "I64", shape, bytes: new Uint8Array(BigInt64Array.from(values[i], BigInt).buffer) }];
    }),
  );
}
