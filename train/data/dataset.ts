/** Labelled pictures. */
import type { Picture } from "../augment/picture.js";
import type { TokenMap } from "./token-map.js";

/** Labelled pictures. */
export interface Dataset {
  readonly name: string;
  readonly length: number;
  readonly numClasses: number;
  readonly classNames: readonly string[];
  /** What the pictures have; a network may be given another number, and grey becomes colour or colour grey. */
  readonly channels: 1 | 3;
  /** Mean and deviation of each channel, on a scale of 0 to 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Side of the pictures where all are alike and square; null where they vary. */
  readonly side: number | null;
  /** What the data are, for workers to open them anew: plain data, whose bytes are shared and not copied. */
  readonly source: Source;
  /** Where picture `index` is found, for messages. */
  title(index: number): string;
  label(index: number): number;
  /** Throws OpError naming the picture where it cannot be read. */
  picture(index: number): Picture | Promise<Picture>;
  /** Labels of its places, where the data set has them. Throws OpError naming their file where it cannot be read. */
  tokenMap?(index: number): TokenMap;
}

/** Everything that `openSource` needs. */
export type Source = BytesSource | FilesSource | SyntheticSource | TexturedSource | PartSource;

/** Pictures of one size in memory. */
export interface BytesSource {
  readonly kind: "bytes";
  readonly name: string;
  readonly side: number;
  readonly channels: 1 | 3;
  /** Of a picture: pixel by pixel, or plane by plane. */
  readonly layout: "pixels" | "planes";
  readonly data: Uint8Array;
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Files of pictures, decoded when they are wanted. */
export interface FilesSource {
  readonly kind: "files";
  readonly name: string;
  readonly folder: string;
  readonly files: readonly string[];
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
  /** The folder of the token labels, `<class>/<name>.pt`; null: there are none. */
  readonly tokenLabels: string | null;
}

/** Pictures made up from a seed. */
export interface SyntheticSource {
  readonly kind: "synthetic";
  readonly length: number;
  readonly side: number;
  readonly channels: 1 | 3;
  readonly numClasses: number;
  readonly seed: number;
  readonly noise: number;
  /** The number of the first picture. */
  readonly first: number;
}

/** Digits of another source on textured grounds. */
export interface TexturedSource {
  readonly kind: "textured";
  readonly of: Source;
  readonly split: Split;
  readonly side: number;
  readonly seed: number;
}

/** The first samples of another source. */
export interface PartSource {
  readonly kind: "part";
  readonly of: Source;
  readonly length: number;
}

/** The half that is learned from, or the one that is tested with. */
export type Split = "train" | "test";

/** The first `length` samples of a data set. */
export function firstOf(dataset: Dataset, length: number): Dataset {
  if (length >= dataset.length) return dataset;
  return {
    ...dataset,
    length,
    source: { kind: "part", of: dataset.source, length },
    title: (index) => dataset.title(index),
    label: (index) => dataset.label(index),
    picture: (index) => dataset.picture(index),
  };
}

/** The same bytes where workers can see them without a copy. */
export function shared(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const out = new Uint8Array(new SharedArrayBuffer(bytes.length));
  out.set(bytes);
  return out;
}
