/** Data sets that lie in memory. */
import type { Picture } from "../augment/picture.js";
import type { BytesSource, Dataset } from "./dataset.js";

/** A data set of bytes in memory. */
export function openBytes(source: BytesSource): Dataset {
  const { name, side, channels, layout, data, labels, classNames, mean, std } = source;
  const size = side * side * channels;
  return {
    name,
    length: labels.length,
    numClasses: classNames.length,
    classNames,
    channels,
    mean,
    std,
    side,
    source,
    title: (index) => `${name} ${index}`,
    label: (index) => labels[index],
    picture: (index): Picture => {
      const bytes = data.subarray(index * size, (index + 1) * size);
      return { width: side, height: side, channels, data: layout === "pixels" || channels === 1 ? bytes : interleaved(bytes, channels) };
    },
  };
}

/** Planes to pixels. */
function interleaved(planes: Uint8Array, channels: number): Uint8Array {
  const out = new Uint8Array(planes.length);
  const plane = planes.length / channels;
  for (let c = 0; c < channels; c++) for (let i = 0; i < plane; i++) out[i * channels + c] = planes[c * plane + i];
  return out;
}
