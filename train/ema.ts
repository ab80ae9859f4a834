/** Exponential moving average of a model's state (timm's ModelEma). */
import { noGrad } from "../autograd/grad-mode.js";
import { isFloating } from "../engine/dtype.js";
import { OpError } from "../engine/errors.js";
import { where } from "../engine/functional/elementwise.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import type { Module } from "../models/nn/module.js";

export interface ModelEmaOptions {
  readonly decay?: number;
}

/**
 * Follows every floating entry of a model's state dict, running statistics included: ema ← decay · ema + (1 − decay) · value.
 * Integer entries are copied. Evaluate it with a second model: `other.loadStateDict(ema.stateDict())`.
 */
export class ModelEma {
  readonly decay: number;
  readonly #model: Module;
  readonly #shadow: ReadonlyMap<string, Tensor>;

  private constructor(model: Module, shadow: ReadonlyMap<string, Tensor>, decay: number) {
    this.#model = model;
    this.#shadow = shadow;
    this.decay = decay;
  }

  /** Starts as a copy of the model's present state. */
  static async of(model: Module, { decay = 0.9999 }: ModelEmaOptions = {}): Promise<ModelEma> {
    const entries = [...model.stateDict()];
    const values = await Promise.all(entries.map(([, tensor]) => tensor.data()));
    const shadow = new Map(entries.map(([name, { shape, dtype, device }], i) => [name, fromHost(values[i].slice(), shape, dtype, device)]));
    return new ModelEma(model, shadow, decay);
  }

  /** To be called after the optimizer's step; an effect, carried out with the next read. Where `when` is false, nothing changes. */
  update({ when = null }: { readonly when?: Tensor | null } = {}): void {
    noGrad(() => {
      for (const [name, value] of this.#model.stateDict()) {
        const shadow = this.#shadow.get(name) as Tensor;
        const next = isFloating(shadow.dtype) ? shadow.mul(this.decay).add(value.mul(1 - this.decay)) : value;
        shadow.assign(when === null ? next : where(when, next, shadow));
      }
    });
  }

  stateDict(): ReadonlyMap<string, Tensor> {
    return this.#shadow;
  }

  /** Goes on from another average of the same model. */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    noGrad(() => {
      for (const [name, shadow] of this.#shadow) {
        const value = state.get(name);
        if (value === undefined) throw new OpError("ModelEma.loadStateDict", `the state lacks ${name}`);
        shadow.assign(value);
      }
    });
  }

  dispose(): void {
    for (const tensor of this.#shadow.values()) tensor.dispose();
  }
}
