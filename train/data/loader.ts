/** Batches of a data set as tensors, in an order that depends on seed and epoch alone, made ahead of the device. */
import { type Device, defaultDevice } from "../../engine/device.js";
import { OpError } from "../../engine/errors.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import type { Mixing } from "../augment/mix.js";
import type { Transform } from "../augment/transform.js";
import type { BatchSource } from "../task.js";
import { type BatchOrder, type BatchRecipe, type HostBatch, makeBatch } from "./batch.js";
import type { Dataset } from "./dataset.js";
import { epochOrder } from "./order.js";
import { WorkerPool } from "./pool.js";

export interface LoaderOptions {
  readonly batchSize: number;
  /** Default: pictures as they are, normalised; only for data sets whose pictures are alike. */
  readonly transform?: Transform;
  /** A new order each epoch. Default: the data set's own. */
  readonly shuffle?: boolean;
  readonly seed?: number;
  /** Leave out the last batch where it is smaller. */
  readonly dropLast?: boolean;
  /** Repeated augmentation: how often each sample comes in a row. Default 1. */
  readonly repeats?: number;
  /** Mixup and cutmix; needs `targets`. */
  readonly mixing?: Mixing | null;
  /** Targets as probabilities of so many classes, smoothed. Default: class indices. */
  readonly targets?: BatchRecipe["targets"];
  /** What happens to pictures that cannot be read. Default "refuse". */
  readonly broken?: BatchRecipe["broken"];
  /** Threads that make batches; 0: this one does. The batches are the same. Default 0. */
  readonly workers?: number;
  readonly device?: Device;
}

/** A batch on a device. */
export interface Batch {
  /** [N, C, H, W] float32 */
  readonly images: Tensor;
  /** [N] int32 */
  readonly labels: Tensor;
  /** The labels, or [N, classes] float32, with token labels [N, classes, 2 + L]. */
  readonly targets: Tensor;
  /** Numbers of the samples in the data set. */
  readonly indices: Int32Array;
  readonly size: number;
}

/** Pictures as they are, or framed to `size`, without augmentation. */
export function plainTransform(dataset: Dataset, size = dataset.side ?? 224, channels = dataset.channels): Transform {
  const { side, mean, std } = dataset;
  return {
    size,
    channels,
    mean,
    std,
    interpolation: "bicubic",
    framing: side !== null && side <= size ? { kind: "pad", inner: side } : { kind: "crop", share: 0.875 },
    augmentation: null,
  };
}

/** Goes through a data set in batches, in an order that seed and epoch decide. Close it when it has workers. */
export class DataLoader implements BatchSource<Batch> {
  readonly dataset: Dataset;
  /** Batches an epoch. */
  readonly length: number;
  readonly transform: Transform;
  /** Why pictures could not be read, each once. */
  readonly broken = new Set<string>();
  readonly #options: Required<Omit<LoaderOptions, "mixing" | "targets" | "transform" | "broken">>;
  readonly #recipe: BatchRecipe;
  #pool: WorkerPool | null = null;

  constructor(dataset: Dataset, options: LoaderOptions) {
    const { batchSize, shuffle = false, seed = 0, dropLast = false, repeats = 1, workers = 0, device = defaultDevice() } = options;
    const { transform = plainTransform(dataset), mixing = null, targets = null, broken = "refuse" } = options;
    for (const [name, value, least] of [
      ["batchSize", batchSize, 1],
      ["repeats", repeats, 1],
      ["workers", workers, 0],
    ] as const)
      if (!Number.isInteger(value) || value < least)
        throw new OpError("DataLoader", `${name} is a whole number from ${least} up; got ${value}`);
    if (mixing !== null && targets === null) throw new OpError("DataLoader", "mixed images need targets with probabilities; pass targets");
    this.dataset = dataset;
    this.transform = transform;
    this.#options = { batchSize, shuffle, seed, dropLast, repeats, workers, device };
    this.#recipe = { source: dataset.source, transform, mixing, targets, seed, broken };
    this.length = dropLast ? Math.floor(dataset.length / batchSize) : Math.ceil(dataset.length / batchSize);
    if (this.length === 0)
      throw new OpError("DataLoader", `${dataset.name} has ${dataset.length} samples, which make no batch of ${batchSize}`);
  }

  /** Samples an epoch. */
  get samples(): number {
    return this.#options.dropLast ? this.length * this.#options.batchSize : this.dataset.length;
  }

  /** The numbers of an epoch's samples, in order. */
  order(epoch: number): Int32Array {
    return epochOrder(this.dataset.length, epoch, this.#options);
  }

  /** The batches of an epoch, from batch `from` on. With workers, several are on their way. */
  async *epoch(epoch = 0, from = 0): AsyncGenerator<Batch, void, undefined> {
    const { workers, batchSize } = this.#options;
    const order = this.order(epoch);
    const orderOf = (batch: number): BatchOrder => {
      const first = batch * batchSize;
      return { epoch, batch, first, indices: order.slice(first, first + batchSize) };
    };
    const ahead: Promise<HostBatch>[] = [];
    const most = Math.max(1, 2 * workers);
    let next = from;
    try {
      for (let batch = from; batch < this.length; batch++) {
        while (next < this.length && ahead.length < most) {
          const made = this.#make(orderOf(next++));
          // Whoever waits for it sees the error; nobody may ever wait.
          made.catch(() => undefined);
          ahead.push(made);
        }
        const host = await (ahead.shift() as Promise<HostBatch>);
        for (const why of host.broken) this.broken.add(why);
        if (host.labels.length > 0) yield this.#toDevice(host);
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    await this.#pool?.close();
    this.#pool = null;
  }

  #make(order: BatchOrder): Promise<HostBatch> {
    if (this.#options.workers === 0) return makeBatch(this.dataset, this.#recipe, order);
    this.#pool ??= new WorkerPool(this.#options.workers, this.#recipe);
    return this.#pool.make(order);
  }

  #targetShape(n: number): readonly number[] {
    const { classes = 0, side } = this.#recipe.targets ?? {};
    return side === undefined ? [n, classes] : [n, classes, 2 + side * side];
  }

  #toDevice({ images, labels, targets, indices }: HostBatch): Batch {
    const { device } = this.#options;
    const { size, channels } = this.transform;
    const n = labels.length;
    const labelTensor = fromHost(labels, [n], "int32", device);
    return {
      images: fromHost(images, [n, channels, size, size], "float32", device),
      labels: labelTensor,
      targets: targets === null ? labelTensor : fromHost(targets, this.#targetShape(n), "float32", device),
      indices,
      size: n,
    };
  }
}
