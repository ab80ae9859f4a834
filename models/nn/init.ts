/** Initial values of parameters, drawn on the host so that every device starts from the same bits. */
import { hostNormal, truncNormal as hostTruncNormal, hostUniform } from "../../engine/random.js";
import type { Shape } from "../../engine/shape.js";
import type { Init } from "./parameter.js";

/** Fills with one value. */
export const constant =
  (value: number): Init =>
  (values) => {
    values.fill(value);
  };

/** Fills with 0. */
export const zeros: Init = constant(0);

/** Fills with 1. */
export const ones: Init = constant(1);

/** Even in [−bound, bound). */
export const uniform =
  (bound: number): Init =>
  (values, _shape, generator) => {
    const drawn = hostUniform(generator, values.length);
    for (let i = 0; i < values.length; i++) values[i] = (2 * drawn[i] - 1) * bound;
  };

/** Normal values. */
export const normal =
  (std: number): Init =>
  (values, _shape, generator) => {
    const drawn = hostNormal(generator, values.length);
    for (let i = 0; i < values.length; i++) values[i] = std * drawn[i];
  };

/** Normal with deviation `std`, cut off at the values −2 and 2 (timm's `trunc_normal_`). */
export const truncNormal =
  (std: number): Init =>
  (values, _shape, generator) => {
    values.set(hostTruncNormal(generator, values.length, { std }));
  };

/** How many inputs one output of a weight sees: all dims but the first. */
export const fanIn = (shape: Shape): number => shape.slice(1).reduce((n, size) => n * size, 1);

/** PyTorch's default for weights of linear and convolution layers: kaiming uniform with a = √5, which is 1 / √fanIn. */
export const kaimingUniform: Init = (values, shape, generator) => uniform(1 / Math.sqrt(fanIn(shape)))(values, shape, generator);

/** He's, by the outputs that see one input: normal with deviation √(2 / fanOut), for convolutions before a ReLU. */
export const kaimingNormalFanOut: Init = (values, shape, generator) => {
  const perChannel = shape.slice(2).reduce((n, size) => n * size, 1);
  normal(Math.sqrt(2 / (shape[0] * perChannel)))(values, shape, generator);
};

/** Glorot's: ±√(6 / (fanIn + fanOut)). */
export const xavierUniform: Init = (values, shape, generator) => {
  const perChannel = shape.slice(2).reduce((n, size) => n * size, 1);
  uniform(Math.sqrt(6 / (fanIn(shape) + shape[0] * perChannel)))(values, shape, generator);
};

/** The values of another initialisation times a factor. */
export const scaled =
  (init: Init, factor: number): Init =>
  (values, shape, generator) => {
    init(values, shape, generator);
    if (factor !== 1) for (let i = 0; i < values.length; i++) values[i] *= factor;
  };
