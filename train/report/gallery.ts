/** Pictures worth looking at: the surest right answers and the surest wrong ones. */
import pngjs from "pngjs";
import { type Picture, withChannels } from "../augment/picture.js";
import { resize } from "../augment/resize.js";
import type { Dataset } from "../data/dataset.js";
import type { Prediction } from "../evaluate.js";

/** A picture as a PNG file. */
export function encodePng(picture: Picture): Uint8Array {
  const { width, height, data } = withChannels(picture, 3);
  const png = new pngjs.PNG({ width, height, colorType: 2 });
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) {
    png.data.set(data.subarray(i, i + 3), at);
    png.data[at + 3] = 255;
  }
  return pngjs.PNG.sync.write(png, { colorType: 2 });
}

/** Collects, of each kind, up to `most` predictions that the network was surest of, one a class before a second of any. */
export class Gallery {
  readonly #most: number;
  readonly #kept = { right: new Map<number, Prediction[]>(), wrong: new Map<number, Prediction[]>() };

  constructor(most: number) {
    this.#most = most;
  }

  add(prediction: Prediction): void {
    const { label, predicted } = prediction;
    const kind = this.#kept[label === predicted ? "right" : "wrong"];
    const list = kind.get(label) ?? [];
    if (list.length === this.#most && prediction.probability <= list[list.length - 1].probability) return;
    list.push(prediction);
    list.sort((a, b) => b.probability - a.probability || a.index - b.index);
    if (list.length > this.#most) list.pop();
    kind.set(label, list);
  }

  chosen(kind: "right" | "wrong"): Prediction[] {
    const lists = [...this.#kept[kind]].sort(([a], [b]) => a - b).map(([, list]) => list);
    const chosen: Prediction[] = [];
    for (let rank = 0; rank < this.#most && chosen.length < this.#most; rank++)
      for (const list of lists) if (rank < list.length && chosen.length < this.#most) chosen.push(list[rank]);
    return chosen;
  }
}

/** A picture of the gallery. */
export interface ShownPicture {
  readonly prediction: Prediction;
  readonly title: string;
  /** A PNG in a `data:` address. */
  readonly address: string;
}

const largest = 96;

/** The pictures of predictions, small. Those that cannot be read are left out. */
export async function showPictures(dataset: Dataset, predictions: readonly Prediction[]): Promise<ShownPicture[]> {
  const shown: ShownPicture[] = [];
  for (const prediction of predictions) {
    let picture: Picture;
    try {
      picture = await dataset.picture(prediction.index);
    } catch {
      continue;
    }
    const scale = Math.min(1, largest / Math.max(picture.width, picture.height));
    const side = (length: number): number => Math.max(1, Math.round(length * scale));
    const small = resize(picture, side(picture.width), side(picture.height), "bicubic");
    const address = `data:image/png;base64,${Buffer.from(encodePng(small)).toString("base64")}`;
    shown.push({ prediction, title: dataset.title(prediction.index), address });
  }
  return shown;
}
