/**
 * Recursive gated convolution, and the global-local filter that may be its spatial operator.
 *
 * Paper: Rao et al., "HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions", NeurIPS 2022.
 * Original: hornet.py, classes `gnconv` and `GlobalLocalFilter`.
 */
import { OpError } from "../engine/errors.js";
import { mulComplex } from "../engine/functional/complex.js";
import { irfft2, rfft2 } from "../engine/functional/fft.js";
import { split, stack } from "../engine/functional/movement.js";
import { interpolate } from "../engine/functional/pool.js";
import { checkChoice, checkOptions } from "../engine/ops/check.js";
import { showShape } from "../engine/shape.js";
import type { Tensor } from "../engine/tensor.js";
import { Conv2d } from "./nn/conv.js";
import { truncNormal } from "./nn/init.js";
import { tell } from "./nn/listen.js";
import { Module } from "./nn/module.js";
import { LayerNorm } from "./nn/norm.js";
import { type Parameter, parameter } from "./nn/parameter.js";

/** The spatial operator: a depthwise 7×7 convolution, or a global-local filter of h × w spectral coefficients. */
export type SpatialOperator = "7x7" | { readonly filter: "gf"; readonly h: number; readonly w: number };

export interface GnConvOptions {
  /** How many interactions of neighbours multiply up: n of gⁿConv. Default 5. */
  readonly order?: number;
  /** Factor of the spatial operator's result. Default 1; the networks take 1/3. */
  readonly s?: number;
  /** Default 7x7. */
  readonly dwconv?: SpatialOperator;
}

/** Widths of the recursion, ascending: C / 2ⁿ⁻¹, …, C / 2, C. */
export function orderWidths(dim: number, order: number): number[] {
  if (!Number.isInteger(order) || order < 2) throw new OpError("GnConv", `order is a whole number from 2 up; got ${order}`);
  if (dim % 2 ** (order - 1) !== 0 || dim <= 0) {
    throw new OpError(
      "GnConv",
      `order ${order} halves the channels ${order - 1} times: dim must be a multiple of ${2 ** (order - 1)}; got ${dim}`,
    );
  }
  return Array.from({ length: order }, (_, k) => dim / 2 ** (order - 1 - k));
}

/**
 * gⁿConv: x [N, C, H, W] → [N, C, H, W].
 *
 * p, q = split(projIn(x)); q = dwconv(q) · s; y = p · q₀; y = pwsₖ(y) · qₖ₊₁ for k = 0 … n − 2; projOut(y).
 * The products follow the 1×1 convolutions directly, so that they become epilogues of them.
 *
 * Throws OpError for an order below 2 or one that does not halve the channels to whole numbers, and for other input.
 * Reference: HorNet, section 3.1; hornet.py, `gnconv`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GnConv } from "crabro/models";
 *
 * new GnConv(64, { order: 3, s: 1 / 3 }).forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * ```
 */
export class GnConv extends Module {
  readonly projIn: Conv2d;
  readonly dwconv: Conv2d | GlobalLocalFilter;
  readonly projOut: Conv2d;
  readonly pws: readonly Conv2d[];
  readonly #widths: readonly number[];
  readonly #s: number;

  constructor(dim: number, options: GnConvOptions = {}) {
    super();
    checkOptions("GnConv", options, ["order", "s", "dwconv"]);
    const { order = 5, s = 1, dwconv = "7x7" } = options;
    if (typeof dwconv !== "object") checkChoice("GnConv", "dwconv", dwconv, ["7x7"]);
    const widths = orderWidths(dim, order);
    const inner = widths.reduce((a, b) => a + b); // D = 2C − d₀
    this.#widths = widths;
    this.#s = s;
    this.projIn = new Conv2d(dim, 2 * dim, 1);
    this.dwconv = dwconv === "7x7" ? new Conv2d(inner, inner, 7, { padding: 3, groups: inner }) : new GlobalLocalFilter(inner, dwconv);
    this.projOut = new Conv2d(dim, dim, 1);
    this.pws = widths.slice(1).map((width, k) => new Conv2d(widths[k], width, 1));
  }

  override forward(x: Tensor): Tensor {
    const d0 = this.#widths[0];
    const projected = this.projIn.forward(x); // [N, 2C, H, W]
    const [gate, spatial] = split(projected, [d0, projected.shape[1] - d0], { dim: 1 }); // [N, d₀, H, W], [N, D, H, W]
    const scaled = this.dwconv.forward(spatial).mul(this.#s); // [N, D, H, W]
    const q = split(scaled, this.#widths, { dim: 1 }); // [N, dₖ, H, W]
    let y = gate.mul(q[0]); // [N, d₀, H, W]
    tellOrder(this, 0, y);
    this.pws.forEach((pw, k) => {
      y = pw.forward(y).mul(q[k + 1]); // [N, dₖ₊₁, H, W]
      tellOrder(this, k + 1, y);
    });
    return this.projOut.forward(y); // [N, C, H, W]
  }
}

/** The features after interaction k, for `activations`. */
export const tellOrder = (module: Module, k: number, y: Tensor): void => tell(module, `orders.${k}`, () => y);

/** Size of a global filter's spectrum. */
export interface FilterSize {
  readonly h?: number;
  readonly w?: number;
}

/**
 * Half of the channels pass a depthwise 3×3 convolution, half are multiplied by a learned filter in the spectrum; the halves interleave.
 * x [N, D, H, W] → [N, D, H, W]; the filter [D/2, h, w, 2] (real, imaginary) is resized (bilinear, corners aligned) to
 * H × (⌊W/2⌋ + 1) on each call where it has another size, as part of the graph: the stored filter stays as it is.
 *
 * Throws OpError for an odd number of channels, and for other input. Reference: HorNet, section 3.1 (its GF variant), after Rao et al.,
 * "Global Filter Networks for Image Classification" (2021); hornet.py, `GlobalLocalFilter`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { GlobalLocalFilter } from "crabro/models";
 *
 * const filter = new GlobalLocalFilter(64, { h: 14, w: 8 });
 * filter.forward(rand([1, 64, 14, 14])); // [1, 64, 14, 14]
 * filter.forward(rand([1, 64, 20, 30])); // [1, 64, 20, 30]
 * ```
 */
export class GlobalLocalFilter extends Module {
  readonly complexWeight: Parameter;
  readonly dw: Conv2d;
  readonly preNorm: LayerNorm;
  readonly postNorm: LayerNorm;
  readonly #dim: number;

  constructor(dim: number, { h = 14, w = 8 }: FilterSize = {}) {
    super();
    if (dim % 2 !== 0) throw new OpError("GlobalLocalFilter", `the channels split into halves: dim must be even; got ${dim}`);
    this.#dim = dim;
    this.complexWeight = parameter([dim / 2, h, w, 2], truncNormal(0.02));
    this.dw = new Conv2d(dim / 2, dim / 2, 3, { padding: 1, groups: dim / 2, bias: false });
    this.preNorm = new LayerNorm(dim, { eps: 1e-6, dataFormat: "channels_first" });
    this.postNorm = new LayerNorm(dim, { eps: 1e-6, dataFormat: "channels_first" });
  }

  override forward(x: Tensor): Tensor {
    if (x.ndim !== 4 || x.shape[1] !== this.#dim)
      throw new OpError("GlobalLocalFilter", `expected [N, ${this.#dim}, H, W]; got ${showShape(x.shape)}`);
    const [n, dim, height, width] = x.shape;
    const [a, b] = split(this.preNorm.forward(x), dim / 2, { dim: 1 }); // [N, D/2, H, W] each
    const local = this.dw.forward(a); // [N, D/2, H, W]
    const spectrum = rfft2(b, { dim: [2, 3], norm: "ortho" }); // [N, D/2, H, W/2+1, 2]
    const filtered = mulComplex(spectrum, this.#filter(height, Math.floor(width / 2) + 1)); // [N, D/2, H, W/2+1, 2]
    const global = irfft2(filtered, { s: [height, width], dim: [2, 3], norm: "ortho" }); // [N, D/2, H, W]
    const mixed = stack([local, global], { dim: 2 }).reshape([n, dim, height, width]); // channel 2j local, 2j+1 global
    return this.postNorm.forward(mixed);
  }

  /** The filter at the size of the spectrum, [D/2, height, width, 2]. */
  #filter(height: number, width: number): Tensor {
    const [, h, w] = this.complexWeight.shape;
    if (h === height && w === width) return this.complexWeight;
    const planes = this.complexWeight.permute([3, 0, 1, 2]); // [2, D/2, h, w]
    return interpolate(planes, { size: [height, width], mode: "bilinear", alignCorners: true }).permute([1, 2, 3, 0]);
  }
}
