/** Layers that act in training only, and the learned scale of residual branches. */
import { OpError } from "../../engine/errors.js";
import { dropout, dropout2d, dropPath } from "../../engine/functional/dropout.js";
import { checkChoice } from "../../engine/ops/check.js";
import type { Tensor } from "../../engine/tensor.js";
import { constant } from "./init.js";
import { Module } from "./module.js";
import { type BuildOptions, buildWith, type Parameter, parameter } from "./parameter.js";

function checkRate(op: string, p: number): number {
  if (!(p >= 0 && p < 1)) throw new OpError(op, `the rate is a number from 0 to below 1; got ${p}`);
  return p;
}

/**
 * Zeroes elements with probability p in training and divides the rest by 1 − p: any shape → the same.
 *
 * Throws OpError unless 0 ≤ p < 1. Reference: torch.nn.Dropout.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.Dropout(0.1).eval().forward(rand([2, 3])); // as it is
 * ```
 */
export class Dropout extends Module {
  readonly #p: number;

  constructor(p = 0.5) {
    super();
    this.#p = checkRate("Dropout", p);
  }

  override forward(x: Tensor): Tensor {
    return this.training && this.#p > 0 ? dropout(x, { p: this.#p }) : x;
  }

  protected override describe(): string {
    return `p=${this.#p}`;
  }
}

/**
 * Zeroes whole maps of [N, C, H, W] with probability p in training and divides the rest by 1 − p → [N, C, H, W].
 *
 * Throws OpError unless 0 ≤ p < 1, and in training for input that is no [N, C, H, W]. Reference: torch.nn.Dropout2d.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.Dropout2d(0.1).forward(rand([2, 16, 4, 4])); // about one map of ten is 0
 * ```
 */
export class Dropout2d extends Module {
  readonly #p: number;

  constructor(p = 0.5) {
    super();
    this.#p = checkRate("Dropout2d", p);
  }

  override forward(x: Tensor): Tensor {
    return this.training && this.#p > 0 ? dropout2d(x, { p: this.#p }) : x;
  }

  protected override describe(): string {
    return `p=${this.#p}`;
  }
}

/**
 * Stochastic depth: in training, each sample of a residual branch [N, …] is dropped with probability p, or else divided by 1 − p → [N, …].
 *
 * Throws OpError unless 0 ≤ p < 1. Reference: timm's `DropPath`; Huang et al., "Deep Networks with Stochastic Depth" (2016), section 3.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.DropPath(0.2).forward(rand([8, 16])); // about one sample of five is 0
 * ```
 */
export class DropPath extends Module {
  readonly #p: number;

  constructor(p = 0) {
    super();
    this.#p = checkRate("DropPath", p);
  }

  override forward(x: Tensor): Tensor {
    return this.training && this.#p > 0 ? dropPath(x, this.#p) : x;
  }

  protected override describe(): string {
    return `p=${this.#p}`;
  }
}

export interface LayerScaleOptions extends BuildOptions {
  /** Default 1e-5. */
  readonly initValue?: number;
  /** Where the channels are: the second dim (`nchw`) or the last (`nlc`). */
  readonly format?: "nchw" | "nlc";
}

/**
 * Multiplies every channel by a learned factor: `gamma` [1, C, 1, 1] for nchw, [C] for nlc; x [N, C, H, W] or [N, L, C] → the same.
 *
 * Throws OpError for input of other channels. Reference: Touvron et al., "Going deeper with Image Transformers" (2021), section 2; glnet.py,
 * `LayerScale`.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.LayerScale(16, { initValue: 1e-4, format: "nchw" }).forward(rand([1, 16, 4, 4])); // [1, 16, 4, 4]
 * ```
 */
export class LayerScale extends Module {
  readonly gamma: Parameter;

  constructor(dim: number, { initValue = 1e-5, format = "nlc", ...build }: LayerScaleOptions = {}) {
    super();
    checkChoice("LayerScale", "format", format, ["nchw", "nlc"]);
    this.gamma = buildWith(build, () => parameter(format === "nchw" ? [1, dim, 1, 1] : [dim], constant(initValue)), "LayerScale");
  }

  override forward(x: Tensor): Tensor {
    return x.mul(this.gamma);
  }
}
