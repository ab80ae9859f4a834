/** Pictures as bytes, before they become tensors. */

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** Rows of pixels, the channels of a pixel side by side. */
  readonly data: Uint8Array;
}

/** A picture of one value a channel. */
export function blank(width: number, height: number, channels: 1 | 3, value: readonly number[] = [0]): Picture {
  const data = new Uint8Array(width * height * channels);
  if (value.some((v) => v !== 0)) for (let i = 0; i < data.length; i++) data[i] = value[(i % channels) % value.length];
  return { width, height, channels, data };
}

/** Rounded luma of ITU-R 601-2, as Pillow computes it. */
export const luma = (r: number, g: number, b: number): number => (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;

/** The same picture in grey, or grey spread over three channels. */
export function withChannels(picture: Picture, channels: 1 | 3): Picture {
  const { width, height, data } = picture;
  if (picture.channels === channels) return picture;
  const out = new Uint8Array(width * height * channels);
  if (channels === 1) for (let i = 0; i < out.length; i++) out[i] = luma(data[3 * i], data[3 * i + 1], data[3 * i + 2]);
  else for (let i = 0; i < data.length; i++) out.fill(data[i], 3 * i, 3 * i + 3);
  return { width, height, channels, data: out };
}

/** A box of a picture; what lies outside of it is `fill`, one value a channel. */
export function crop(picture: Picture, left: number, top: number, width: number, height: number, fill: readonly number[] = [0]): Picture {
  const { channels } = picture;
  if (left === 0 && top === 0 && width === picture.width && height === picture.height) return picture;
  const out = blank(
    width,
    height,
    channels,
    left < 0 || top < 0 || left + width > picture.width || top + height > picture.height ? fill : [0],
  );
  const from = Math.max(left, 0);
  const to = Math.min(left + width, picture.width);
  if (to <= from) return out;
  for (let y = Math.max(top, 0); y < Math.min(top + height, picture.height); y++) {
    const row = picture.data.subarray((y * picture.width + from) * channels, (y * picture.width + to) * channels);
    out.data.set(row, ((y - top) * width + from - left) * channels);
  }
  return out;
}

/** Mirrored left to right. */
export function flipHorizontally({ width, height, channels, data }: Picture): Picture {
  const out = new Uint8Array(data.length);
  const row = width * channels;
  for (let y = 0; y < height; y++) {
    for (let from = y * row, to = (y + 1) * row - channels; from < (y + 1) * row; from += channels, to -= channels)
      for (let c = 0; c < channels; c++) out[to + c] = data[from + c];
  }
  return { width, height, channels, data: out };
}

/** Upside down. */
export function flipVertically({ width, height, channels, data }: Picture): Picture {
  const out = new Uint8Array(data.length);
  const row = width * channels;
  for (let y = 0; y < height; y++) out.set(data.subarray(y * row, (y + 1) * row), (height - 1 - y) * row);
  return { width, height, channels, data: out };
}
