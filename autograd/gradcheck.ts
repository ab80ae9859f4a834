/** Gradients against differences of values, in float64. */
import { OpError } from "../engine/errors.js";
import { add, mul } from "../engine/functional/elementwise.js";
import { sum } from "../engine/functional/reduction.js";
import { Generator, hostNormal } from "../engine/random.js";
import { numel, showShape } from "../engine/shape.js";
import { fromHost, Tensor } from "../engine/tensor.js";
import { gradients, probe } from "./backward.js";

export interface GradcheckOptions {
  /** Half the distance of the two values whose difference is taken. Default 1e-6. */
  readonly eps?: number;
  /** |analytic − numeric| ≤ atol + rtol · |numeric|. Defaults 1e-5 and 1e-3, as PyTorch's. */
  readonly atol?: number;
  readonly rtol?: number;
  /** Inputs with at most this many elements are checked one by one, larger ones along random directions. Default 32. */
  readonly fullBelow?: number;
  /** How many directions. Default 3. */
  readonly directions?: number;
  readonly seed?: number;
}

type Fn = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

/** Tensors of float64 are differentiated; others are passed on. Rejects with what differs where a gradient is wrong; else gives true. */
export async function gradcheck(fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions = {}): Promise<true> {
  return check("gradcheck", fn, inputs, options);
}

async function check(op: string, fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions): Promise<true> {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3, fullBelow = 32, directions = 3, seed = 1 } = options;
  const random = new Generator(seed);
  const values = await Promise.all(inputs.map((x) => x.data()));
  const places = inputs.flatMap((x, i) => (x.dtype === "float64" ? [i] : []));
  if (places.length === 0)
    throw new OpError(op, `inputs have dtypes ${inputs.map((x) => x.dtype).join(", ")}; at least one must be float64`);

  const leaf = (i: number, data: Float64Array): Tensor => fromHost(data, inputs[i].shape, "float64", inputs[i].device);
  const outputsAt = (given: readonly Tensor[]): Tensor[] => {
    const result = fn(...given);
    return (result instanceof Tensor ? [result] : [...result]).filter((y) => y.dtype === "float64");
  };
  const leaves = inputs.map((x, i) => (places.includes(i) ? leaf(i, Float64Array.from(values[i])).requiresGrad_() : x));
  const outputs = outputsAt(leaves);
  // A gradient may well be constant; a function that is checked for its gradient should not be.
  if (op === "gradcheck" && !outputs.some((y) => y.requiresGrad)) throw new OpError(op, "no output depends on an input of float64");
  // One random weight an output element makes one number of all outputs, and any wrong entry of the Jacobian shows in it.
  const weights = outputs.map((y) => fromHost(Float64Array.from(hostNormal(random, y.numel)), y.shape, "float64", y.device));
  const total = (given: readonly Tensor[]): Tensor =>
    outputsAt(given)
      .map((y, k) => sum(mul(y, weights[k])))
      .reduce((a, b) => add(a, b));

  const asked = places.map((i) => leaves[i]);
  const found = gradients([total(leaves)], asked, null, { allowUnused: true });
  const analytic = await Promise.all(found.map((g, k) => g?.data() ?? new Float64Array(asked[k].numel)));

  for (let k = 0; k < places.length; k++) {
    const i = places[k];
    const length = numel(inputs[i].shape);
    const full = length <= fullBelow;
    const count = full ? length : directions;
    for (let step = 0; step < count; step++) {
      const direction = full ? unit(length, step) : Float64Array.from(hostNormal(random, length));
      const at = async (sign: number): Promise<number> => {
        const moved = Float64Array.from(values[i], (value, j) => value + sign * eps * direction[j]);
        return total(inputs.map((x, j) => (j === i ? leaf(i, moved) : x))).item();
      };
      const numeric = ((await at(1)) - (await at(-1))) / (2 * eps);
      const expected = direction.reduce((dot, d, j) => dot + d * analytic[k][j], 0);
      if (Math.abs(expected - numeric) <= atol + rtol * Math.abs(numeric)) continue;
      const where = full ? `element ${showIndex(step, inputs[i].shape)}` : `random direction ${step}`;
      throw new OpError(
        op,
        `input ${i} ${showShape(inputs[i].shape)}, ${where}: the gradient is ${expected}, the difference quotient ${numeric} (they differ by ${Math.abs(expected - numeric)}; allowed is ${atol} + ${rtol} · |quotient|)`,
      );
    }
  }
  return true;
}

function unit(length: number, at: number): Float64Array {
  const direction = new Float64Array(length);
  direction[at] = 1;
  return direction;
}

function showIndex(flat: number, shape: readonly number[]): string {
  const index: number[] = [];
  for (let d = shape.length - 1, rest = flat; d >= 0; d--) {
    index.unshift(rest % shape[d]);
    rest = Math.floor(rest / shape[d]);
  }
  return showShape(index);
}

/** `gradcheck` of the gradients themselves, as functions of the inputs and of the gradient that arrives: second derivatives. */
export async function gradgradcheck(fn: Fn, inputs: readonly Tensor[], options: GradcheckOptions = {}): Promise<true> {
  const floats = inputs.flatMap((x, i) => (x.dtype === "float64" ? [i] : []));
  const outputsAt = (given: readonly Tensor[]): Tensor[] => {
    const result = fn(...given);
    return (result instanceof Tensor ? [result] : [...result]).filter((y) => y.requiresGrad && y.dtype === "float64");
  };
  // Also where values alone are asked for, the gradient inside needs inputs that require one.
  const traced = (given: readonly Tensor[]): Tensor[] => given.slice(0, inputs.length).map((x, i) => (floats.includes(i) ? probe(x) : x));
  const random = new Generator(options.seed ?? 2);
  const arriving = outputsAt(traced(inputs)).map((y) =>
    fromHost(Float64Array.from(hostNormal(random, y.numel)), y.shape, "float64", y.device),
  );
  const slopes = (...given: Tensor[]): Tensor[] => {
    const own = traced(given);
    const asked = floats.map((i) => own[i]);
    const found = gradients(outputsAt(own), asked, given.slice(inputs.length), { createGraph: true, allowUnused: true });
    return found.filter((g): g is Tensor => g !== null);
  };
  return check("gradgradcheck", slopes, [...inputs, ...arriving], options);
}
