/** Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019) of a batch with itself in reverse, and the targets that go with it. */
import type { Draws } from "./draws.js";
import type { Planes } from "./erase.js";

/** How batches are mixed with themselves. */
export interface Mixing {
  /** Parameter of mixup's beta distribution; 0: no mixup. */
  readonly mixup: number;
  /** Of cutmix's. */
  readonly cutmix: number;
  /** Probability that a batch is mixed at all. */
  readonly probability: number;
  /** Probability of cutmix where there are both. */
  readonly switchProbability: number;
  /** From this epoch on nothing is mixed; 0: never. */
  readonly offEpoch: number;
}

/** A box in pixels; `bottom` and `right` are beyond it. */
export interface CutBox {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** What a batch is mixed with: each image keeps the share `lambda`. */
export interface Mix {
  readonly lambda: number;
  /** The part that is swapped; null: images are added. */
  readonly box: CutBox | null;
}

/** A box of about the share 1 − λ around a place even over the image, cut off at its edges; and the share left outside of it. */
export function drawCutBox(height: number, width: number, lambda: number, draws: Draws): { readonly box: CutBox; readonly lambda: number } {
  const side = Math.sqrt(1 - lambda);
  const halfHeight = Math.floor(Math.trunc(height * side) / 2);
  const halfWidth = Math.floor(Math.trunc(width * side) / 2);
  const y = draws.integer(height);
  const x = draws.integer(width);
  const box = {
    top: Math.max(y - halfHeight, 0),
    bottom: Math.min(y + halfHeight, height),
    left: Math.max(x - halfWidth, 0),
    right: Math.min(x + halfWidth, width),
  };
  return { box, lambda: 1 - ((box.bottom - box.top) * (box.right - box.left)) / (height * width) };
}

/** How a batch is mixed. */
export function drawMix({ mixup, cutmix, probability, switchProbability }: Mixing, { height, width }: Planes, draws: Draws): Mix {
  if (mixup <= 0 && cutmix <= 0) return { lambda: 1, box: null };
  if (!draws.chance(probability)) return { lambda: 1, box: null };
  if (cutmix > 0 && (mixup <= 0 || draws.chance(switchProbability))) return drawCutBox(height, width, draws.beta(cutmix, cutmix), draws);
  return { lambda: draws.beta(mixup, mixup), box: null };
}

/** Mixes images [N, C, H, W] in place. */
export function mixImages(images: Float32Array, n: number, { channels, height, width }: Planes, { lambda, box }: Mix): void {
  if (lambda === 1 && box === null) return;
  const size = channels * height * width;
  const share = Math.fround(lambda);
  for (let i = 0; i < n >> 1; i++) {
    const a = i * size;
    const b = (n - 1 - i) * size;
    if (box === null) {
      for (let k = 0; k < size; k++) {
        const [x, y] = [images[a + k], images[b + k]];
        images[a + k] = x * share + y * (1 - share);
        images[b + k] = y * share + x * (1 - share);
      }
      continue;
    }
    for (let row = 0; row < channels * height; row++) {
      const y = row % height;
      if (y < box.top || y >= box.bottom) continue;
      for (let x = row * width + box.left; x < row * width + box.right; x++) {
        const kept = images[a + x];
        images[a + x] = images[b + x];
        images[b + x] = kept;
      }
    }
  }
}

/** Mixes rows of targets, `size` values an image, in place, as `mixImages` mixes the images. */
export function mixRows(targets: Float32Array, n: number, size: number, lambda: number): void {
  for (let i = 0; i < n >> 1; i++) {
    for (let a = i * size, b = (n - 1 - i) * size; a < (i + 1) * size; a++, b++) {
      const [x, y] = [targets[a], targets[b]];
      targets[a] = x * lambda + y * (1 - lambda);
      targets[b] = y * lambda + x * (1 - lambda);
    }
  }
}

/** Targets [N, classes]: λ of the own label and 1 − λ of that in reverse, each with `smoothing` spread over all classes. */
export function mixTargets(labels: Int32Array, classes: number, lambda: number, smoothing: number): Float32Array {
  const n = labels.length;
  const off = smoothing / classes;
  const on = 1 - smoothing;
  const targets = new Float32Array(n * classes).fill(off);
  for (let i = 0; i < n; i++) {
    targets[i * classes + labels[i]] += on * lambda;
    targets[i * classes + labels[n - 1 - i]] += on * (1 - lambda);
  }
  return targets;
}
