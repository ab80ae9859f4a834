/** Everything that can be chosen about a Mask R-CNN; the defaults are the published values. */
import { checkOptions } from "../../engine/ops/check.js";
import { type AnchorOptions, defaultAnchors } from "./anchors.js";
import type { AssignOptions } from "./assign.js";
import type { ProposalOptions } from "./proposals.js";
import type { SampleOptions } from "./sample.js";

export interface MaskRCNNOptions {
  /** Classes of objects; the ground is one more. */
  readonly numClasses: number;
  /** Boxes that lie over the picture, to be moved onto objects. */
  readonly anchors?: AnchorOptions;
  /** Channels inside the proposal network. Default: those of the neck. */
  readonly rpnChannels?: number;
  /** Which anchors the proposal network learns from. */
  readonly rpn?: Partial<AssignOptions & SampleOptions>;
  /** What it proposes in training. */
  readonly proposals?: Partial<ProposalOptions>;
  /** What it proposes in use. */
  readonly testProposals?: Partial<ProposalOptions>;
  /** Levels of the neck that regions are read from, finest first. Default 4. */
  readonly regionLevels?: number;
  /** Regions of up to twice this side are read from the finest level. Default 56 pixels. */
  readonly finestScale?: number;
  /** Samples along a side of RoIAlign's bins; 0 (default): as many as the bin has elements. */
  readonly samplingRatio?: number;
  /** Which regions the box head learns from, and how many. */
  readonly regions?: Partial<AssignOptions & SampleOptions>;
  /** Elements along a side of what the box head sees. Default 7. */
  readonly boxSize?: number;
  /** Width of its two hidden layers. Default 1024. */
  readonly boxChannels?: number;
  /** Standard deviation of the weights that tell classes from these, before training. Default 0.01. */
  readonly initStd?: number;
  /** Greatest number of regions of a picture whose masks are learnt. Default: all that have an object. */
  readonly maskRegions?: number;
  /** Elements along a side of what the mask head sees; its masks are twice as fine. Default 14. */
  readonly maskSize?: number;
  /** Width of its 3×3 convolutions. Default 256. */
  readonly maskChannels?: number;
  /** How many of them there are. Default 4. */
  readonly maskConvs?: number;
  /** Least score of what is found. Default 0.05. */
  readonly scoreThreshold?: number;
  /** Greatest overlap of what is found of one class. Default 0.5. */
  readonly nmsIou?: number;
  /** Finds of a picture at the most. Default 100. */
  readonly maxPerImage?: number;
}

/** The same with every choice made. */
export interface MaskRCNNSetup extends Required<Omit<MaskRCNNOptions, "anchors" | "rpnChannels">> {
  readonly anchors: Required<AnchorOptions>;
  readonly rpn: AssignOptions & SampleOptions;
  readonly proposals: ProposalOptions;
  readonly testProposals: ProposalOptions;
  readonly regions: AssignOptions & SampleOptions;
}

const published = {
  regionLevels: 4,
  finestScale: 56,
  samplingRatio: 0,
  boxSize: 7,
  boxChannels: 1024,
  initStd: 0.01,
  maskSize: 14,
  maskChannels: 256,
  maskConvs: 4,
  scoreThreshold: 0.05,
  nmsIou: 0.5,
  maxPerImage: 100,
};
const composed = ["numClasses", "anchors", "rpn", "proposals", "testProposals", "regions", "maskRegions"];

/** Throws OpError for an option that there is not. */
export function setupOf({ rpnChannels: _, ...options }: MaskRCNNOptions): MaskRCNNSetup {
  checkOptions("maskRCNN", options, [...composed, ...Object.keys(published)]);
  const proposals = { nmsPre: 2000, nmsIou: 0.7, maxPerImage: 1000, minSize: 0, ...options.proposals };
  const regions = { posIou: 0.5, negIou: 0.5, minPosIou: 0.5, matchLowQuality: false, count: 512, posFraction: 0.25, ...options.regions };
  return {
    ...published,
    maskRegions: Math.floor(regions.count * regions.posFraction),
    ...options,
    anchors: { ...defaultAnchors, ...options.anchors },
    rpn: { posIou: 0.7, negIou: 0.3, minPosIou: 0.3, matchLowQuality: true, count: 256, posFraction: 0.5, ...options.rpn },
    proposals,
    testProposals: { ...proposals, nmsPre: 1000, ...options.testProposals },
    regions,
  };
}
