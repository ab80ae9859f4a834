/**
 * What the heads of a Mask R-CNN learn in a step: all that depends on data in number is decided here, on the host, and filled up to fixed
 * numbers with rows of weight 0.
 *
 * Original: mmdet's `AnchorHead.get_targets`, `StandardRoIHead.forward_train`, `BBoxHead.get_targets`, `mask_target`.
 */
import type { DType, TypedArray } from "../../engine/dtype.js";
import { threefry2x32 } from "../../engine/kernel/scalar.js";
import { type Anchors, anchorsOnPicture } from "./anchors.js";
import { assign, overlaps } from "./assign.js";
import type { BoxCoder, Extent } from "./box-coder.js";
import { cropMask } from "./masks.js";
import type { MaskRCNNSetup } from "./options.js";
import { propose, regionLevels } from "./proposals.js";
import { rows } from "./rank.js";
import { type Key, sample } from "./sample.js";

/** A picture of a batch, in the batch's pixels, and what is in it. */
export interface Truth {
  /** The picture within the batch's, which is filled up below and to the right. */
  readonly picture: Extent;
  /** Of shape [n, 4]: left, top, right, bottom. */
  readonly boxes: Float32Array;
  /** [n] */
  readonly labels: Int32Array;
  /** [n] bitmaps of the batch's height × width. */
  readonly masks: readonly Uint8Array[];
}

/** What targets are made for: N pictures, T anchors, S regions and M masks a picture. */
export interface TargetSetup {
  readonly setup: MaskRCNNSetup;
  readonly anchors: Anchors;
  /** Height and width of the batch. */
  readonly extent: Extent;
  readonly rpnCoder: BoxCoder;
  readonly boxCoder: BoxCoder;
}

/** Arrays of a step, by name. */
export const targetNames = [
  "anchorLabels", // [N, T] 1: has an object
  "anchorWeights", // [N, T] 1: is learnt
  "anchorDeltas", // [N, T, 4]
  "regions", // [N, S, 4]
  "levels", // [N, S]
  "labels", // [N · S] numClasses: ground, −1: not learnt
  "deltas", // [N · S, 4]
  "maskRegions", // [N, M, 4]
  "maskLevels", // [N, M]
  "maskLabels", // [N · M] −1: not learnt
  "masks", // [N · M, 2m, 2m]
  "counts", // [3] anchors, regions and masks that are learnt, at least 1
] as const;
export type TargetName = (typeof targetNames)[number];

/** Shapes and dtypes of the arrays, in the order of their names. */
export function targetSpecs(n: number, { setup, anchors }: TargetSetup): { readonly shape: readonly number[]; readonly dtype: DType }[] {
  const [t, s, m, side] = [anchors.count, setup.regions.count, setup.maskRegions, 2 * setup.maskSize];
  const specs: Record<TargetName, readonly [readonly number[], DType]> = {
    anchorLabels: [[n, t], "float32"],
    anchorWeights: [[n, t], "float32"],
    anchorDeltas: [[n, t, 4], "float32"],
    regions: [[n, s, 4], "float32"],
    levels: [[n, s], "int32"],
    labels: [[n * s], "int32"],
    deltas: [[n * s, 4], "float32"],
    maskRegions: [[n, m, 4], "float32"],
    maskLevels: [[n, m], "int32"],
    maskLabels: [[n * m], "int32"],
    masks: [[n * m, side, side], "float32"],
    counts: [[3], "float32"],
  };
  return targetNames.map((name) => ({ shape: specs[name][0], dtype: specs[name][1] }));
}

/** Targets of a batch, from the proposal network's outputs: `logits` [N, T], `deltas` [N, T, 4]. The same key gives the same choice. */
export function makeTargets(
  given: TargetSetup,
  truths: readonly Truth[],
  logits: Float32Array,
  deltas: Float32Array,
  key: Key,
): TypedArray[] {
  const { setup, anchors } = given;
  const specs = targetSpecs(truths.length, given);
  const arrays = Object.fromEntries(
    targetNames.map((name, i) => {
      const length = specs[i].shape.reduce((product, size) => product * size, 1);
      return [name, specs[i].dtype === "int32" ? new Int32Array(length) : new Float32Array(length)];
    }),
  ) as Record<TargetName, TypedArray>;
  arrays.labels.fill(-1);
  arrays.maskLabels.fill(-1);
  // Rows that nothing is learnt from are boxes all the same.
  for (const boxes of [arrays.regions, arrays.maskRegions]) for (let i = 0; i < boxes.length; i += 4) boxes.set([0, 0, 1, 1], i);
  const counts = [0, 0, 0];
  truths.forEach((truth, n) => {
    const keyOf = (use: number): Key => threefry2x32(key[0], key[1], n, use);
    const valid = anchorsOnPicture(anchors, truth.picture.height, truth.picture.width);
    counts[0] += anchorTargets(given, truth, n, valid, keyOf(0), arrays);
    const [from, to] = [n * anchors.count, (n + 1) * anchors.count];
    const proposed = propose(
      anchors,
      given.rpnCoder,
      logits.subarray(from, to),
      deltas.subarray(4 * from, 4 * to),
      truth.picture,
      valid,
      setup.proposals,
    );
    const learnt = regionTargets(given, truth, n, proposed, keyOf(1), arrays);
    counts[1] += learnt.regions;
    counts[2] += learnt.masks;
  });
  arrays.counts.set(counts.map((count) => Math.max(count, 1)));
  return targetNames.map((name) => arrays[name]);
}

/** Returns how many anchors are learnt, counted as published: at least one with and one without an object. */
function anchorTargets(
  { setup, anchors, rpnCoder }: TargetSetup,
  { boxes, labels }: Truth,
  n: number,
  valid: Uint8Array,
  key: Key,
  into: Record<TargetName, TypedArray>,
): number {
  const overlap = overlaps(boxes.subarray(0, 4 * labels.length), anchors.boxes);
  const assigned = assign(overlap, anchors.count, setup.rpn, valid);
  const { positives, negatives } = sample(assigned, setup.rpn, key);
  const at = n * anchors.count;
  for (const i of negatives) into.anchorWeights[at + i] = 1;
  const encoded = rpnCoder.encode(
    rows(anchors.boxes, positives),
    rows(
      boxes,
      positives.map((i) => assigned[i]),
    ),
  );
  positives.forEach((i, p) => {
    into.anchorWeights[at + i] = 1;
    into.anchorLabels[at + i] = 1;
    into.anchorDeltas.set(encoded.subarray(4 * p, 4 * p + 4), 4 * (at + i));
  });
  return Math.max(positives.length, 1) + Math.max(negatives.length, 1);
}

/** Targets of the regions drawn from proposals and the true boxes themselves; those with an object come first. */
function regionTargets(
  { setup, extent, boxCoder }: TargetSetup,
  { boxes, labels, masks }: Truth,
  n: number,
  proposed: Float32Array,
  key: Key,
  into: Record<TargetName, TypedArray>,
): { readonly regions: number; readonly masks: number } {
  const candidates = new Float32Array(4 * labels.length + proposed.length);
  candidates.set(boxes.subarray(0, 4 * labels.length));
  candidates.set(proposed, 4 * labels.length);
  const overlap = overlaps(boxes.subarray(0, 4 * labels.length), candidates);
  const assigned = assign(overlap, candidates.length / 4, setup.regions);
  // Objects of one box stay their own.
  for (let i = 0; i < labels.length; i++) assigned[i] = i;
  const { positives, negatives } = sample(assigned, setup.regions, key);
  const chosen = rows(candidates, [...positives, ...negatives]);
  const objects = positives.map((i) => assigned[i]);
  const { count } = setup.regions;
  into.regions.set(chosen, 4 * n * count);
  into.levels.set(regionLevels(chosen, setup.regionLevels, setup.finestScale), n * count);
  into.labels.fill(setup.numClasses, n * count, n * count + chosen.length / 4);
  objects.forEach((object, i) => {
    into.labels[n * count + i] = labels[object];
  });
  into.deltas.set(boxCoder.encode(chosen.subarray(0, 4 * positives.length), rows(boxes, objects)), 4 * n * count);

  const masked = Math.min(positives.length, setup.maskRegions);
  const side = 2 * setup.maskSize;
  const at = n * setup.maskRegions;
  into.maskRegions.set(chosen.subarray(0, 4 * masked), 4 * at);
  into.maskLevels.set(regionLevels(chosen.subarray(0, 4 * masked), setup.regionLevels, setup.finestScale), at);
  for (let i = 0; i < masked; i++) {
    into.maskLabels[at + i] = labels[objects[i]];
    const box = chosen.subarray(4 * i, 4 * i + 4);
    cropMask(masks[objects[i]], extent, box, side, into.masks as Float32Array, (at + i) * side * side);
  }
  return { regions: chosen.length / 4, masks: masked };
}
