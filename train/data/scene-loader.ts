/** Batches of scenes of fixed shapes, in an order that depends on seed and epoch alone. */
import { type Device, defaultDevice } from "../../engine/device.js";
import { OpError } from "../../engine/errors.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import { Draws } from "../augment/draws.js";
import { type SceneTransform, transformScene, writePlanes } from "../augment/scene-transform.js";
import type { BatchSource } from "../task.js";
import { epochOrder } from "./order.js";
import { ignoredClass, type Scene, type SceneDataset } from "./scene.js";

/** N pictures of one size H × W with room for M instances each. */
export interface HostScenes {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly maxInstances: number;
  /** [N, C, H, W], normalised; padding is 0. */
  readonly images: Float32Array;
  /** [N, M, 4] in pixels of H × W; 0 where there is no instance. */
  readonly boxes: Float32Array;
  /** [N, M]; −1 where there is no instance. */
  readonly labels: Int32Array;
  /** Of shape [N, M]: 1 for an instance that is no crowd. */
  readonly valid: Uint8Array;
  /** Of shape [N, M]: 1 for a crowd. */
  readonly crowd: Uint8Array;
  /** [N, M, H, W] */
  readonly masks: Uint8Array | null;
  /** [N, H, W]; 255 where nobody knows, in the padding too. */
  readonly semantic: Uint8Array | null;
  /** Of shape [N, 2]: height and width of the picture within H × W. */
  readonly sizes: Int32Array;
  /** Of shape [N, 2]: new over old side, vertical and horizontal. */
  readonly scales: Float32Array;
  /** Of shape [N, 2]: height and width of the picture in its file. */
  readonly originals: Int32Array;
  /** [N] */
  readonly imageIds: Int32Array;
  /** Of shape [N]: numbers in the data set. */
  readonly indices: Int32Array;
  /** Instances that found no room. */
  readonly leftOut: number;
}

/** A batch of scenes: pictures on a device, the rest on the host. */
export interface SceneBatch {
  /** [N, C, H, W] float32 */
  readonly images: Tensor;
  /** [N, H, W] int32 classes; null where scenes have none. */
  readonly semantic: Tensor | null;
  readonly host: HostScenes;
  readonly size: number;
}

export interface SceneLoaderOptions {
  readonly batchSize: number;
  readonly transform: SceneTransform;
  /** A new order each epoch. Default: the data set's own. */
  readonly shuffle?: boolean;
  readonly seed?: number;
  /** Leave out the last batch where it is smaller. Default false: it is as large as it can be. */
  readonly dropLast?: boolean;
  /** Room for instances of a picture; the largest are kept where there are more. Default 100. */
  readonly maxInstances?: number;
  /** Whether batches have masks. Default false. */
  readonly masks?: boolean;
  /** Scenes that cannot be read: `refuse` throws, `replace` takes the next that can be, `drop` leaves them out. Default "refuse". */
  readonly broken?: "refuse" | "replace" | "drop";
  readonly device?: Device;
}

/** Puts transformed scenes beside each other. */
export function collateScenes(
  scenes: readonly {
    readonly scene: Scene;
    readonly scale: readonly [number, number];
    readonly original: readonly [number, number];
    readonly index: number;
  }[],
  transform: SceneTransform,
  {
    maxInstances,
    masks: withMasks,
    semantic: withSemantic,
  }: { readonly maxInstances: number; readonly masks: boolean; readonly semantic: boolean },
): HostScenes {
  const [height, width] = transform.size;
  const [n, m, plane] = [scenes.length, maxInstances, height * width];
  const images = new Float32Array(n * transform.channels * plane);
  const boxes = new Float32Array(n * m * 4);
  const labels = new Int32Array(n * m).fill(-1);
  const [valid, crowd] = [new Uint8Array(n * m), new Uint8Array(n * m)];
  const masks = withMasks ? new Uint8Array(n * m * plane) : null;
  const semantic = withSemantic ? new Uint8Array(n * plane).fill(ignoredClass) : null;
  let leftOut = 0;
  scenes.forEach(({ scene, index }, i) => {
    const { width: own, height: rows } = scene.image;
    writePlanes(scene, transform, images, i * transform.channels * plane);
    const put = (from: Uint8Array, to: Uint8Array, at: number): void => {
      for (let y = 0; y < rows; y++) to.set(from.subarray(y * own, (y + 1) * own), at + y * width);
    };
    let order = Array.from(scene.labels, (_, k) => k);
    if (order.length > m) {
      order = order
        .sort((a, b) => scene.areas[b] - scene.areas[a] || a - b)
        .slice(0, m)
        .sort((a, b) => a - b);
      leftOut += scene.labels.length - m;
    }
    order.forEach((k, slot) => {
      const at = i * m + slot;
      boxes.set(scene.boxes.subarray(4 * k, 4 * k + 4), 4 * at);
      labels[at] = scene.labels[k];
      crowd[at] = scene.iscrowd[k];
      valid[at] = 1 - scene.iscrowd[k];
      if (masks !== null) put(scene.masks[k], masks, at * plane);
    });
    if (semantic !== null) {
      if (scene.semantic === undefined) throw new OpError("SceneLoader", `scene ${index} has no classes of pixels, others have`);
      put(scene.semantic, semantic, i * plane);
    }
  });
  return {
    count: n,
    height,
    width,
    maxInstances: m,
    images,
    boxes,
    labels,
    valid,
    crowd,
    masks,
    semantic,
    sizes: Int32Array.from(scenes.flatMap(({ scene: { image } }) => [image.height, image.width])),
    scales: Float32Array.from(scenes.flatMap(({ scale }) => [...scale])),
    originals: Int32Array.from(scenes.flatMap(({ original }) => [...original])),
    imageIds: Int32Array.from(scenes, ({ scene }) => scene.imageId),
    indices: Int32Array.from(scenes, ({ index }) => index),
    leftOut,
  };
}

/** Goes through scenes in batches, in an order that seed and epoch decide. */
export class SceneLoader implements BatchSource<SceneBatch> {
  readonly dataset: SceneDataset;
  /** Batches an epoch. */
  readonly length: number;
  readonly transform: SceneTransform;
  /** Why scenes could not be read, each once. */
  readonly broken = new Set<string>();
  readonly #options: Required<Omit<SceneLoaderOptions, "transform">>;

  constructor(dataset: SceneDataset, options: SceneLoaderOptions) {
    const { batchSize, transform, shuffle = false, seed = 0, dropLast = false, maxInstances = 100, masks = false } = options;
    const { broken = "refuse", device = defaultDevice() } = options;
    for (const [name, value] of Object.entries({ batchSize, maxInstances }))
      if (!Number.isInteger(value) || value < 1) throw new OpError("SceneLoader", `${name} is a whole number from 1 up; got ${value}`);
    this.dataset = dataset;
    this.transform = transform;
    this.#options = { batchSize, shuffle, seed, dropLast, maxInstances, masks, broken, device };
    this.length = dropLast ? Math.floor(dataset.length / batchSize) : Math.ceil(dataset.length / batchSize);
    if (this.length === 0)
      throw new OpError("SceneLoader", `${dataset.name} has ${dataset.length} scenes, which make no batch of ${batchSize}`);
  }

  /** Scenes an epoch. */
  get samples(): number {
    return this.#options.dropLast ? this.length * this.#options.batchSize : this.dataset.length;
  }

  /** The batches of an epoch, from batch `from` on. */
  async *epoch(epoch = 0, from = 0): AsyncGenerator<SceneBatch, void, undefined> {
    const { batchSize, shuffle, seed, maxInstances, masks, device } = this.#options;
    const order = epochOrder(this.dataset.length, epoch, { shuffle, seed, repeats: 1 });
    for (let batch = from; batch < this.length; batch++) {
      const first = batch * batchSize;
      const scenes = [];
      for (const [i, index] of order.slice(first, first + batchSize).entries()) {
        const found = await this.#read(index);
        if (found === null) continue;
        const draws = new Draws(seed, "sample", epoch, first + i);
        const { image } = found.scene;
        scenes.push({
          ...transformScene(found.scene, this.transform, draws),
          original: [image.height, image.width] as const,
          index: found.index,
        });
      }
      if (scenes.length === 0) continue;
      const host = collateScenes(scenes, this.transform, { maxInstances, masks, semantic: this.dataset.classes.length > 0 });
      const { count, height, width, semantic } = host;
      yield {
        images: fromHost(host.images, [count, this.transform.channels, height, width], "float32", device),
        semantic: semantic === null ? null : fromHost(Int32Array.from(semantic), [count, height, width], "int32", device),
        host,
        size: count,
      };
    }
  }

  async close(): Promise<void> {}

  async #read(index: number): Promise<{ readonly scene: Scene; readonly index: number } | null> {
    const { broken } = this.#options;
    let first = "";
    for (let tried = 0; tried < this.dataset.length; tried++) {
      const at = (index + tried) % this.dataset.length;
      try {
        return { scene: await this.dataset.get(at), index: at };
      } catch (error) {
        if (broken === "refuse") throw error;
        const why = (error as Error).message;
        if (first === "") first = why;
        this.broken.add(why);
        if (broken === "drop") return null;
      }
    }
    throw new OpError("data", `no scene of ${this.dataset.name} can be read; the first said: ${first}`);
  }
}
