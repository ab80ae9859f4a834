/**
 * The three heads of a Mask R-CNN, and how regions are read from a pyramid.
 *
 * Papers: Ren et al., "Faster R-CNN", NeurIPS 2015; He et al., "Mask R-CNN", ICCV 2017.
 * Original: mmdet's `RPNHead`, `Shared2FCBBoxHead`, `FCNMaskHead`, `SingleRoIExtractor`.
 */
import { relu } from "../../engine/functional/activation.js";
import { conv2d } from "../../engine/functional/conv.js";
import { arange } from "../../engine/functional/creation.js";
import { eq, where } from "../../engine/functional/elementwise.js";
import { matmul } from "../../engine/functional/linalg.js";
import { cat, permute, reshape, unsqueeze } from "../../engine/functional/movement.js";
import { roiAlign } from "../../engine/functional/roi.js";
import type { Tensor } from "../../engine/tensor.js";
import { ConvModule } from "../conv-module.js";
import { Conv2d, ConvTranspose2d } from "../nn/conv.js";
import { kaimingNormalFanOut, normal, xavierUniform, zeros } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";

const narrow = (std: number) => ({ init: { weight: normal(std), bias: zeros } });

/** Whether and where something is, for every anchor: maps [N, C, Hᵢ, Wᵢ] → logits [N, T] and deltas [N, T, 4], in the order of `makeAnchors`. */
export class RPNHead extends Module {
  readonly rpnConv: Conv2d;
  readonly rpnCls: Conv2d;
  readonly rpnReg: Conv2d;

  constructor(
    inChannels: number,
    { channels = inChannels, perPlace = 3 }: { readonly channels?: number; readonly perPlace?: number } = {},
  ) {
    super();
    this.rpnConv = new Conv2d(inChannels, channels, 3, { padding: 1, ...narrow(0.01) });
    this.rpnCls = new Conv2d(channels, perPlace, 1, narrow(0.01));
    this.rpnReg = new Conv2d(channels, 4 * perPlace, 1, narrow(0.01));
  }

  override forward(maps: readonly Tensor[]): { readonly logits: Tensor; readonly deltas: Tensor } {
    const byPlace = (map: Tensor, shape: readonly number[]): Tensor => reshape(permute(map, [0, 2, 3, 1]), shape);
    const n = maps[0].shape[0];
    const levels = maps.map((map) => {
      const hidden = relu(this.rpnConv.forward(map));
      return [byPlace(this.rpnCls.forward(hidden), [n, -1]), byPlace(this.rpnReg.forward(hidden), [n, -1, 4])] as const;
    });
    return {
      logits: cat(
        levels.map(([logits]) => logits),
        { dim: 1 },
      ),
      deltas: cat(
        levels.map(([, deltas]) => deltas),
        { dim: 1 },
      ),
    };
  }
}

/** Features [R, C, s, s] → logits [R, numClasses + 1], the last of the ground, and a box for each class, [R, numClasses, 4]. */
export class BoxHead extends Module {
  readonly fcCls: Linear;
  readonly fcReg: Linear;
  readonly sharedFcs: readonly Linear[];

  constructor(inChannels: number, size: number, channels: number, numClasses: number, initStd: number) {
    super();
    const init = { weight: xavierUniform, bias: zeros };
    this.fcCls = new Linear(channels, numClasses + 1, narrow(initStd));
    this.fcReg = new Linear(channels, 4 * numClasses, narrow(0.001));
    this.sharedFcs = [new Linear(inChannels * size * size, channels, { init }), new Linear(channels, channels, { init })];
  }

  override forward(features: Tensor): { readonly logits: Tensor; readonly deltas: Tensor } {
    let x = reshape(features, [features.shape[0], -1]);
    for (const fc of this.sharedFcs) x = relu(fc.forward(x));
    return { logits: this.fcCls.forward(x), deltas: reshape(this.fcReg.forward(x), [x.shape[0], -1, 4]) };
  }
}

/**
 * Features [R, C, m, m] and the class of each region [R] → logits of its mask, [R, 2m, 2m]. There is a mask for every class; only the one
 * that is asked for is computed, as the last convolution is a product with that class's weights. A label that is no class has logits 0.
 */
export class MaskHead extends Module {
  readonly convs: readonly ConvModule[];
  readonly upsample: ConvTranspose2d;
  readonly convLogits: Conv2d;

  constructor(inChannels: number, channels: number, numConvs: number, numClasses: number) {
    super();
    const init = { weight: kaimingNormalFanOut, bias: zeros };
    const widthBefore = (i: number): number => (i === 0 ? inChannels : channels);
    this.convs = Array.from({ length: numConvs }, (_, i) => new ConvModule(widthBefore(i), channels, 3, { padding: 1, activation: true }));
    this.upsample = new ConvTranspose2d(widthBefore(numConvs), channels, 2, { stride: 2, init });
    this.convLogits = new Conv2d(channels, numClasses, 1, { init });
  }

  override forward(features: Tensor, labels: Tensor): Tensor {
    let x = features;
    for (const conv of this.convs) x = conv.forward(x);
    const [r, , m] = x.shape;
    const [classes, c] = this.convLogits.weight.shape;
    const ofClass = oneHot(labels, classes); // [R, classes]
    const weight = matmul(ofClass, reshape(this.convLogits.weight, [classes, c])); // [R, C]
    const bias = matmul(ofClass, reshape(this.convLogits.bias as Tensor, [classes, 1])); // [R, 1]
    // A transposed convolution whose windows do not meet: four products a place, [R, C, 2 · 2, m · m].
    const four = reshape(permute(this.upsample.weight, [1, 2, 3, 0]), [4 * c, -1, 1, 1]);
    const parts = reshape(conv2d(x, four), [r, c, 4 * m * m]).add(reshape(this.upsample.bias as Tensor, [c, 1]));
    const logits = matmul(unsqueeze(weight, 1), relu(parts)).add(unsqueeze(bias, 1)); // [R, 1, 2 · 2 · m · m]
    return reshape(permute(reshape(logits, [r, 2, 2, m, m]), [0, 3, 1, 4, 2]), [r, 2 * m, 2 * m]);
  }
}

/** 1 at the label's class: labels [R] → [R, classes] float32; none for labels that are no class. */
export function oneHot(labels: Tensor, classes: number): Tensor {
  const each = arange(classes, { dtype: "int32", device: labels.device });
  return eq(unsqueeze(labels, 1), unsqueeze(each, 0)).to("float32");
}

/** Takes a box to where there is no map, and RoIAlign reads 0. */
const away = -1e6;

/**
 * Regions [N, L, 4] (left, top, right, bottom in pixels), each read from its own level of the pyramid: maps [N, C, Hᵢ, Wᵢ] of these
 * strides, levels [N, L] int32 → [N · L, C, size, size].
 */
export function readRegions(
  maps: readonly Tensor[],
  strides: readonly number[],
  regions: Tensor,
  levels: Tensor,
  size: number,
  samplingRatio: number,
): Tensor {
  return maps
    .map((map, i) => {
      const own = regions.add(where(eq(unsqueeze(levels, 2), i), 0, away).to(regions.dtype));
      return roiAlign(map, own, size, { spatialScale: 1 / strides[i], samplingRatio, aligned: true });
    })
    .reduce((sum, features) => sum.add(features));
}
