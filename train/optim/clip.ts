/** Gradient clipping. */
import { noGrad } from "../../autograd/grad-mode.js";
import { OpError } from "../../engine/errors.js";
import { stack } from "../../engine/functional/movement.js";
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
    const squares = clipped.map(({ grad }) => (grad as Tensor).mul(grad as Tensor).sum());
    const norm = stack(squares).sum().sqrt();
    if (maxNorm !== Number.POSITIVE_INFINITY) {
      const factor = norm.add(1e-6).reciprocal().mul(maxNorm).clamp({ max: 1 });
      for (const parameter of clipped) parameter.grad = (parameter.grad as Tensor).mul(factor);
    }
    return norm;
  });
}
