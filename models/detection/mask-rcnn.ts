/**
 * Mask R-CNN: a backbone, a pyramid, and heads that propose regions, name them, box them and draw their masks.
 *
 * Paper: He et al., "Mask R-CNN", ICCV 2017. Original: mmdet's `MaskRCNN`, whose state-dict names these are.
 */

import { OpError } from "../../engine/errors.js";
import { threefry2x32 } from "../../engine/kernel/scalar.js";
import { hostCall } from "../../engine/ops/host.js";
import { defaultGenerator, type Generator } from "../../engine/random.js";
import { hostScalar } from "../../engine/runtime/scalar.js";
import type { Tensor } from "../../engine/tensor.js";
import type { FPN } from "../horfpn.js";
import { Module } from "../nn/module.js";
import type { Backbone } from "../registry.js";
import { type Anchors, makeAnchors } from "./anchors.js";
import { BoxCoder } from "./box-coder.js";
import { BoxHead, MaskHead, RPNHead, readRegions } from "./heads.js";
import { type DetectionLosses, detectionLosses, type Targets } from "./losses.js";
import { type MaskRCNNOptions, type MaskRCNNSetup, setupOf } from "./options.js";
import { makeTargets, type TargetSetup, type Truth, targetNames, targetSpecs } from "./targets.js";

/** Heads over the regions. */
class RoIHead extends Module {
  readonly bboxHead: BoxHead;
  readonly maskHead: MaskHead;

  constructor(channels: number, { boxSize, boxChannels, initStd, maskChannels, maskConvs, numClasses }: MaskRCNNSetup) {
    super();
    this.bboxHead = new BoxHead(channels, boxSize, boxChannels, numClasses, initStd);
    this.maskHead = new MaskHead(channels, maskChannels, maskConvs, numClasses);
  }
}

/** What depends on the picture alone. */
export interface Pyramid {
  /** The neck's maps, finest first. */
  readonly maps: readonly Tensor[];
  /** Of all anchors: [N, T] and [N, T, 4]. */
  readonly logits: Tensor;
  readonly deltas: Tensor;
}

/**
 * Images [N, 3, H, W] → the neck's maps and what the proposal network says of every anchor (`Pyramid`); `losses` trains it, and a `Detector`
 * finds objects with it. `maskRCNN` puts one together by the names of its parts.
 *
 * Throws OpError where the neck has not a map for each of the anchors' strides. Reference: He et al. (2017), section 3; mmdet's `MaskRCNN`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { createModel, HorFPN, MaskRCNN } from "crabro/models";
 *
 * const backbone = createModel("hornet_micro_7x7", { inChans: 3, featuresOnly: true });
 * const neck = new HorFPN([16, 32, 64, 128], { outChannels: 32 });
 * const model = new MaskRCNN(backbone, neck, 32, { numClasses: 10 });
 * model.forward(rand([1, 3, 64, 64])).maps.map((map) => map.shape); // [1, 32, 16, 16], …, [1, 32, 1, 1]
 * ```
 */
export class MaskRCNN extends Module {
  readonly backbone: Backbone;
  readonly neck: FPN;
  readonly rpnHead: RPNHead;
  readonly roiHead: RoIHead;
  readonly #setup: MaskRCNNSetup;
  readonly #rpnCoder = new BoxCoder();
  readonly #boxCoder = new BoxCoder({ stds: [0.1, 0.1, 0.2, 0.2] });

  /** `channels` are those of the neck's maps. Throws OpError where the neck has not a map for each of the anchors' strides. */
  constructor(backbone: Backbone, neck: FPN, channels: number, options: MaskRCNNOptions) {
    super();
    const setup = setupOf(options);
    const { ratios, scales, strides } = setup.anchors;
    if (setup.regionLevels > strides.length)
      throw new OpError("MaskRCNN", `regions are read from ${setup.regionLevels} levels, but there are ${strides.length}`);
    this.#setup = setup;
    this.backbone = backbone;
    this.neck = neck;
    this.rpnHead = new RPNHead(channels, { channels: options.rpnChannels, perPlace: ratios.length * scales.length });
    this.roiHead = new RoIHead(channels, setup);
  }

  get setup(): MaskRCNNSetup {
    return this.#setup;
  }

  /** Images [N, 3, H, W] → maps and what the proposal network says. */
  override forward(images: Tensor): Pyramid {
    const maps = this.neck.forward(this.backbone.forward(images));
    return { maps, ...this.rpnHead.forward(maps) };
  }

  anchorsOf(maps: readonly Tensor[]): Anchors {
    return makeAnchors(
      maps.map(({ shape: [, , height, width] }) => [height, width] as const),
      this.#setup.anchors,
    );
  }

  get coders(): { readonly rpn: BoxCoder; readonly boxes: BoxCoder } {
    return { rpn: this.#rpnCoder, boxes: this.#boxCoder };
  }

  /** Class logits [N · L, classes + 1] and boxes [N · L, classes, 4] of regions [N, L, 4], each read from its level [N, L]. */
  classify(maps: readonly Tensor[], regions: Tensor, levels: Tensor): { readonly logits: Tensor; readonly deltas: Tensor } {
    return this.roiHead.bboxHead.forward(this.#read(maps, regions, levels, this.#setup.boxSize));
  }

  /** Logits of masks [N · L, 2m, 2m] of regions [N, L, 4] with these classes [N · L]. */
  draw(maps: readonly Tensor[], regions: Tensor, levels: Tensor, labels: Tensor): Tensor {
    return this.roiHead.maskHead.forward(this.#read(maps, regions, levels, this.#setup.maskSize), labels);
  }

  #read(maps: readonly Tensor[], regions: Tensor, levels: Tensor, size: number): Tensor {
    const { regionLevels, anchors, samplingRatio } = this.#setup;
    return readRegions(maps.slice(0, regionLevels), anchors.strides, regions, levels, size, samplingRatio);
  }

  /**
   * Losses of a batch of images [N, 3, H, W]. `truths` is asked when the step runs, so that a compiled step learns each batch's own.
   * One draw of the generator decides which anchors and regions are learnt.
   */
  losses(
    images: Tensor,
    truths: () => readonly Truth[],
    { generator = defaultGenerator }: { readonly generator?: Generator } = {},
  ): DetectionLosses {
    const rpn = this.forward(images);
    const targets = this.#targets(images, rpn, truths, generator);
    return detectionLosses(
      {
        rpn,
        boxes: this.classify(rpn.maps, targets.regions, targets.levels),
        masks: this.draw(rpn.maps, targets.maskRegions, targets.maskLevels, targets.maskLabels),
      },
      targets,
    );
  }

  #targets(images: Tensor, { maps, logits, deltas }: Pyramid, truths: () => readonly Truth[], generator: Generator): Targets {
    const [n, , height, width] = images.shape;
    const given: TargetSetup = {
      setup: this.#setup,
      anchors: this.anchorsOf(maps),
      extent: { height, width },
      rpnCoder: this.#rpnCoder,
      boxCoder: this.#boxCoder,
    };
    const draw = hostScalar(() => generator.next(), { dtype: "int32", device: images.device });
    const tensors = hostCall(
      ([l, d, [at]]) => {
        const all = truths();
        if (all.length !== n) throw new OpError("MaskRCNN", `${all.length} pictures' truths for a batch of ${n}`);
        const key = threefry2x32(generator.seed | 0, Math.floor(generator.seed / 2 ** 32) | 0, at, 0);
        return makeTargets(given, all, l as Float32Array, d as Float32Array, key);
      },
      [logits.detach(), deltas.detach(), draw],
      targetSpecs(n, given),
      { name: "detectionTargets" },
    );
    return Object.fromEntries(targetNames.map((name, i) => [name, tensors[i]])) as Record<(typeof targetNames)[number], Tensor>;
  }
}
