/** Activations as modules. */
import { gelu, relu } from "../../engine/functional/activation.js";
import type { Tensor } from "../../engine/tensor.js";
import { Module } from "./module.js";

/**
 * x Φ(x), by the error function unless `approximate` is "tanh", element by element: any shape → the same.
 *
 * Throws OpError for input that is not floating. Reference: torch.nn.GELU.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.GELU().forward(rand([2, 3])); // [2, 3]
 * ```
 */
export class GELU extends Module {
  readonly #approximate: "none" | "tanh";

  constructor({ approximate = "none" }: { readonly approximate?: "none" | "tanh" } = {}) {
    super();
    this.#approximate = approximate;
  }

  override forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.#approximate });
  }
}

/**
 * max(x, 0), element by element: any shape → the same.
 *
 * Throws nothing of its own. Reference: torch.nn.ReLU.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.ReLU().forward(rand([2, 3])); // [2, 3]
 * ```
 */
export class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return relu(x);
  }
}
