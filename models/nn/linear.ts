/** Linear layers. */
import { linear } from "../../engine/functional/linalg.js";
import type { Tensor } from "../../engine/tensor.js";
import { kaimingUniform, uniform } from "./init.js";
import { Module } from "./module.js";
import { type BuildOptions, buildWith, initInForce, type Parameter, parameter } from "./parameter.js";

export interface LinearOptions extends BuildOptions {
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * y = x Wᵀ + b over the last dim: x [..., in], weight [out, in], bias [out] → [..., out].
 *
 * Throws OpError for input of another last dim. Reference: torch.nn.Linear.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.Linear(8, 4).forward(rand([2, 5, 8])); // [2, 5, 4]
 * ```
 */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, { bias = true, ...build }: LinearOptions = {}) {
    super();
    [this.weight, this.bias] = buildWith(
      build,
      () => {
        const init = initInForce() ?? { weight: kaimingUniform, bias: uniform(1 / Math.sqrt(inFeatures)) };
        return [parameter([outFeatures, inFeatures], init.weight), bias ? parameter([outFeatures], init.bias) : null];
      },
      "Linear",
    );
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, { bias: this.bias });
  }

  protected override describe(): string {
    return `${this.weight.shape[1]}, ${this.weight.shape[0]}${this.bias === null ? ", bias=false" : ""}`;
  }
}
