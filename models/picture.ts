/** Small pictures of what is inside a network: values as colours, maps beside each other. Pure pixels, for pages and files alike. */
import { OpError } from "../engine/errors.js";

/** Rows of pixels, three bytes each: red, green, blue. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array;
}

/** Viridis (van der Walt and Smith, 2015) at nine places: even in brightness, and readable without colour vision. */
const viridis = [0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725];
const channels = (colour: number): readonly [number, number, number] => [colour >> 16, (colour >> 8) & 255, colour & 255];

function shade(value: number): readonly number[] {
  const at = Math.min(Math.max(value, 0), 1) * (viridis.length - 1);
  const below = Math.min(Math.floor(at), viridis.length - 2);
  const [low, high] = [channels(viridis[below]), channels(viridis[below + 1])];
  return low.map((from, i) => Math.round(from + (high[i] - from) * (at - below)));
}

/** Colours far apart for neighbouring numbers: hues by the golden ratio. */
export function labelColour(label: number): readonly number[] {
  const hue = (label * 0.618034) % 1;
  const value = 1 - 0.25 * (label % 3);
  return [0, 1 / 3, 2 / 3].map((turn) => Math.round(255 * value * (0.5 + 0.5 * Math.cos(2 * Math.PI * (hue - turn)))));
}

function painted(width: number, height: number, colour: (at: number) => ArrayLike<number>): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) data.set(colour(at), 3 * at);
  return { width, height, channels: 3, data };
}

/** [height, width] values from dark (the smallest, or `low`) to bright (the largest, or `high`). What is no number is grey. */
export function heatMap(
  values: ArrayLike<number>,
  [height, width]: readonly [number, number],
  range: { readonly low?: number; readonly high?: number } = {},
): Picture {
  if (values.length !== height * width) throw new OpError("heatMap", `${values.length} values do not fill ${height} × ${width} pixels`);
  const finite = Array.from(values).filter(Number.isFinite);
  const low = range.low ?? finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = range.high ?? finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const scale = high > low ? 1 / (high - low) : 0;
  return painted(width, height, (at) => (Number.isFinite(values[at]) ? shade((values[at] - low) * scale) : [128, 128, 128]));
}

/** The label with the largest value in each pixel, as colours: values [labels, height, width]. */
export function labelMap(values: ArrayLike<number>, [labels, height, width]: readonly [number, number, number]): Picture {
  const size = height * width;
  return painted(width, height, (at) => {
    let best = 0;
    for (let label = 1; label < labels; label++) if (values[label * size + at] > values[best * size + at]) best = label;
    return labelColour(best);
  });
}

/** Every pixel as a rectangle of pixels. */
export function enlarged({ width, height, data }: Picture, [newHeight, newWidth]: readonly [number, number]): Picture {
  return painted(newWidth, newHeight, (at) => {
    const y = Math.floor((Math.floor(at / newWidth) * height) / newHeight);
    const x = Math.floor(((at % newWidth) * width) / newWidth);
    return data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3);
  });
}

/** Two pictures of one size, one seen through the other. */
export function blended(a: Picture, b: Picture, share = 0.5): Picture {
  if (a.width !== b.width || a.height !== b.height) {
    throw new OpError("blended", `pictures of one size are wanted; got ${a.width} × ${a.height} and ${b.width} × ${b.height}`);
  }
  return { ...a, data: a.data.map((value, i) => Math.round(value * (1 - share) + b.data[i] * share)) };
}

/** Pictures in rows of `columns`, on white, in cells of the largest size. */
export function arranged(pictures: readonly Picture[], columns: number, gap = 2): Picture {
  const [cellWidth, cellHeight] = [Math.max(...pictures.map((p) => p.width)), Math.max(...pictures.map((p) => p.height))];
  const rows = Math.ceil(pictures.length / columns);
  const across = Math.min(columns, pictures.length);
  const width = across * (cellWidth + gap) - gap;
  const height = rows * (cellHeight + gap) - gap;
  const data = new Uint8Array(width * height * 3).fill(255);
  pictures.forEach((picture, i) => {
    const [top, left] = [Math.floor(i / columns) * (cellHeight + gap), (i % columns) * (cellWidth + gap)];
    for (let y = 0; y < picture.height; y++) {
      data.set(picture.data.subarray(3 * y * picture.width, 3 * (y + 1) * picture.width), 3 * ((top + y) * width + left));
    }
  });
  return { width, height, channels: 3, data };
}

/** The picture; the slots of a GLMix block over it, each pixel in the colour of its strongest slot; and the share of every slot. */
export function slotPicture(
  picture: Picture,
  values: ArrayLike<number>,
  [slots, height, width]: readonly [number, number, number],
): Picture {
  const side: [number, number] = [picture.height, picture.width];
  const over = blended(picture, enlarged(labelMap(values, [slots, height, width]), side), 0.6);
  const columns = Math.ceil(Math.sqrt(slots));
  const size = height * width;
  const cell: [number, number] = [Math.max(1, Math.floor(side[0] / columns)), Math.max(1, Math.floor(side[1] / columns))];
  const maps = Array.from({ length: slots }, (_, slot) =>
    enlarged(heatMap(Array.prototype.slice.call(values, slot * size, (slot + 1) * size), [height, width]), cell),
  );
  return arranged([picture, over, arranged(maps, columns, 1)], 3, 4);
}

/** The picture, and the strength (root mean square over the channels) of a gnConv's features after each interaction. */
export function orderPicture(
  picture: Picture,
  orders: readonly { readonly values: ArrayLike<number>; readonly shape: readonly [number, number, number] }[],
): Picture {
  const side: [number, number] = [picture.height, picture.width];
  const maps = orders.map(({ values, shape: [count, height, width] }) => {
    const size = height * width;
    const strength = Float64Array.from({ length: size }, (_, at) => {
      let sum = 0;
      for (let channel = 0; channel < count; channel++) sum += values[channel * size + at] ** 2;
      return Math.sqrt(sum / count);
    });
    return enlarged(heatMap(strength, [height, width]), side);
  });
  return arranged([picture, ...maps], maps.length + 1, 4);
}
