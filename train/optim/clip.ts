/** Gradient clipping. */
import { noGrad } from "../../autograd/grad-mode.js";
import { OpError } from "../../engine/errors.js";
import { add, clamp, mul, reciprocal, sqrt } from "../../engine/functional/elementwise.js";
import { stack } from "../../engine/functional/movement.js";
import { sum } from "../../engine/functional/reduction.js";
import type { Tensor } from "../../engine/tensor.js";

/**
 * Scales the gradients so that their norm over all parameters is at most `maxNorm`: all are multiplied by
 * min(1, maxNorm / (norm + 1e-6)). Returns the norm before, as a tensor: nothing is read. `maxNorm` Infinity only measures.
 */
export function clipGradNorm(params: Iterable<Tensor>, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new OpError("clipGradNorm", `maxNorm is a number above 0; got ${maxNorm}`);
  const clipped = [...params].filter((parameter) => parameter.grad !== null);
  if (clipped.length === 0) throw new OpError("clipGradNorm", "no parameter has a gradient; call backward() first");
  return noGrad(() => {
    const squares = clipped.map(({ grad }) => sum(mul(grad as Tensor, grad as Tensor)));
    const norm = sqrt(sum(stack(squares)));
    if (maxNorm !== Number.POSITIVE_INFINITY) {
      const factor = clamp(mul(reciprocal(add(norm, 1e-6)), maxNorm), { max: 1 });
      for (const parameter of clipped) parameter.grad = mul(parameter.grad as Tensor, factor);
    }
    return norm;
  });
}
