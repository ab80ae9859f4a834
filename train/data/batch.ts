/** One batch on the host: what workers do. */
import { OpError } from "../../engine/errors.js";
import { Draws } from "../augment/draws.js";
import { drawMix, type Mixing, mixImages, mixRows, mixTargets } from "../augment/mix.js";
import type { Picture } from "../augment/picture.js";
import { applyTransform, type Transform, type View } from "../augment/transform.js";
import type { Dataset, Source } from "./dataset.js";
import { type TokenMap, tokenTargets } from "./token-map.js";

/** How batches are made; the same for all of a loader's. Plain data. */
export interface BatchRecipe {
  readonly source: Source;
  readonly transform: Transform;
  readonly mixing: Mixing | null;
  /**
   * Classes of the targets, and what is spread over them; with `side`, those of side × side tokens from the data set's token labels. null: targets
   * are the labels.
   */
  readonly targets: { readonly classes: number; readonly smoothing: number; readonly side?: number } | null;
  readonly seed: number;
  /**
   * What happens to pictures that cannot be read. `refuse` throws, `replace` takes the next sample of the data set that can be read,
   * `drop` leaves them out.
   */
  readonly broken: "refuse" | "replace" | "drop";
}

/** Which batch. Together with the recipe it decides every byte. */
export interface BatchOrder {
  readonly epoch: number;
  /** Its number in the epoch. */
  readonly batch: number;
  /** Position in the epoch of its first sample. */
  readonly first: number;
  readonly indices: Int32Array;
}

/** A batch on the host. */
export interface HostBatch {
  /** [N, C, H, W] */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** [N, classes], with token labels [N, classes, 2 + L], or null where the labels are the targets. */
  readonly targets: Float32Array | null;
  /** Numbers of the samples in the data set. */
  readonly indices: Int32Array;
  /** Why pictures could not be read. */
  readonly broken: readonly string[];
}

/** Reads and augments the samples of a batch. Throws OpError for pictures that cannot be read, unless the recipe says otherwise. */
export async function makeBatch(dataset: Dataset, recipe: BatchRecipe, order: BatchOrder): Promise<HostBatch> {
  const { transform, mixing, seed } = recipe;
  const planes = { channels: transform.channels, height: transform.size, width: transform.size };
  const size = planes.channels * planes.height * planes.width;
  const images = new Float32Array(order.indices.length * size);
  const indices: number[] = [];
  const broken: string[] = [];
  const maps: { readonly map: TokenMap; readonly view: View }[] = [];
  const side = recipe.targets?.side;
  // While one picture is augmented, the next is read and decoded.
  const count = order.indices.length;
  const read = (i: number): Promise<ReadPicture | null> => {
    const reading = firstReadable(dataset, order.indices[i], recipe.broken, broken, side !== undefined);
    reading.catch(() => undefined);
    return reading;
  };
  let ahead = count > 0 ? read(0) : null;
  for (let i = 0; i < count; i++) {
    const found = await ahead;
    ahead = i + 1 < count ? read(i + 1) : null;
    if (found === null) continue;
    const draws = new Draws(seed, "sample", order.epoch, order.first + i);
    const view = applyTransform(found.picture, transform, draws, images, indices.length * size);
    indices.push(found.index);
    if (found.map !== null) maps.push({ map: found.map, view });
  }
  const n = indices.length;
  const labels = Int32Array.from(indices, (index) => dataset.label(index));
  let targets: Float32Array | null = null;
  if (recipe.targets !== null) {
    const mixes = mixing !== null && !(mixing.offEpoch > 0 && order.epoch >= mixing.offEpoch);
    const mix = mixes ? drawMix(mixing, planes, new Draws(seed, "batch", order.epoch, order.batch)) : { lambda: 1, box: null };
    mixImages(images, n, planes, mix);
    const { classes, smoothing } = recipe.targets;
    if (side === undefined) targets = mixTargets(labels, classes, mix.lambda, smoothing);
    else {
      const length = classes * (2 + side * side);
      const made = new Float32Array(n * length);
      maps.forEach(({ map, view }, i) => tokenTargets(map, view, labels[i], { classes, smoothing, side }, made, i * length));
      mixRows(made, n, length, mix.lambda);
      targets = made;
    }
  }
  return {
    images: n === count ? images : images.slice(0, n * size),
    labels,
    targets,
    indices: Int32Array.from(indices),
    broken,
  };
}

interface ReadPicture {
  readonly picture: Picture;
  readonly index: number;
  readonly map: TokenMap | null;
}

/** Reads sample `index`, or where that is allowed the next one that can be read. */
async function firstReadable(
  dataset: Dataset,
  index: number,
  policy: BatchRecipe["broken"],
  broken: string[],
  withTokens: boolean,
): Promise<ReadPicture | null> {
  if (withTokens && dataset.tokenMap === undefined) throw new OpError("data", `${dataset.name} has no token labels`);
  for (let tried = 0; tried < dataset.length; tried++) {
    const at = (index + tried) % dataset.length;
    try {
      return { picture: await dataset.picture(at), index: at, map: withTokens ? (dataset.tokenMap?.(at) ?? null) : null };
    } catch (error) {
      if (policy === "refuse") throw error;
      broken.push(`${dataset.title(at)}: ${(error as Error).message}`);
      if (policy === "drop") return null;
    }
  }
  throw new OpError("data", `no picture of ${dataset.name} can be read; the first said: ${broken[0]}`);
}
