/** Which part of a picture is looked at. */
import type { Draws } from "./draws.js";
import type { Box } from "./resize.js";

/** The least and the greatest value. */
export type Range = readonly [least: number, most: number];

/**
 * A random box: its share of the area within `scale`, its width over its height within `ratio` (even in the logarithm); after ten attempts
 * that do not fit, the largest centred box of an allowed ratio. Reference: torchvision's RandomResizedCrop.
 */
export function randomBox(width: number, height: number, scale: Range, ratio: Range, draws: Draws): Box {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = draws.uniform(...scale) * width * height;
    const aspect = Math.exp(draws.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { left: draws.integer(width - w + 1), top: draws.integer(height - h + 1), width: w, height: h };
  }
  const own = width / height;
  const w = own > ratio[1] ? Math.round(height * ratio[1]) : width;
  const h = own < ratio[0] ? Math.round(width / ratio[0]) : height;
  return { left: (width - w) >> 1, top: (height - h) >> 1, width: w, height: h };
}
