/** From a picture to the planes that a network sees: framing, augmentation, normalisation. Plain data, so that workers can be told. */
import { OpError } from "../../engine/errors.js";
import { brightness, contrast, saturation } from "./colour.js";
import { type Range, randomBox } from "./crop-box.js";
import type { Draws } from "./draws.js";
import { type Erasing, randomErase } from "./erase.js";
import { crop, flipHorizontally, flipVertically, type Picture, withChannels } from "./picture.js";
import { parseRandAugment, type RandAugment, randAugment } from "./randaugment.js";
import { type Interpolation, resize } from "./resize.js";

/** What every network input has. */
export interface InputFormat {
  /** Side of the square images. */
  readonly size: number;
  readonly channels: 1 | 3;
  /** Of each channel, on a scale of 0 to 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly interpolation: Interpolation;
}

/** How the whole picture, or its centre, is brought to size. */
export type Framing =
  /** Shrunk or stretched to `inner` pixels where it is not so already, then black around it. */
  | { readonly kind: "pad"; readonly inner: number }
  /** The shorter side to size / share, then the centre. */
  | { readonly kind: "crop"; readonly share: number }
  /** Both sides to size. */
  | { readonly kind: "squash" };

/** What training does to pictures, in this order. */
export interface Augmentation {
  /** Random resized crop; null: the framing of evaluation. */
  readonly box: { readonly scale: Range; readonly ratio: Range } | null;
  /** Black pixels added around before a random crop of the image's size; 0: none. */
  readonly shift: number;
  /** Probabilities of mirroring. */
  readonly hflip: number;
  readonly vflip: number;
  /** Brightness, contrast and saturation by up to this share; not beside `randAugment`. */
  readonly colourJitter: number;
  readonly randAugment: RandAugment | null;
  readonly erasing: Erasing;
}

/** What pictures go through on their way to the network. */
export interface Transform extends InputFormat {
  readonly framing: Framing;
  /** null in evaluation. */
  readonly augmentation: Augmentation | null;
}

/** Pictures as evaluation sees them. */
export const noAugmentation: Augmentation = {
  box: null,
  shift: 0,
  hflip: 0,
  vflip: 0,
  colourJitter: 0,
  randAugment: null,
  erasing: { probability: 0, mode: "pixel", count: 1 },
};

/** The framing of evaluation: the centre `share` of the picture, or from 384 pixels on all of it. */
export const evaluationFraming = (size: number, share = 0.875): Framing =>
  size >= 384 || share >= 1 ? { kind: "squash" } : { kind: "crop", share };

export { parseRandAugment };

/** The part of a picture that is seen, in shares of its width and height, and whether it is seen the other way round. */
export interface View {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly mirrored: boolean;
  readonly upsideDown: boolean;
}

/** A picture framed as in evaluation. */
export function frame(picture: Picture, { size, interpolation, framing }: Pick<Transform, "size" | "interpolation" | "framing">): Picture {
  if (framing.kind === "squash") return resize(picture, size, size, interpolation);
  if (framing.kind === "pad") {
    if (framing.inner > size)
      throw new OpError("transform", `pictures of ${framing.inner} pixels do not fit into ${size}; pass a larger size`);
    const inner = resize(picture, framing.inner, framing.inner, interpolation);
    const before = (size - framing.inner) >> 1;
    return crop(inner, -before, -before, size, size);
  }
  const [width, height] = shownSize(picture, size, framing.share);
  const whole = resize(picture, width, height, interpolation);
  return crop(whole, Math.round((width - size) / 2), Math.round((height - size) / 2), size, size);
}

/** The size of a whole picture of which the centre is shown. The longer side is cut off to whole pixels, as torchvision does. */
function shownSize(picture: Picture, size: number, share: number): readonly [width: number, height: number] {
  const shorter = Math.floor(size / share);
  const scale = shorter / Math.min(picture.width, picture.height);
  const side = (length: number, other: number): number => (length <= other ? shorter : Math.max(shorter, Math.trunc(length * scale)));
  return [side(picture.width, picture.height), side(picture.height, picture.width)];
}

/** What `frame` shows. */
function framedView(
  picture: Picture,
  { size, framing }: Pick<Transform, "size" | "framing">,
): Pick<View, "left" | "top" | "right" | "bottom"> {
  const [width, height] =
    framing.kind === "crop"
      ? shownSize(picture, size, framing.share)
      : Array<number>(2).fill(framing.kind === "pad" ? framing.inner : size);
  const left = framing.kind === "pad" ? -((size - width) >> 1) : Math.round((width - size) / 2);
  const top = framing.kind === "pad" ? -((size - height) >> 1) : Math.round((height - size) / 2);
  return { left: left / width, top: top / height, right: (left + size) / width, bottom: (top + size) / height };
}

/** Factors from 1 − amount to 1 + amount, in an order drawn as well. */
function jitter(picture: Picture, amount: number, draws: Draws): Picture {
  const changes = [brightness, contrast, saturation];
  let current = picture;
  while (changes.length > 0) {
    const [change] = changes.splice(draws.integer(changes.length), 1);
    current = change(current, draws.uniform(Math.max(0, 1 - amount), 1 + amount));
  }
  return current;
}

/** A picture as it is seen, before it is normalised. */
export interface Seen {
  readonly picture: Picture;
  readonly view: View;
}

/** What training sees. */
export function augment(picture: Picture, transform: Transform, augmentation: Augmentation, draws: Draws): Seen {
  const { size, interpolation } = transform;
  const { box, shift, hflip, vflip, colourJitter } = augmentation;
  let current: Picture;
  let { left, top, right, bottom } = framedView(picture, transform);
  if (box === null) current = frame(picture, transform);
  else {
    const drawn = randomBox(picture.width, picture.height, box.scale, box.ratio, draws);
    current = resize(picture, size, size, interpolation, drawn);
    [left, right] = [drawn.left / picture.width, (drawn.left + drawn.width) / picture.width];
    [top, bottom] = [drawn.top / picture.height, (drawn.top + drawn.height) / picture.height];
  }
  if (shift > 0) {
    const [dx, dy] = [draws.integer(2 * shift + 1) - shift, draws.integer(2 * shift + 1) - shift];
    current = crop(current, dx, dy, size, size);
    const [across, down] = [(dx / size) * (right - left), (dy / size) * (bottom - top)];
    [left, right, top, bottom] = [left + across, right + across, top + down, bottom + down];
  }
  const mirrored = draws.chance(hflip);
  if (mirrored) current = flipHorizontally(current);
  const upsideDown = draws.chance(vflip);
  if (upsideDown) current = flipVertically(current);
  if (augmentation.randAugment !== null) {
    const fill = transform.mean.map((mean) => Math.min(255, Math.round(255 * mean)));
    current = randAugment(current, augmentation.randAugment, { draws, interpolation, fill });
  } else if (colourJitter > 0) current = jitter(current, colourJitter, draws);
  return { picture: current, view: { left, top, right, bottom, mirrored, upsideDown } };
}

/** Bytes to planes [C, H, W] of (byte / 255 − mean) / std, at `offset` of `out`. */
export function normalise(picture: Picture, { mean, std }: Pick<InputFormat, "mean" | "std">, out: Float32Array, offset: number): void {
  const { channels, data } = picture;
  const plane = data.length / channels;
  const values = Array.from({ length: channels }, (_, c) => normalisation(mean[c % mean.length], std[c % std.length]));
  if (channels === 1) {
    const [grey] = values;
    for (let i = 0; i < plane; i++) out[offset + i] = grey[data[i]];
    return;
  }
  const [red, green, blue] = values;
  for (let i = 0, at = 0; i < plane; i++, at += 3) {
    out[offset + i] = red[data[at]];
    out[offset + plane + i] = green[data[at + 1]];
    out[offset + 2 * plane + i] = blue[data[at + 2]];
  }
}

const tables = new Map<string, Float32Array>();

/** The 256 values of a channel. */
function normalisation(mean: number, std: number): Float32Array {
  const key = `${mean} ${std}`;
  const known = tables.get(key);
  if (known !== undefined) return known;
  const table = Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean) / std);
  tables.set(key, table);
  return table;
}

/**
 * Writes a picture as a network sees it, planes [C, size, size], at `offset` of `out`; returns what of it is seen. `draws` matter to augmentation
 * alone.
 */
export function applyTransform(picture: Picture, transform: Transform, draws: Draws, out: Float32Array, offset: number): View {
  const { size, channels, augmentation } = transform;
  const given = withChannels(picture, channels);
  const seen: Seen =
    augmentation === null
      ? { picture: frame(given, transform), view: { ...framedView(given, transform), mirrored: false, upsideDown: false } }
      : augment(given, transform, augmentation, draws);
  normalise(seen.picture, transform, out, offset);
  if (augmentation !== null) randomErase(out, offset, { channels, height: size, width: size }, augmentation.erasing, draws);
  return seen.view;
}
