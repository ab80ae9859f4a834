/** What training makes of scenes: boxes, masks and classes of pixels go where the picture goes. */
import { OpError } from "../../engine/errors.js";
import { ignoredClass, type Scene } from "../data/scene.js";
import type { Draws } from "./draws.js";
import { crop, flipHorizontally, withChannels } from "./picture.js";
import { type Interpolation, resize } from "./resize.js";

/** Plain data. */
export interface SceneTransform {
  /** Height and width of what comes out; smaller scenes are padded right and below. Both divide by 32. */
  readonly size: readonly [height: number, width: number];
  readonly channels: 1 | 3;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly interpolation: Interpolation;
  /** Least and greatest factor of a scene that just fits into `size`; [1, 1]: it just fits. Larger scenes are cropped. */
  readonly scale: readonly [number, number];
  /** Probability of mirroring. */
  readonly hflip: number;
  /** Greatest share of a crop that one class may have; where more would, another place is tried, up to ten times. 1: any. */
  readonly mostOfOneClass: number;
}

/** A side that the strides of all stages divide. */
export const padded = (side: number, divisor = 32): number => Math.ceil(side / divisor) * divisor;

/** As evaluation shows scenes: as large as fits, not mirrored. */
export const withoutAugmentation = (transform: SceneTransform): SceneTransform => ({ ...transform, scale: [1, 1], hflip: 0 });

/** Pictures at another size; instances keep their shapes, by the nearest pixel. */
export function resizeScene(scene: Scene, width: number, height: number, interpolation: Interpolation): Scene {
  const { width: oldWidth, height: oldHeight } = scene.image;
  if (width === oldWidth && height === oldHeight) return scene;
  const [sx, sy] = [width / oldWidth, height / oldHeight];
  const rows = Int32Array.from({ length: height }, (_, y) => Math.min(oldHeight - 1, Math.floor((y + 0.5) / sy)));
  const columns = Int32Array.from({ length: width }, (_, x) => Math.min(oldWidth - 1, Math.floor((x + 0.5) / sx)));
  const sampled = (map: Uint8Array): Uint8Array => {
    const out = new Uint8Array(width * height);
    for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at++) out[at] = map[rows[y] * oldWidth + columns[x]];
    return out;
  };
  return remade(scene, {
    image: resize(scene.image, width, height, interpolation),
    boxes: scene.boxes.map((value, i) => value * (i % 2 === 0 ? sx : sy)),
    areas: scene.areas.map((area) => area * sx * sy),
    map: sampled,
  });
}

/** Mirrored left to right. */
export function flipScene(scene: Scene): Scene {
  const { width, height } = scene.image;
  const boxes = scene.boxes.slice();
  for (let i = 0; i < boxes.length; i += 4) {
    boxes[i] = width - scene.boxes[i + 2];
    boxes[i + 2] = width - scene.boxes[i];
  }
  const map = (values: Uint8Array): Uint8Array => flipHorizontally({ width, height, channels: 1, data: values }).data;
  return remade(scene, { image: flipHorizontally(scene.image), boxes, areas: scene.areas, map });
}

/**
 * A box of a scene; what lies outside of the scene is black, and of no known class. Instances of which less than a pixel is left are gone;
 * areas shrink as masks do.
 */
export function cropScene(scene: Scene, left: number, top: number, width: number, height: number): Scene {
  const { image } = scene;
  if (left === 0 && top === 0 && width === image.width && height === image.height) return scene;
  const cut = (values: Uint8Array, fill: number): Uint8Array =>
    crop({ width: image.width, height: image.height, channels: 1, data: values }, left, top, width, height, [fill]).data;
  const boxes = scene.boxes.map((value, i) => Math.min(Math.max(value - (i % 2 === 0 ? left : top), 0), i % 2 === 0 ? width : height));
  const kept: number[] = [];
  const masks: Uint8Array[] = [];
  const areas: number[] = [];
  scene.masks.forEach((mask, i) => {
    const inside = cut(mask, 0);
    const [before, after] = [pixels(mask), pixels(inside)];
    const [x0, y0, x1, y1] = boxes.subarray(4 * i, 4 * i + 4);
    if (x1 - x0 < 1 || y1 - y0 < 1 || after === 0) return;
    kept.push(i);
    masks.push(inside);
    areas.push((scene.areas[i] * after) / before);
  });
  return {
    image: crop(image, left, top, width, height),
    imageId: scene.imageId,
    boxes: Float32Array.from(kept.flatMap((i) => [...boxes.subarray(4 * i, 4 * i + 4)])),
    labels: Int32Array.from(kept, (i) => scene.labels[i]),
    masks,
    iscrowd: Uint8Array.from(kept, (i) => scene.iscrowd[i]),
    areas: Float32Array.from(areas),
    ...(scene.semantic === undefined ? {} : { semantic: cut(scene.semantic, ignoredClass) }),
  };
}

const pixels = (mask: Uint8Array): number => mask.reduce((sum, bit) => sum + bit, 0);

/** The same instances elsewhere; masks only where they are asked for. */
function remade(
  scene: Scene,
  { image, boxes, areas, map }: Pick<Scene, "image" | "boxes" | "areas"> & { readonly map: (values: Uint8Array) => Uint8Array },
): Scene {
  let masks: readonly Uint8Array[] | null = null;
  return {
    image,
    imageId: scene.imageId,
    boxes,
    labels: scene.labels,
    get masks() {
      masks ??= scene.masks.map(map);
      return masks;
    },
    iscrowd: scene.iscrowd,
    areas,
    ...(scene.semantic === undefined ? {} : { semantic: map(scene.semantic) }),
  };
}

/** A scene as a network sees it: `scene` before padding, and how much it was enlarged. */
export interface TransformedScene {
  readonly scene: Scene;
  /** New side over old: vertical, horizontal. */
  readonly scale: readonly [number, number];
}

/** Scales, mirrors and crops; `scene` is at most as large as the transform's size. */
export function transformScene(original: Scene, transform: SceneTransform, draws: Draws): TransformedScene {
  const [height, width] = transform.size;
  for (const side of [height, width])
    if (!(side > 0) || side % 32 !== 0) throw new OpError("SceneTransform", `sides are multiples of 32; got ${height} × ${width}`);
  const { image } = original;
  const fit = Math.min(height / image.height, width / image.width);
  const [least, greatest] = transform.scale;
  const factor = fit * (least === greatest ? least : draws.uniform(least, greatest));
  const [newHeight, newWidth] = [Math.max(1, Math.round(image.height * factor)), Math.max(1, Math.round(image.width * factor))];
  let scene = resizeScene(original, newWidth, newHeight, transform.interpolation);
  if (draws.chance(transform.hflip)) scene = flipScene(scene);
  if (newHeight > height || newWidth > width)
    scene = randomCrop(scene, Math.min(height, newHeight), Math.min(width, newWidth), transform, draws);
  return { scene, scale: [newHeight / image.height, newWidth / image.width] };
}

function randomCrop(scene: Scene, height: number, width: number, { mostOfOneClass }: SceneTransform, draws: Draws): Scene {
  const { image, semantic } = scene;
  for (let tries = 1; ; tries++) {
    const [top, left] = [draws.integer(image.height - height + 1), draws.integer(image.width - width + 1)];
    if (semantic === undefined || mostOfOneClass >= 1 || tries === 10) return cropScene(scene, left, top, width, height);
    const counts = new Uint32Array(256);
    for (let y = top; y < top + height; y++) for (let x = left; x < left + width; x++) counts[semantic[y * image.width + x]]++;
    const known = counts.subarray(0, ignoredClass);
    const sum = known.reduce((a, b) => a + b, 0);
    if (sum > 0 && Math.max(...known) / sum < mostOfOneClass) return cropScene(scene, left, top, width, height);
  }
}

/** Writes the picture as planes [channels, height, width] of the transform's size to `out` from `at` on; padding stays 0. */
export function writePlanes({ image }: Scene, transform: SceneTransform, out: Float32Array, at: number): void {
  const [height, width] = transform.size;
  const { channels, mean, std } = transform;
  const { data, width: own, height: rows } = withChannels(image, channels);
  for (let c = 0; c < channels; c++) {
    const [scale, shift] = [1 / (255 * std[c]), mean[c] / std[c]];
    for (let y = 0; y < rows; y++) {
      const to = at + (c * height + y) * width;
      for (let x = 0; x < own; x++) out[to + x] = data[(y * own + x) * channels + c] * scale - shift;
    }
  }
}
