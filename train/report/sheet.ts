/** Contact sheets: many pictures on one. */
import { blank, type Picture, withChannels } from "../augment/picture.js";

/** Planes [C, H, W] back to bytes: (value · std + mean) · 255. */
export function denormalised(
  planes: Float32Array,
  {
    size,
    channels,
    mean,
    std,
  }: { readonly size: number; readonly channels: 1 | 3; readonly mean: readonly number[]; readonly std: readonly number[] },
): Picture {
  const data = new Uint8ClampedArray(planes.length);
  const plane = size * size;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < plane; i++) data[i * channels + c] = (planes[c * plane + i] * std[c] + mean[c]) * 255;
  return { width: size, height: size, channels, data: new Uint8Array(data.buffer) };
}

/** Pictures of one size in rows of `columns`, with a gap between them. */
export function contactSheet(pictures: readonly Picture[], columns: number, gap = 2): Picture {
  const { width, height } = pictures[0];
  const rows = Math.ceil(pictures.length / columns);
  const sheet = blank(columns * (width + gap) + gap, rows * (height + gap) + gap, 3, [255]);
  pictures.forEach((picture, i) => {
    const { data } = withChannels(picture, 3);
    const left = gap + (i % columns) * (width + gap);
    const top = gap + Math.floor(i / columns) * (height + gap);
    for (let y = 0; y < height; y++)
      sheet.data.set(data.subarray(3 * y * width, 3 * (y + 1) * width), 3 * ((top + y) * sheet.width + left));
  });
  return sheet;
}
