/** Stochastic gradient descent, with momentum as in PyTorch. */
import { OpError } from "../../engine/errors.js";
import { add, mul, sub } from "../../engine/functional/elementwise.js";
import { hostScalar } from "../../engine/runtime/scalar.js";
import type { Tensor } from "../../engine/tensor.js";
import type { Parameter } from "../../models/nn/parameter.js";
import { type Commit, type GroupOptions, Optimizer, type ParamGroup } from "./optimizer.js";

export interface SGDOptions {
  readonly lr?: number;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/**
 * g ← g + wd·p; b ← momentum·b + g; p ← p − lr·b, or p − lr·(g + momentum·b) with Nesterov's momentum.
 * The buffer b starts at 0, which makes the first step's b equal to g.
 */
export class SGD extends Optimizer {
  readonly #momentum: number;
  readonly #nesterov: boolean;

  constructor(params: Iterable<Parameter> | readonly GroupOptions[], options: SGDOptions = {}) {
    const { lr = 1e-3, momentum = 0, nesterov = false, weightDecay = 0 } = options;
    if (nesterov && momentum === 0) throw new OpError("SGD", "nesterov needs a momentum above 0");
    super(params, { lr, weightDecay });
    this.#momentum = momentum;
    this.#nesterov = nesterov;
    if (momentum !== 0) this.addState("momentum_buffer");
  }

  protected prepare(group: ParamGroup, commit: Commit): (parameter: Parameter, grad: Tensor, position: number) => void {
    const { device } = group.params[0];
    const rate = hostScalar(() => group.lr * group.lrScale, { device });
    const decay = group.weightDecay === 0 ? null : hostScalar(() => group.weightDecay, { device });
    const buffers = this.state.get("momentum_buffer");
    return (parameter, grad, position) => {
      const g = decay === null ? grad : add(grad, mul(parameter, decay));
      if (buffers === undefined) {
        commit(parameter, sub(parameter, mul(g, rate)));
        return;
      }
      const b = add(mul(buffers[position], this.#momentum), g);
      const step = this.#nesterov ? add(g, mul(b, this.#momentum)) : b;
      commit(parameter, sub(parameter, mul(step, rate)));
      commit(buffers[position], b);
    };
  }
}
