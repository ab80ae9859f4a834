/** Attention layers. */
import { OpError } from "../../engine/errors.js";
import { multiheadAttention } from "../../engine/functional/attention.js";
import type { Tensor } from "../../engine/tensor.js";
import { xavierUniform, zeros } from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { type BuildOptions, buildWith, type Parameter, parameter } from "./parameter.js";

/**
 * Multi-head attention with the batch first: one projection [3C, C] of query, key and value (its rows in this order), attention in `numHeads`
 * heads of C / numHeads channels, one projection of the joined heads. [N, L, C] → [N, L, C].
 *
 * The first projection starts Xavier uniform with bias 0; `init` is for the second. Throws OpError where the heads do not divide C, and for
 * other input. Reference: torch.nn.MultiheadAttention with batch_first; Vaswani et al. (2017), section 3.2.2.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.MultiheadAttention(64, 4).forward(rand([2, 10, 64])); // [2, 10, 64]
 * ```
 */
export class MultiheadAttention extends Module {
  readonly inProjWeight: Parameter;
  readonly inProjBias: Parameter;
  readonly outProj: Linear;
  readonly #heads: number;

  constructor(dim: number, numHeads: number, build: BuildOptions = {}) {
    super();
    if (!(numHeads >= 1) || dim % numHeads !== 0) {
      throw new OpError("MultiheadAttention", `${dim} channels do not divide into ${numHeads} heads`);
    }
    this.#heads = numHeads;
    [this.inProjWeight, this.inProjBias] = buildWith(
      build,
      () => [parameter([3 * dim, dim], xavierUniform), parameter([3 * dim], zeros)],
      "MultiheadAttention",
    );
    this.outProj = new Linear(dim, dim, build);
  }

  /** Self-attention; or with `key` and `value` (default: the key), of other tensors [N, S, C]. */
  override forward(query: Tensor, key: Tensor = query, value: Tensor = key): Tensor {
    const { weight, bias } = this.outProj;
    return multiheadAttention(query, key, value, this.#heads, this.inProjWeight, this.inProjBias, weight, bias);
  }

  protected override describe(): string {
    return `${this.outProj.weight.shape[0]}, heads=${this.#heads}`;
  }
}
