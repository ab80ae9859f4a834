/** Random erasing (Zhong et al., 2020): boxes of noise in images that are already normalised. */
import type { Draws } from "./draws.js";

/** How images are erased. */
export interface Erasing {
  readonly probability: number;
  /** Noise for each pixel, one noise value a channel of the box, or 0. */
  readonly mode: "pixel" | "rand" | "const";
  /** Up to this many boxes. */
  readonly count: number;
}

const area = [0.02, 1 / 3] as const;
const logAspect = [Math.log(0.3), Math.log(1 / 0.3)] as const;

/** Size of an image's planes. */
export interface Planes {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Erases in place, in planes [C, H, W] that begin at `offset`. Returns how many boxes there are. */
export function randomErase(
  out: Float32Array,
  offset: number,
  { channels, height, width }: Planes,
  erasing: Erasing,
  draws: Draws,
): number {
  if (!draws.chance(erasing.probability)) return 0;
  const count = erasing.count === 1 ? 1 : 1 + draws.integer(erasing.count);
  let erased = 0;
  for (let box = 0; box < count; box++) {
    for (let attempt = 0; attempt < 10; attempt++) {
      const wanted = (draws.uniform(...area) * width * height) / count;
      const aspect = Math.exp(draws.uniform(...logAspect));
      const h = Math.round(Math.sqrt(wanted * aspect));
      const w = Math.round(Math.sqrt(wanted / aspect));
      if (h >= height || w >= width) continue;
      const top = draws.integer(height - h + 1);
      const left = draws.integer(width - w + 1);
      for (let c = 0; c < channels; c++) {
        const colour = erasing.mode === "rand" ? draws.normal() : 0;
        for (let y = top; y < top + h; y++) {
          const row = offset + (c * height + y) * width;
          if (erasing.mode === "pixel") draws.fillNormal(out, row + left, row + left + w);
          else out.fill(colour, row + left, row + left + w);
        }
      }
      erased++;
      break;
    }
  }
  return erased;
}
