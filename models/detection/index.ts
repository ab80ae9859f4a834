/** Detectors. */
export { type AnchorLevel, type AnchorOptions, type Anchors, anchorsOnPicture, makeAnchors } from "./anchors.js";
export { type AssignOptions, assign, overlaps } from "./assign.js";
export { BoxCoder, type BoxCoderOptions, type Extent } from "./box-coder.js";
export {
  type BackboneOptions,
  type DetectorOptions,
  makeBackbone,
  makeNeck,
  maskRCNN,
  type NeckName,
  neckNames,
  smallDetector,
} from "./build.js";
export { Detector, type Found, inPicture } from "./detect.js";
export { type DetectionLosses, lossNames } from "./losses.js";
export { MaskRCNN, type Pyramid } from "./mask-rcnn.js";
export { cropMask, pasteMask } from "./masks.js";
export type { MaskRCNNOptions, MaskRCNNSetup } from "./options.js";
export type { ProposalOptions } from "./proposals.js";
export { type Sample, type SampleOptions, sample } from "./sample.js";
export type { Truth } from "./targets.js";
