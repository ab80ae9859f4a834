/** AdamW: Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019). */
import { add, div, mul, sqrt, sub } from "../../engine/functional/elementwise.js";
import { hostScalar } from "../../engine/runtime/scalar.js";
import type { Tensor } from "../../engine/tensor.js";
import type { Parameter } from "../../models/nn/parameter.js";
import { type Commit, type GroupOptions, Optimizer, type ParamGroup } from "./optimizer.js";

export interface AdamWOptions {
  readonly lr?: number;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
}

/**
 * p ← p (1 − lr·wd) − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps), with m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g².
 * Three assignments from one gradient: one kernel a parameter.
 */
export class AdamW extends Optimizer {
  readonly #betas: readonly [number, number];
  readonly #eps: number;

  constructor(params: Iterable<Parameter> | readonly GroupOptions[], options: AdamWOptions = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    super(params, { lr, weightDecay });
    this.#betas = betas;
    this.#eps = eps;
    this.addState("exp_avg");
    this.addState("exp_avg_sq");
  }

  protected prepare(group: ParamGroup, commit: Commit): (parameter: Parameter, grad: Tensor, position: number) => void {
    const [beta1, beta2] = this.#betas;
    const rate = (): number => group.lr * group.lrScale;
    const { device } = group.params[0];
    const keep = hostScalar(() => 1 - rate() * group.weightDecay, { device });
    const size = hostScalar(() => rate() / (1 - beta1 ** this.steps), { device });
    const correction = hostScalar(() => 1 / Math.sqrt(1 - beta2 ** this.steps), { device });
    const means = this.state.get("exp_avg") as Tensor[];
    const squares = this.state.get("exp_avg_sq") as Tensor[];
    return (parameter, grad, position) => {
      const m = add(mul(means[position], beta1), mul(grad, 1 - beta1));
      const v = add(mul(squares[position], beta2), mul(mul(grad, grad), 1 - beta2));
      const update = mul(div(m, add(mul(sqrt(v), correction), this.#eps)), size);
      commit(parameter, sub(mul(parameter, keep), update));
      commit(means[position], m);
      commit(squares[position], v);
    };
  }
}
