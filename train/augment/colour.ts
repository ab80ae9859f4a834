/** Changes of colour, with Pillow's arithmetic on bytes. */
import { luma, type Picture, withChannels } from "./picture.js";

/** Every channel through a table of 256 values, or through one of its own. */
function through(picture: Picture, table: (channel: number) => Uint8Array): Picture {
  const { channels, data } = picture;
  const out = new Uint8Array(data.length);
  for (let c = 0; c < channels; c++) {
    const values = table(c);
    for (let i = c; i < data.length; i += channels) out[i] = values[data[i]];
  }
  return { ...picture, data: out };
}

const table = (value: (byte: number) => number): Uint8Array => {
  const out = new Uint8ClampedArray(256);
  for (let byte = 0; byte < 256; byte++) out[byte] = Math.trunc(value(byte));
  return new Uint8Array(out.buffer);
};

const sameForAll = (picture: Picture, value: (byte: number) => number): Picture => {
  const values = table(value);
  return through(picture, () => values);
};

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

function histogram({ channels, data }: Picture, channel: number): Float64Array {
  const counts = new Float64Array(256);
  for (let i = channel; i < data.length; i += channels) counts[data[i]]++;
  return counts;
}

/** Stretches each channel to 0 … 255. */
export function autoContrast(picture: Picture): Picture {
  return through(picture, (channel) => {
    const counts = histogram(picture, channel);
    const low = counts.findIndex((count) => count > 0);
    const high = counts.findLastIndex((count) => count > 0);
    if (high <= low) return table((byte) => byte);
    const scale = 255 / (high - low);
    return table((byte) => byte * scale - low * scale);
  });
}

/** Makes each channel's values equally frequent. */
export function equalize(picture: Picture): Picture {
  return through(picture, (channel) => {
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
}

/** `from` + (`picture` − `from`) · factor, cut off to bytes: less or more of what sets the picture apart from `from`. */
function blend(picture: Picture, from: (index: number) => number, factor: number): Picture {
  const { data } = picture;
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const base = from(i);
    const value = base + (data[i] - base) * factor;
    out[i] = value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
  }
  return { ...picture, data: out };
}

/** Factor 0 is black, 1 the picture. */
export const brightness = (picture: Picture, factor: number): Picture => blend(picture, () => 0, factor);

/** Factor 0 is its mean grey, 1 the picture. */
export function contrast(picture: Picture, factor: number): Picture {
  const { data } = withChannels(picture, 1);
  let sum = 0;
  for (const value of data) sum += value;
  const mean = Math.trunc(sum / data.length + 0.5);
  return blend(picture, () => mean, factor);
}

/** Factor 0 is grey, 1 the picture. A grey picture stays as it is. */
export function saturation(picture: Picture, factor: number): Picture {
  const { channels, data } = picture;
  if (channels === 1) return picture;
  let grey = 0;
  return blend(
    picture,
    (i) => {
      if (i % 3 === 0) grey = luma(data[i], data[i + 1], data[i + 2]);
      return grey;
    },
    factor,
  );
}

/** Factor 0 is smoothed by (1 1 1; 1 5 1; 1 1 1) / 13, 1 the picture. */
export function sharpness(picture: Picture, factor: number): Picture {
  const { width, height, channels, data } = picture;
  const smooth = new Uint8Array(data);
  const row = width * channels;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * row + channels; i < (y + 1) * row - channels; i++) {
      const above = data[i - row - channels] + data[i - row] + data[i - row + channels];
      const beside = data[i - channels] + 5 * data[i] + data[i + channels];
      const below = data[i + row - channels] + data[i + row] + data[i + row + channels];
      smooth[i] = Math.trunc((above + beside + below) / 13 + 0.5);
    }
  }
  return blend(picture, (i) => smooth[i], factor);
}
