/** Labelled images of one size. */
export interface Dataset {
  readonly name: string;
  readonly length: number;
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number];
  readonly numClasses: number;
  /** Writes image `index`, normalised, at `offset` of `out`. */
  read(index: number, out: Float32Array, offset: number): void;
  label(index: number): number;
}

/** The first `length` samples of a data set. */
export function firstOf(dataset: Dataset, length: number): Dataset {
  if (length >= dataset.length) return dataset;
  return {
    name: dataset.name,
    length,
    imageShape: dataset.imageShape,
    numClasses: dataset.numClasses,
    read: (index, out, offset) => dataset.read(index, out, offset),
    label: (index) => dataset.label(index),
  };
}
