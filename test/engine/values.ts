/** Values for tests. */
import { numel } from "../../engine/shape.js";
import { Generator, hostUniform, type Tensor, tensor } from "../../index.js";

/** A source of float64 tensors of any shape, uniform from -0.5 to 0.5, the same from a seed. */
export function uniformFrom(seed: number): (...shape: number[]) => Tensor {
  const generator = new Generator(seed);
  return (...shape) =>
    tensor(
      Float64Array.from(hostUniform(generator, numel(shape)), (u) => u - 0.5),
      { shape },
    );
}
