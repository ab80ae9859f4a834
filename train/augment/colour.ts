/** Changes of colour, with Pillow's arithmetic on bytes. */
import { luma, type Picture, withChannels } from "./picture.js";

/** Every channel through a table of 256 values: one for all, or one each. */
function through(picture: Picture, tables: readonly Uint8Array[]): Picture {
  const { data } = picture;
  const out = new Uint8Array(data.length);
  if (tables.length === 1) {
    const [values] = tables;
    for (let i = 0; i < data.length; i++) out[i] = values[data[i]];
  } else {
    const [red, green, blue] = tables;
    for (let i = 0; i < data.length; i += 3) {
      out[i] = red[data[i]];
      out[i + 1] = green[data[i + 1]];
      out[i + 2] = blue[data[i + 2]];
    }
  }
  return { ...picture, data: out };
}

const channelsOf = ({ channels }: Picture): number[] => Array.from({ length: channels }, (_, c) => c);

const table = (value: (byte: number) => number): Uint8Array => {
  const out = new Uint8ClampedArray(256);
  for (let byte = 0; byte < 256; byte++) out[byte] = Math.trunc(value(byte));
  return new Uint8Array(out.buffer);
};

const sameForAll = (picture: Picture, value: (byte: number) => number): Picture => through(picture, [table(value)]);

/** Every byte from 255. */
export const invert = (picture: Picture): Picture => sameForAll(picture, (byte) => 255 - byte);

/** Bytes from `threshold` up are inverted. */
export const solarize = (picture: Picture, threshold: number): Picture =>
  sameForAll(picture, (byte) => (byte < threshold ? byte : 255 - byte));

/** Adds to bytes below 128. */
export const solarizeAdd = (picture: Picture, amount: number): Picture =>
  sameForAll(picture, (byte) => (byte < 128 ? Math.min(255, byte + amount) : byte));

/** Keeps the upper bits of each byte, 0 to 8 of them. */
export const posterize = (picture: Picture, bits: number): Picture =>
  sameForAll(picture, (byte) => byte & ~(2 ** (8 - Math.min(bits, 8)) - 1));

function histogram({ channels, data }: Picture, channel: number): Uint32Array {
  const counts = new Uint32Array(256);
  for (let i = channel; i < data.length; i += channels) counts[data[i]]++;
  return counts;
}

/** Stretches each channel to 0 … 255. */
export function autoContrast(picture: Picture): Picture {
  const tables = channelsOf(picture).map((channel) => {
    const counts = histogram(picture, channel);
    const low = counts.findIndex((count) => count > 0);
    const high = counts.findLastIndex((count) => count > 0);
    if (high <= low) return table((byte) => byte);
    const scale = 255 / (high - low);
    return table((byte) => byte * scale - low * scale);
  });
  return through(picture, tables);
}

/** Makes each channel's values equally frequent. */
export function equalize(picture: Picture): Picture {
  const tables = channelsOf(picture).map((channel) => {
    const counts = histogram(picture, channel);
    const highest = counts.findLastIndex((count) => count > 0);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const step = Math.floor((total - counts[highest]) / 255);
    if (step === 0) return table((byte) => byte);
    let sum = Math.floor(step / 2);
    return table((byte) => {
      const value = Math.floor(sum / step);
      sum += counts[byte];
      return Math.min(value, 255);
    });
  });
  return through(picture, tables);
}

/** `from` + (`value` − `from`) · factor as a byte: less or more of what sets the value apart. In float32, as Pillow computes it. */
function blended(from: number, value: number, factor: number): number {
  const out = Math.fround(from + Math.fround(factor * (value - from)));
  return out <= 0 ? 0 : out >= 255 ? 255 : out;
}

/** Blends a picture with one grey. */
function blendWith(picture: Picture, from: number, factor: number): Picture {
  const share = Math.fround(factor);
  return sameForAll(picture, (byte) => blended(from, byte, share));
}

/** Factor 0 is black, 1 the picture. */
export const brightness = (picture: Picture, factor: number): Picture => blendWith(picture, 0, factor);

/** Factor 0 is its mean grey, 1 the picture. */
export function contrast(picture: Picture, factor: number): Picture {
  const { data } = withChannels(picture, 1);
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i];
  return blendWith(picture, Math.trunc(sum / data.length + 0.5), factor);
}

/** Factor 0 is grey, 1 the picture. A grey picture stays as it is. */
export function saturation(picture: Picture, factor: number): Picture {
  const { channels, data } = picture;
  if (channels === 1) return picture;
  const share = Math.fround(factor);
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const grey = luma(data[i], data[i + 1], data[i + 2]);
    out[i] = blended(grey, data[i], share);
    out[i + 1] = blended(grey, data[i + 1], share);
    out[i + 2] = blended(grey, data[i + 2], share);
  }
  return { ...picture, data: out };
}

/** Factor 0 is smoothed by (1 1 1; 1 5 1; 1 1 1) / 13 but for its outermost pixels, 1 the picture. */
export function sharpness(picture: Picture, factor: number): Picture {
  const { width, height, channels, data } = picture;
  const share = Math.fround(factor);
  const out = new Uint8Array(data);
  const row = width * channels;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * row + channels; i < (y + 1) * row - channels; i++) {
      const above = data[i - row - channels] + data[i - row] + data[i - row + channels];
      const beside = data[i - channels] + 5 * data[i] + data[i + channels];
      const below = data[i + row - channels] + data[i + row] + data[i + row + channels];
      out[i] = blended(((above + beside + below) / 13 + 0.5) | 0, data[i], share);
    }
  }
  return { ...picture, data: out };
}
