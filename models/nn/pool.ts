/** Pooling layers. */
import { adaptiveAvgPool2d } from "../../engine/functional/pool.js";
import type { Tensor } from "../../engine/tensor.js";
import { Module } from "./module.js";

/**
 * Means of `size` × `size` parts of each map: [N, C, H, W] → [N, C, size, size]. Bin j covers ⌊j H / size⌋ to ⌈(j + 1) H / size⌉ − 1.
 *
 * Throws OpError for a size below 1, and for other input. Reference: torch.nn.AdaptiveAvgPool2d.
 *
 * ```ts
 * import { rand } from "crabro";
 * import { nn } from "crabro/models";
 *
 * new nn.AdaptiveAvgPool2d(2).forward(rand([1, 16, 7, 5])); // [1, 16, 2, 2]
 * ```
 */
export class AdaptiveAvgPool2d extends Module {
  readonly #size: number | readonly [number, number];

  constructor(size: number | readonly [number, number]) {
    super();
    this.#size = size;
  }

  override forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.#size);
  }

  protected override describe(): string {
    return String(this.#size);
  }
}
