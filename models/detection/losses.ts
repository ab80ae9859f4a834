/**
 * The five losses of a Mask R-CNN, from the heads' outputs and the targets of the step.
 *
 * Original: mmdet's `RPNHead.loss`, `BBoxHead.loss`, `FCNMaskHead.loss`: sums over what is learnt, divided by how many anchors, regions
 * or mask elements are learnt in the whole batch.
 */
import { logSoftmax } from "../../engine/functional/activation.js";
import { abs, ge } from "../../engine/functional/elementwise.js";
import { binaryCrossEntropyWithLogits } from "../../engine/functional/loss.js";
import { narrow, reshape, select, unsqueeze } from "../../engine/functional/movement.js";
import type { Tensor } from "../../engine/tensor.js";
import { oneHot } from "./heads.js";
import type { TargetName } from "./targets.js";

export type Targets = Readonly<Record<TargetName, Tensor>>;

/** Rank-0 tensors. */
export interface DetectionLosses {
  /** Whether an anchor has an object, and its box. */
  readonly rpnCls: Tensor;
  readonly rpnBox: Tensor;
  /** Class, box and mask of a region. */
  readonly cls: Tensor;
  readonly box: Tensor;
  readonly mask: Tensor;
}
/** Their names, in order. */
export const lossNames = ["rpnCls", "rpnBox", "cls", "box", "mask"] as const;

interface Outputs {
  /** [N, T], [N, T, 4] */
  readonly rpn: { readonly logits: Tensor; readonly deltas: Tensor };
  /** [R, classes + 1], [R, classes, 4] */
  readonly boxes: { readonly logits: Tensor; readonly deltas: Tensor };
  /** [M, 2m, 2m], of the regions' classes. */
  readonly masks: Tensor;
}

export function detectionLosses({ rpn, boxes, masks }: Outputs, targets: Targets): DetectionLosses {
  const count = (i: number): Tensor => select(targets.counts, 0, i);
  const classes = boxes.deltas.shape[1];
  const { anchorLabels, anchorWeights, anchorDeltas } = targets;
  const rpnCls = binaryCrossEntropyWithLogits(rpn.logits, anchorLabels, { weight: anchorWeights, reduction: "sum" });
  const rpnBox = abs(rpn.deltas.sub(anchorDeltas)).mul(unsqueeze(anchorLabels, 2)).sum();

  const own = oneHot(targets.labels, classes + 1); // [R, classes + 1]
  const cls = logSoftmax(boxes.logits, { dim: 1 }).mul(own).sum().neg();
  const box = abs(boxes.deltas.sub(unsqueeze(targets.deltas, 1)))
    .mul(unsqueeze(narrow(own, 1, 0, classes), 2))
    .sum();

  const [regions, height, width] = masks.shape;
  const weight = reshape(ge(targets.maskLabels, 0).to("float32"), [regions, 1, 1]);
  const mask = binaryCrossEntropyWithLogits(masks, targets.masks, { weight, reduction: "sum" });
  return {
    rpnCls: rpnCls.div(count(0)),
    rpnBox: rpnBox.div(count(0)),
    cls: cls.div(count(1)),
    box: box.div(count(1)),
    mask: mask.div(count(2)).div(height * width),
  };
}
