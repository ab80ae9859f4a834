/**
 * The five losses of a Mask R-CNN, from the heads' outputs and the targets of the step.
 *
 * Original: mmdet's `RPNHead.loss`, `BBoxHead.loss`, `FCNMaskHead.loss`: sums over what is learnt, divided by how many anchors, regions
 * or mask elements are learnt in the whole batch.
 */
import { logSoftmax } from "../../engine/functional/activation.js";
import { arange } from "../../engine/functional/creation.js";
import { abs, eq } from "../../engine/functional/elementwise.js";
import { binaryCrossEntropyWithLogits } from "../../engine/functional/loss.js";
import { narrow, reshape, select, unsqueeze } from "../../engine/functional/movement.js";
import type { Tensor } from "../../engine/tensor.js";
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
export const lossNames = ["rpnCls", "rpnBox", "cls", "box", "mask"] as const;

interface Outputs {
  /** [N, T], [N, T, 4] */
  readonly rpn: { readonly logits: Tensor; readonly deltas: Tensor };
  /** [R, classes + 1], [R, classes, 4] */
  readonly boxes: { readonly logits: Tensor; readonly deltas: Tensor };
  /** [M, classes, 2m, 2m] */
  readonly masks: Tensor;
}

/** 1 at the label's class: labels [R] → [R, classes] float; none for labels that are no class. */
function oneHot(labels: Tensor, classes: number): Tensor {
  const each = arange(classes, { dtype: "int32", device: labels.device });
  return eq(unsqueeze(labels, 1), unsqueeze(each, 0)).to("float32");
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

  const ofClass = oneHot(targets.maskLabels, classes); // [M, classes]
  const [regions, , height, width] = masks.shape;
  const said = masks.mul(reshape(ofClass, [regions, classes, 1, 1])).sum({ dim: 1 }); // [M, 2m, 2m]
  const weight = reshape(ofClass.sum({ dim: 1 }), [regions, 1, 1]);
  const mask = binaryCrossEntropyWithLogits(said, targets.masks, { weight, reduction: "sum" });
  return {
    rpnCls: rpnCls.div(count(0)),
    rpnBox: rpnBox.div(count(0)),
    cls: cls.div(count(1)),
    box: box.div(count(1)),
    mask: mask.div(count(2)).div(height * width),
  };
}
