/**
 * COCO's instance annotations: one JSON file beside a folder of pictures.
 * @see https://cocodataset.org/#format-data
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../../engine/errors.js";
import { decodePicture } from "./decode.js";
import { decodeRle, polygonMask, type Rle, rleFromString, rleProblem } from "./mask.js";
import type { Scene, SceneDataset } from "./scene.js";
import type { SemanticMasks } from "./semantic.js";

export interface CocoOptions {
  /** Leave out pictures and annotations that are broken, and tell `onBroken`. Default: throw at the first. */
  readonly skipBroken?: boolean;
  /** Hears of each that is left out: file, record and reason. */
  readonly onBroken?: (why: string) => void;
  /** Classes of the pixels, from masks beside the annotations. Default: scenes have none. */
  readonly semantic?: SemanticMasks;
}

/** What a mask was given as. */
type Segmentation = { readonly polygons: readonly (readonly number[])[] } | { readonly rle: Rle };

interface Instance {
  readonly box: readonly [number, number, number, number];
  readonly label: number;
  readonly area: number;
  readonly crowd: boolean;
  readonly segmentation: Segmentation;
}

interface Entry {
  readonly id: number;
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly instances: Instance[];
}

/** How far in pixels a box may stand out of its picture: annotators round. What stands out is cut off. */
const slack = 1;

type Record_ = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Record_ => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
const numbers = (value: unknown): value is number[] => Array.isArray(value) && value.every((v) => Number.isFinite(v));

/** Why one record is wrong. */
class Broken extends Error {}

/**
 * Opens an annotation file and checks every record of it: pictures must be there, boxes within them, categories and pictures known, masks
 * well formed, and no number twice. The first that is wrong is refused with file, record and reason, or with `skipBroken` each is left out.
 * Pictures and masks are decoded when a scene is asked for. Categories are in the order of their numbers.
 */
export function cocoDataset(file: string, folder: string, options: CocoOptions = {}): SceneDataset {
  const { images, annotations, categories } = readAnnotations(file);
  const attempt = (kind: string, record: unknown, i: number, take: () => void): void => {
    try {
      take();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      const id = isRecord(record) && record.id !== undefined ? `id ${JSON.stringify(record.id)}` : `number ${i}`;
      const why = `${file}: ${kind} ${id}: ${error.message}`;
      if (!options.skipBroken) throw new OpError("coco", `${why}; mend it, or pass --skip-broken to leave such records out`);
      options.onBroken?.(why);
    }
  };

  const names = new Map<number, string>();
  categories.forEach((record, i) => {
    attempt("category", record, i, () => {
      const { id, name } = named(record, ["id", "name"]);
      if (!Number.isSafeInteger(id)) throw new Broken(`its id is ${JSON.stringify(id)}; expected a whole number`);
      if (typeof name !== "string" || name === "") throw new Broken("it has no name");
      if (names.has(id as number)) throw new Broken("another category has the same id");
      if ([...names.values()].includes(name)) throw new Broken(`another category is called ${name}, too`);
      names.set(id as number, name);
    });
  });
  const order = [...names.keys()].sort((a, b) => a - b);
  const labels = new Map(order.map((id, label) => [id, label]));

  const entries = new Map<number, Entry>();
  images.forEach((record, i) => {
    attempt("image", record, i, () => {
      const entry = entryOf(record, folder);
      if (entries.has(entry.id)) throw new Broken("another image has the same id");
      if (options.semantic !== undefined) {
        const why = options.semantic.problem(record.file_name as string);
        if (why !== null) throw new Broken(why);
      }
      entries.set(entry.id, entry);
    });
  });

  const left = new Set(images.flatMap((record) => (isRecord(record) && !entries.has(record.id as number) ? [record.id] : [])));
  const seen = new Set<number>();
  annotations.forEach((record, i) => {
    attempt("annotation", record, i, () => {
      const { id, image_id: imageId } = named(record, ["id", "image_id"]);
      if (!Number.isSafeInteger(id)) throw new Broken(`its id is ${JSON.stringify(id)}; expected a whole number`);
      if (seen.has(id as number)) throw new Broken("another annotation has the same id");
      const entry = entries.get(imageId as number);
      if (entry === undefined)
        throw new Broken(
          left.has(imageId) ? `its image ${JSON.stringify(imageId)} is left out` : `there is no image ${JSON.stringify(imageId)}`,
        );
      entry.instances.push(instanceOf(record, entry, labels));
      seen.add(id as number);
    });
  });
  if (entries.size === 0) throw new OpError("coco", `${file} names no picture that can be used`);

  const list = [...entries.values()];
  return {
    name: file,
    length: list.length,
    categories: order.map((id) => names.get(id) as string),
    classes: options.semantic?.classes ?? [],
    title: (index) => list[index].path,
    get: (index) => readScene(list[index], file, options.semantic),
  };
}

function readAnnotations(file: string): { readonly images: Record_[]; readonly annotations: Record_[]; readonly categories: Record_[] } {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new OpError("coco", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  if (!isRecord(content)) throw new OpError("coco", `${file} holds no object; expected images, annotations and categories`);
  const { images, annotations, categories } = content;
  for (const [name, list] of Object.entries({ images, annotations, categories }))
    if (!Array.isArray(list)) throw new OpError("coco", `${file} has no list "${name}"; expected images, annotations and categories`);
  return { images, annotations, categories } as { images: Record_[]; annotations: Record_[]; categories: Record_[] };
}

function named(record: unknown, names: readonly string[]): Record_ {
  if (!isRecord(record)) throw new Broken("it is no object");
  const missing = names.find((name) => record[name] === undefined);
  if (missing !== undefined) throw new Broken(`it has no "${missing}"`);
  return record;
}

function entryOf(record: unknown, folder: string): Entry {
  const { id, file_name: name, width, height } = named(record, ["id", "file_name", "width", "height"]);
  if (!Number.isSafeInteger(id)) throw new Broken(`its id is ${JSON.stringify(id)}; expected a whole number`);
  if (typeof name !== "string" || name === "") throw new Broken("its file_name is no text");
  if (!isCount(width) || !isCount(height))
    throw new Broken(`its size is ${JSON.stringify(width)} × ${JSON.stringify(height)}; expected whole numbers above 0`);
  const path = join(folder, name);
  if (!existsSync(path)) throw new Broken(`there is no picture ${path}`);
  return { id: id as number, path, width, height, instances: [] };
}

function instanceOf(record: Record_, { width, height }: Entry, labels: ReadonlyMap<number, number>): Instance {
  const { category_id: category, bbox, segmentation, iscrowd = 0, area } = named(record, ["category_id", "bbox", "segmentation"]);
  const label = labels.get(category as number);
  if (label === undefined) throw new Broken(`there is no category ${JSON.stringify(category)}`);
  if (iscrowd !== 0 && iscrowd !== 1) throw new Broken(`its iscrowd is ${JSON.stringify(iscrowd)}; expected 0 or 1`);
  if (!numbers(bbox) || bbox.length !== 4) throw new Broken(`its bbox is ${short(bbox)}; expected [left, top, width, height]`);
  const [x, y, w, h] = bbox;
  if (!(w > 0 && h > 0)) throw new Broken(`its box is ${w} × ${h}; expected an extent`);
  if (x < -slack || y < -slack || x + w > width + slack || y + h > height + slack)
    throw new Broken(`its box [${bbox.join(", ")}] reaches out of the picture of ${width} × ${height}`);
  if (area !== undefined && !(Number.isFinite(area) && (area as number) >= 0))
    throw new Broken(`its area is ${short(area)}; expected a number from 0 up`);
  return {
    box: [Math.max(x, 0), Math.max(y, 0), Math.min(x + w, width), Math.min(y + h, height)],
    label,
    area: (area as number | undefined) ?? w * h,
    crowd: iscrowd === 1,
    segmentation: segmentationOf(segmentation, width, height),
  };
}

function segmentationOf(given: unknown, width: number, height: number): Segmentation {
  if (Array.isArray(given)) {
    if (given.length === 0) throw new Broken("its segmentation has no polygon");
    given.forEach((polygon, i) => {
      if (!numbers(polygon) || polygon.length < 6 || polygon.length % 2 !== 0)
        throw new Broken(`polygon ${i} is ${short(polygon)}; expected x, y of three points or more`);
    });
    return { polygons: given as number[][] };
  }
  if (!isRecord(given)) throw new Broken(`its segmentation is ${short(given)}; expected polygons or run lengths`);
  const { size, counts } = given;
  if (!numbers(size) || size.length !== 2) throw new Broken(`malformed RLE: its size is ${short(size)}; expected [height, width]`);
  if (size[0] !== height || size[1] !== width)
    throw new Broken(`malformed RLE: it is for ${size[0]} × ${size[1]} (height × width), the picture has ${height} × ${width}`);
  let rle: Rle;
  if (typeof counts === "string") {
    try {
      rle = rleFromString(counts, height, width);
    } catch (error) {
      throw new Broken(`malformed RLE: ${(error as Error).message}`);
    }
  } else if (numbers(counts)) rle = { height, width, counts };
  else throw new Broken(`malformed RLE: its counts are ${short(counts)}; expected numbers or a text`);
  const wrong = rleProblem(rle);
  if (wrong !== null) throw new Broken(`malformed RLE: ${wrong}`);
  return { rle };
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

async function readScene(entry: Entry, file: string, semantic: SemanticMasks | undefined): Promise<Scene> {
  const { id, path, width, height, instances } = entry;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new OpError("coco", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const image = await decodePicture(bytes, path);
  if (image.width !== width || image.height !== height)
    throw new OpError("coco", `${path} has ${image.width} × ${image.height} pixels; ${file} says ${width} × ${height} of image ${id}`);
  let masks: Uint8Array[] | null = null;
  return {
    image,
    imageId: id,
    boxes: Float32Array.from(instances.flatMap(({ box }) => box)),
    labels: Int32Array.from(instances, ({ label }) => label),
    get masks() {
      masks ??= instances.map(({ segmentation }) =>
        "rle" in segmentation ? decodeRle(segmentation.rle) : polygonMask(segmentation.polygons, height, width),
      );
      return masks;
    },
    iscrowd: Uint8Array.from(instances, ({ crowd }) => Number(crowd)),
    areas: Float32Array.from(instances, ({ area }) => area),
    ...(semantic === undefined ? {} : { semantic: semantic.read(entry.path, width, height) }),
  };
}
