/** A folder of reference cases: its index, and the tensors of its safetensors files, read once each. */
import type { DType, TypedArray } from "../engine/dtype.js";
import { numel, type Shape } from "../engine/shape.js";
import { readSafetensors, type StoredDType, type StoredTensor, toTypedArray } from "../models/weights/safetensors.js";
import type { FileCase } from "./files.js";
import type { Outcome } from "./outcome.js";

/** Reference data on the host; becomes a tensor on a device when a case runs. */
export class HostTensor {
  constructor(
    readonly name: string,
    readonly shape: Shape,
    readonly dtype: DType,
    readonly data: TypedArray,
    /** Pairs (real, imaginary) along the last dim. */
    readonly complex = false,
  ) {}
}

/** Something is wrong with the folder or the request, and no case can run; told in one line. */
export class UsageError extends Error {}

export type FolderKind = "ops" | "models" | "files";

/** The dtype in which the engine takes a file's. */
const engineDType: Partial<Record<StoredDType, DType>> = { F32: "float32", F64: "float64", I32: "int32", BOOL: "bool" };

/** Where a folder's files come from: a disk, or what a page was sent. */
export interface FileSource {
  /** For messages. */
  readonly path: string;
  has(file: string): boolean;
  /** Names in a subfolder, sorted; none where there is no such folder. */
  list(folder: string): string[];
  /** Throws where the file cannot be read. */
  bytes(file: string): Uint8Array;
  /** Runs a case of a weights file; where that needs a disk, only there. */
  readonly runFile?: (file: string, test: FileCase) => Outcome;
}

export class Folder {
  readonly kind: FolderKind;
  readonly index: unknown;
  private readonly files = new Map<string, Map<string, StoredTensor>>();

  constructor(readonly source: FileSource) {
    const { path } = source;
    if (!source.has("index.json")) throw new UsageError(`${path} has no index.json, so it is no folder of reference cases`);
    this.index = this.json("index.json");
    this.kind = kindOf(this.index, path);
  }

  has(file: string): boolean {
    return this.source.has(file);
  }

  list(folder: string): string[] {
    return this.source.list(folder);
  }

  json(file: string): unknown {
    try {
      return JSON.parse(new TextDecoder().decode(this.bytes(file)));
    } catch (error) {
      throw new UsageError(`${this.source.path}/${file} cannot be read: ${(error as Error).message}`);
    }
  }

  bytes(file: string): Uint8Array {
    return this.source.bytes(file);
  }

  stored(file: string, name: string): StoredTensor {
    let tensors = this.files.get(file);
    if (tensors === undefined) {
      tensors = readSafetensors(this.bytes(file)).tensors;
      this.files.set(file, tensors);
    }
    const found = tensors.get(name);
    if (found === undefined) throw new Error(`${this.source.path}/${file} has no tensor ${name}`);
    return found;
  }

  tensor(file: string, name: string, complex = false): HostTensor {
    const stored = this.stored(file, name);
    const dtype = engineDType[stored.dtype];
    if (dtype === undefined) throw new Error(`${file}: ${name} has dtype ${stored.dtype}, which the engine has not`);
    return new HostTensor(name, stored.shape, dtype, toTypedArray(stored, dtype), complex);
  }
}

function kindOf(index: unknown, path: string): FolderKind {
  const cases = (index as { cases?: unknown }).cases;
  if (cases === undefined && typeof index === "object" && index !== null && !Array.isArray(index)) return "files";
  const first = Array.isArray(cases) ? (cases[0] as Record<string, unknown> | undefined) : undefined;
  if (first?.op !== undefined) return "ops";
  if (first?.kind !== undefined) return "models";
  throw new UsageError(`${path}/index.json has neither operations, nor models, nor files in it`);
}

/** A tensor that a JSON case describes in place: `fill` or `data`. */
export function describedTensor(spec: {
  shape: Shape;
  dtype: string;
  fill?: number | boolean;
  data?: readonly (number | boolean)[];
}): HostTensor {
  const dtype = engineDType[spec.dtype as StoredDType];
  if (dtype === undefined) throw new Error(`unknown dtype ${spec.dtype}`);
  const values = spec.data ?? new Array<number | boolean>(numel(spec.shape)).fill(spec.fill ?? 0);
  const numbers = values.map(Number);
  const data = dtype === "float32" ? Float32Array.from(numbers) : dtype === "int32" ? Int32Array.from(numbers) : Uint8Array.from(numbers);
  return new HostTensor("", spec.shape, dtype, data);
}
