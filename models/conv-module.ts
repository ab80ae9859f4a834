/**
 * The two building blocks of necks and heads: a convolution with norm and activation, and gnConv with widths of its own.
 *
 * Original: mmcv's `ConvModule`; HorNet's dense-prediction code, class `GNConvModule`.
 */
import { OpError } from "../engine/errors.js";
import { relu } from "../engine/functional/activation.js";
import { split } from "../engine/functional/movement.js";
import { checkChoice, checkOptions } from "../engine/ops/check.js";
import type { Tensor } from "../engine/tensor.js";
import { GlobalLocalFilter, orderWidths, tellOrder } from "./gnconv.js";
import { Conv2d } from "./nn/conv.js";
import { kaimingNormalFanOut, zeros } from "./nn/init.js";
import { Module } from "./nn/module.js";
import { BatchNorm2d } from "./nn/norm.js";
import { initInForce } from "./nn/parameter.js";

export interface ConvModuleOptions {
  /** Zeros around the map. Default 0. */
  readonly padding?: number;
  /** BatchNorm2d after the convolution, which then has no bias. Default false. */
  readonly norm?: boolean;
  /** ReLU at the end. Default false. */
  readonly activation?: boolean;
}

/**
 * Convolution (`conv`), norm (`bn`) and activation: x [N, in, H, W] → [N, out, H', W']. Stride 1; the convolution has a bias only where no
 * norm follows, and starts by He's rule unless another initialisation is in force.
 *
 * Throws OpError for input that is not [N, in, H, W]. Reference: mmcv's `ConvModule`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { ConvModule } from "crabro/models";
 *
 * new ConvModule(16, 32, 3, { padding: 1, norm: true, activation: true }).forward(rand([2, 16, 8, 8])); // [2, 32, 8, 8]
 * ```
 */
export class ConvModule extends Module {
  readonly conv: Conv2d;
  readonly bn: BatchNorm2d | null;
  readonly #activation: boolean;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvModuleOptions = {}) {
    super();
    checkOptions("ConvModule", options, ["padding", "norm", "activation"]);
    const { padding = 0, norm = false, activation = false } = options;
    const init = initInForce() ?? { weight: kaimingNormalFanOut, bias: zeros };
    this.conv = new Conv2d(inChannels, outChannels, kernelSize, { padding, bias: !norm, init });
    this.bn = norm ? new BatchNorm2d(outChannels) : null;
    this.#activation = activation;
  }

  override forward(x: Tensor): Tensor {
    const convolved = this.conv.forward(x);
    const normed = this.bn?.forward(convolved) ?? convolved;
    return this.#activation ? relu(normed) : normed;
  }
}

export interface GNConvModuleOptions {
  /** Side of the depthwise convolution. Default 7, as in detection; segmentation's own default is 3. */
  readonly kernelSize?: number;
  /** The spatial operator: a depthwise convolution, or a global-local filter. */
  readonly type?: "gnconv" | "gngf";
  /** Default 2. */
  readonly order?: number;
  /** Whether a 1×1 convolution follows; without, the result has the inner width. Default false. */
  readonly projOut?: boolean;
  /** Inner width, in output channels. Default 1. */
  readonly dimRatio?: number;
  /** Rows of coefficients of the filter. Default 32. */
  readonly h?: number;
  /** Columns of them. Default ⌊h / 2⌋ + 1. */
  readonly w?: number;
  /** BatchNorm2d of the result. Default false. */
  readonly norm?: boolean;
  /** ReLU at the end. Default false. */
  readonly activation?: boolean;
}

const gnConvModuleOptions = [
  "kernelSize",
  "type",
  "order",
  "projOut",
  "dimRatio",
  "norm",
  "activation",
  "h",
  "w",
] satisfies readonly (keyof GNConvModuleOptions)[];

/**
 * gnConv from `inChannels` to `outChannels`, with norm and activation if wanted: x [N, in, H, W] → [N, out, H, W]. Unlike the classification
 * network's, it does not scale the spatial operator's result.
 *
 * Throws OpError where the order does not divide the inner width, for a norm over other channels than the result has, and for other input.
 * Reference: HorNet, section 3.1; its dense-prediction code, `GNConvModule`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GNConvModule } from "crabro/models";
 *
 * const fuse = new GNConvModule(64, 32, { projOut: true, norm: true, activation: true });
 * fuse.forward(rand([2, 64, 8, 8])); // [2, 32, 8, 8]
 * ```
 */
export class GNConvModule extends Module {
  readonly projIn: Conv2d;
  readonly dwconv: Conv2d | GlobalLocalFilter;
  readonly projOut: Conv2d | null;
  readonly pws: readonly Conv2d[];
  readonly bn: BatchNorm2d | null;
  readonly #widths: readonly number[];
  readonly #activation: boolean;

  constructor(inChannels: number, outChannels: number, options: GNConvModuleOptions = {}) {
    super();
    checkOptions("GNConvModule", options, gnConvModuleOptions);
    const { kernelSize = 7, type = "gnconv", order = 2, projOut = false, dimRatio = 1, norm = false, activation = false } = options;
    const { h = 32, w = Math.floor(h / 2) + 1 } = options;
    checkChoice("GNConvModule", "type", type, ["gnconv", "gngf"]);
    const width = outChannels * dimRatio; // M
    const widths = orderWidths(width, order);
    const inner = widths.reduce((a, b) => a + b); // D = 2M − d₀
    if (norm && !projOut && dimRatio !== 1) {
      throw new OpError("GNConvModule", `the norm is over ${outChannels} channels, the result without projOut has ${width}; set projOut`);
    }
    this.#widths = widths;
    this.#activation = activation;
    this.projIn = new Conv2d(inChannels, 2 * width, 1);
    this.dwconv =
      type === "gnconv"
        ? new Conv2d(inner, inner, kernelSize, { padding: Math.floor((kernelSize - 1) / 2), groups: inner })
        : new GlobalLocalFilter(inner, { h, w });
    this.projOut = projOut ? new Conv2d(width, outChannels, 1) : null;
    this.pws = widths.slice(1).map((to, k) => new Conv2d(widths[k], to, 1));
    this.bn = norm ? new BatchNorm2d(outChannels) : null;
  }

  override forward(x: Tensor): Tensor {
    const projected = this.projIn.forward(x); // [N, 2M, H, W]
    const d0 = this.#widths[0];
    const [gate, spatial] = split(projected, [d0, projected.shape[1] - d0], { dim: 1 }); // [N, d₀, H, W], [N, D, H, W]
    const q = split(this.dwconv.forward(spatial), this.#widths, { dim: 1 }); // [N, dₖ, H, W]
    let y = gate.mul(q[0]); // [N, d₀, H, W]
    tellOrder(this, 0, y);
    this.pws.forEach((pw, k) => {
      y = pw.forward(y).mul(q[k + 1]); // [N, dₖ₊₁, H, W]
      tellOrder(this, k + 1, y);
    });
    y = this.projOut?.forward(y) ?? y; // [N, out, H, W]
    y = this.bn?.forward(y) ?? y;
    return this.#activation ? relu(y) : y;
  }
}
