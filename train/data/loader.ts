/** Batches of a data set, in an order that depends on the seed and the epoch alone. */
import { type Device, defaultDevice } from "../../engine/device.js";
import { OpError } from "../../engine/errors.js";
import { Generator, hostPermutation } from "../../engine/random.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import type { Dataset } from "./dataset.js";

export interface LoaderOptions {
  readonly batchSize: number;
  /** A new order each epoch. Default: the data set's own. */
  readonly shuffle?: boolean;
  readonly seed?: number;
  /** Leave out the last batch where it is smaller. */
  readonly dropLast?: boolean;
  readonly device?: Device;
}

export interface Batch {
  /** [N, C, H, W] float32 */
  readonly images: Tensor;
  /** [N] int32 */
  readonly labels: Tensor;
  readonly size: number;
}

export class DataLoader {
  readonly dataset: Dataset;
  /** Batches an epoch. */
  readonly length: number;
  readonly #options: Required<LoaderOptions>;

  constructor(dataset: Dataset, options: LoaderOptions) {
    const { batchSize, shuffle = false, seed = 0, dropLast = false, device = defaultDevice() } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new OpError("DataLoader", `batchSize is a whole number from 1 up; got ${batchSize}`);
    this.dataset = dataset;
    this.#options = { batchSize, shuffle, seed, dropLast, device };
    this.length = dropLast ? Math.floor(dataset.length / batchSize) : Math.ceil(dataset.length / batchSize);
    if (this.length === 0)
      throw new OpError("DataLoader", `${dataset.name} has ${dataset.length} samples, which make no batch of ${batchSize}`);
  }

  /** Samples an epoch. */
  get samples(): number {
    return this.#options.dropLast ? this.length * this.#options.batchSize : this.dataset.length;
  }

  /** The order of samples in an epoch. */
  order(epoch: number): Int32Array {
    const { length } = this.dataset;
    if (!this.#options.shuffle) return Int32Array.from({ length }, (_, i) => i);
    const generator = new Generator(this.#options.seed);
    generator.counter = epoch;
    return hostPermutation(generator, length);
  }

  /** The batches of an epoch, from batch `from` on. */
  *epoch(epoch = 0, from = 0): IterableIterator<Batch> {
    const { batchSize, device } = this.#options;
    const { imageShape } = this.dataset;
    const pixels = imageShape[0] * imageShape[1] * imageShape[2];
    const order = this.order(epoch);
    for (let batch = from; batch < this.length; batch++) {
      const indices = order.subarray(batch * batchSize, (batch + 1) * batchSize);
      const images = new Float32Array(indices.length * pixels);
      indices.forEach((index, i) => void this.dataset.read(index, images, i * pixels));
      const labels = Int32Array.from(indices, (index) => this.dataset.label(index));
      yield {
        images: fromHost(images, [indices.length, ...imageShape], "float32", device),
        labels: fromHost(labels, [indices.length], "int32", device),
        size: indices.length,
      };
    }
  }
}
