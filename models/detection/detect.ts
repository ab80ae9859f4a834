/**
 * A detector in use: pictures in, boxes with classes, scores and masks out.
 *
 * Original: mmdet's `simple_test` of `StandardRoIHead`, `multiclass_nms`, `FCNMaskHead.get_seg_masks`.
 */
import { noGrad } from "../../autograd/grad-mode.js";
import { sigmoid, softmax } from "../../engine/functional/activation.js";
import { suppress } from "../../engine/functional/suppress.js";
import { hostCall } from "../../engine/ops/host.js";
import { compile } from "../../engine/runtime/compile.js";
import { fromHost, type Tensor } from "../../engine/tensor.js";
import { anchorsOnPicture } from "./anchors.js";
import type { Extent } from "./box-coder.js";
import type { MaskRCNN } from "./mask-rcnn.js";
import { pasteMask } from "./masks.js";
import { propose, regionLevels } from "./proposals.js";
import { ranked, rows } from "./rank.js";

/** What was found in a picture, best first, in pixels of the batch. */
export interface Found {
  /** Of shape [n, 4]: left, top, right, bottom. */
  readonly boxes: Float32Array;
  readonly scores: Float32Array;
  readonly labels: Int32Array;
  /** Of shape [n, side, side]: how probably each part of the box belongs to the object. */
  readonly masks: Float32Array;
  readonly side: number;
}

/** Boxes of one picture that stay, best first. */
interface Kept {
  readonly boxes: Float32Array;
  readonly scores: Float32Array;
  readonly labels: Int32Array;
}

/**
 * Finds with a model what is in pictures. Takes the model as it is now and puts it into evaluation mode while it runs; weights that change
 * later are seen.
 */
export class Detector {
  readonly #model: MaskRCNN;
  #pictures: readonly Extent[] = [];
  readonly #box: (images: Tensor) => Promise<Record<"probabilities" | "deltas" | "regions" | "counts", Tensor> & { maps: Tensor[] }>;
  readonly #mask: (maps: Tensor[], regions: Tensor, levels: Tensor, labels: Tensor) => Promise<Tensor>;

  constructor(model: MaskRCNN) {
    this.#model = model;
    this.#box = compile((images: Tensor) => noGrad(() => this.#boxes(images)));
    this.#mask = compile((maps: Tensor[], regions: Tensor, levels: Tensor, labels: Tensor) =>
      noGrad(() => sigmoid(model.draw(maps, regions, levels, labels))),
    );
  }

  /** Images [N, 3, H, W]; `pictures` says what part of each is picture, from the upper left. Default: all. One call at a time. */
  async detect(images: Tensor, pictures?: readonly Extent[]): Promise<Found[]> {
    const [n, , height, width] = images.shape;
    const { setup } = this.#model;
    this.#pictures = pictures ?? Array.from({ length: n }, () => ({ height, width }));
    const training = this.#model.training;
    this.#model.eval();
    try {
      const { maps, probabilities, deltas, regions, counts } = await this.#box(images);
      const [p, d, r, c] = await Promise.all([probabilities.data(), deltas.data(), regions.data(), counts.data()]);
      const most = setup.testProposals.maxPerImage;
      const kept = this.#pictures.map((picture, i) => {
        const [from, classes] = [i * most, setup.numClasses];
        return this.#keep(
          p.subarray(from * (classes + 1), (from + c[i]) * (classes + 1)) as Float32Array,
          d.subarray(4 * from * classes, 4 * (from + c[i]) * classes) as Float32Array,
          r.subarray(4 * from, 4 * (from + c[i])) as Float32Array,
          picture,
        );
      });
      return await this.#drawn(maps, kept);
    } finally {
      if (training) this.#model.train();
    }
  }

  #boxes(images: Tensor) {
    const model = this.#model;
    const { setup } = model;
    const { maps, logits, deltas } = model.forward(images);
    const anchors = model.anchorsOf(maps);
    const [n, most] = [images.shape[0], setup.testProposals.maxPerImage];
    const [regions, levels, counts] = hostCall(
      ([l, d]) => {
        const [boxes, level, count] = [new Float32Array(4 * n * most), new Int32Array(n * most), new Int32Array(n)];
        for (let i = 0; i < boxes.length; i += 4) boxes.set([0, 0, 1, 1], i);
        this.#pictures.forEach((picture, i) => {
          const [from, to] = [i * anchors.count, (i + 1) * anchors.count];
          const proposed = propose(
            anchors,
            model.coders.rpn,
            l.subarray(from, to) as Float32Array,
            d.subarray(4 * from, 4 * to) as Float32Array,
            picture,
            anchorsOnPicture(anchors, picture.height, picture.width),
            setup.testProposals,
          );
          boxes.set(proposed, 4 * i * most);
          level.set(regionLevels(proposed, setup.regionLevels, setup.finestScale), i * most);
          count[i] = proposed.length / 4;
        });
        return [boxes, level, count];
      },
      [logits, deltas],
      [
        { shape: [n, most, 4], dtype: "float32" },
        { shape: [n, most], dtype: "int32" },
        { shape: [n], dtype: "int32" },
      ],
      { name: "proposals" },
    );
    const said = model.classify(maps, regions, levels);
    return {
      maps: maps.slice(0, setup.regionLevels),
      probabilities: softmax(said.logits, { dim: 1 }),
      deltas: said.deltas,
      regions,
      counts,
    };
  }

  /** Probabilities [R, classes + 1], deltas [R, classes, 4], regions [R, 4] of one picture. */
  #keep(probabilities: Float32Array, deltas: Float32Array, regions: Float32Array, picture: Extent): Kept {
    const { numClasses, scoreThreshold, nmsIou, maxPerImage } = this.#model.setup;
    const count = (regions.length / 4) * numClasses;
    const scores = Float32Array.from({ length: count }, (_, i) => probabilities[i + Math.floor(i / numClasses)]);
    const order = ranked(scores, 0, count, count, scoreThreshold);
    const own = Int32Array.from(order, (i) => Math.floor(i / numClasses));
    const boxes = this.#model.coders.boxes.decode(rows(regions, own), rows(deltas, order), picture);
    const labels = Int32Array.from(order, (i) => i % numClasses);
    const taken = suppress(boxes, Array.from(order.keys()), nmsIou, { groups: labels, most: maxPerImage });
    return {
      boxes: rows(boxes, taken),
      scores: Float32Array.from(taken, (i) => scores[order[i]]),
      labels: Int32Array.from(taken, (i) => labels[i]),
    };
  }

  /** Masks of what was kept. Numbers of boxes are rounded up to powers of two, so that few plans are made. */
  async #drawn(maps: Tensor[], kept: readonly Kept[]): Promise<Found[]> {
    const { setup } = this.#model;
    const side = 2 * setup.maskSize;
    const most = Math.max(...kept.map(({ labels }) => labels.length));
    if (most === 0) return kept.map((one) => ({ ...one, masks: new Float32Array(0), side }));
    const [n, room] = [kept.length, 2 ** Math.ceil(Math.log2(Math.max(most, 4)))];
    const [boxes, levels, labels] = [new Float32Array(4 * n * room), new Int32Array(n * room), new Int32Array(n * room)];
    for (let i = 0; i < boxes.length; i += 4) boxes.set([0, 0, 1, 1], i);
    kept.forEach((one, i) => {
      boxes.set(one.boxes, 4 * i * room);
      levels.set(regionLevels(one.boxes, setup.regionLevels, setup.finestScale), i * room);
      labels.set(one.labels, i * room);
    });
    const { device } = maps[0];
    const masks = await this.#mask(
      maps,
      fromHost(boxes, [n, room, 4], "float32", device),
      fromHost(levels, [n, room], "int32", device),
      fromHost(labels, [n * room], "int32", device),
    );
    const values = (await masks.data()) as Float32Array;
    const size = side * side;
    return kept.map((one, i) => ({ ...one, masks: values.slice(i * room * size, (i * room + one.labels.length) * size), side }));
  }
}

/**
 * What was found, in pixels of the original picture: `size` is its size, `scales` how much larger (vertical, horizontal) the batch showed
 * it. Masks are bitmaps of its height × width, on where the probability is `threshold` (default ½) or more.
 */
export function inPicture(
  found: Found,
  size: Extent,
  scales: readonly [number, number],
  { threshold = 0.5, masks = true }: { readonly threshold?: number; readonly masks?: boolean } = {},
): { readonly boxes: Float32Array; readonly scores: Float32Array; readonly labels: Int32Array; readonly masks: readonly Uint8Array[] } {
  const limits = [size.width, size.height];
  const boxes = found.boxes.map((value, i) => Math.min(Math.max(value / scales[1 - (i % 2)], 0), limits[i % 2]));
  const { scores, labels, side } = found;
  const bitmaps = masks
    ? Array.from(labels, (_, i) => pasteMask(found.masks, side, boxes.subarray(4 * i, 4 * i + 4), size, { at: i * side * side, threshold }))
    : [];
  return { boxes, scores, labels, masks: bitmaps };
}
