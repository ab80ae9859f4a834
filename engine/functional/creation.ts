/** Tensors made of rules rather than data; they cost no memory until something else needs them stored. */

import { type Device, defaultDevice } from "../device.js";
import { anyDType, type DType } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkInteger, checkIntegers, checkOptions, checkTensor } from "../ops/check.js";
import { add, mul } from "../ops/elementwise.js";
import { eq, lt, where } from "../ops/elementwise-logic.js";
import { filled, iota } from "../ops/leaf.js";
import { checkShape, type Shape } from "../shape.js";
import type { Tensor } from "../tensor.js";

export interface CreationOptions {
  /** Default: float32 (`arange` and `full`: as the numbers have it). */
  readonly dtype?: DType;
  /** Default: the default device. */
  readonly device?: Device;
}

const optionNames = ["dtype", "device"] as const;

function checkCreation(op: string, options: CreationOptions | undefined): void {
  checkOptions(op, options, optionNames);
  if (options?.dtype !== undefined && !anyDType.includes(options.dtype)) {
    throw new OpError(op, `the dtype must be one of ${anyDType.join(", ")}; got ${String(options.dtype)}`);
  }
}

function constantOf(op: string, shape: Shape, value: number, dtype: DType, options: CreationOptions | undefined): Tensor {
  checkIntegers(op, shape, "shape");
  checkShape(op, shape);
  return filled(value, shape, dtype, options?.device ?? defaultDevice());
}

/** Zeros, float32 unless asked otherwise. Reference: torch.zeros. */
export function zeros(shape: Shape, options?: CreationOptions): Tensor {
  checkCreation("zeros", options);
  return constantOf("zeros", shape, 0, options?.dtype ?? "float32", options);
}

/** Ones, float32 unless asked otherwise. Reference: torch.ones. */
export function ones(shape: Shape, options?: CreationOptions): Tensor {
  checkCreation("ones", options);
  return constantOf("ones", shape, 1, options?.dtype ?? "float32", options);
}

/** One value everywhere: bool for a boolean, else float32 unless asked otherwise. Reference: torch.full. */
export function full(shape: Shape, value: number | boolean, options?: CreationOptions): Tensor {
  checkCreation("full", options);
  if (typeof value !== "number" && typeof value !== "boolean")
    throw new OpError("full", `the value must be a number or a boolean; got ${String(value)}`);
  return constantOf("full", shape, Number(value), options?.dtype ?? (typeof value === "boolean" ? "bool" : "float32"), options);
}

function like(op: string, x: Tensor, value: number, options: CreationOptions | undefined): Tensor {
  checkTensor(op, x);
  checkCreation(op, options);
  return filled(value, x.shape, options?.dtype ?? x.dtype, options?.device ?? x.device);
}

/** Zeros of the shape, dtype and device of `x`. Reference: torch.zeros_like. */
export const zerosLike = (x: Tensor, options?: CreationOptions): Tensor => like("zerosLike", x, 0, options);

/** Ones of the shape, dtype and device of `x`. Reference: torch.ones_like. */
export const onesLike = (x: Tensor, options?: CreationOptions): Tensor => like("onesLike", x, 1, options);

/** One value in the shape, dtype and device of `x`. Reference: torch.full_like. */
export const fullLike = (x: Tensor, value: number | boolean, options?: CreationOptions): Tensor =>
  like("fullLike", x, Number(value), options);

/**
 * The numbers from `start` (default 0) in steps of `step` (default 1) up to, and without, `end`: int32 where all three are whole, else float32.
 * `arange(5)`, `arange(5, { start: 2 })`. Reference: torch.arange.
 */
export function arange(end: number, options?: CreationOptions & { readonly start?: number; readonly step?: number }): Tensor {
  checkOptions("arange", options, ["start", "step", ...optionNames]);
  const { start = 0, step = 1, device = defaultDevice() } = options ?? {};
  for (const value of [start, end, step])
    if (!Number.isFinite(value)) throw new OpError("arange", `start, end and step must be finite numbers; got ${String(value)}`);
  const count = Math.ceil((end - start) / step);
  if (step === 0 || count < 0)
    throw new OpError("arange", `steps of ${step} never lead from ${start} to ${end}; step must be towards end, and not 0`);
  const whole = [start, end, step].every(Number.isInteger);
  const dtype = options?.dtype ?? (whole ? "int32" : "float32");
  const index = iota([count], 0, device);
  return line(whole ? index : cast(index, dtype === "float64" ? "float64" : "float32"), start, step, dtype);
}

function line(index: Tensor, start: number, step: number, dtype: DType): Tensor {
  const scaled = step === 1 ? index : mul(index, step);
  return cast(start === 0 ? scaled : add(scaled, start), dtype);
}

/** `steps` numbers from `start` to `end`, both included, at equal distances. Reference: torch.linspace. */
export function linspace(start: number, end: number, steps: number, options?: CreationOptions): Tensor {
  checkCreation("linspace", options);
  checkInteger("linspace", steps, "steps");
  if (steps < 0) throw new OpError("linspace", `steps must be 0 or more; got ${steps}`);
  const dtype = options?.dtype ?? "float32";
  const index = iota([steps], 0, options?.device ?? defaultDevice());
  const step = steps > 1 ? (end - start) / (steps - 1) : 0;
  const real = dtype === "float64" ? "float64" : "float32";
  // From both ends towards the middle, so that both ends come out exactly.
  const [up, down] = [cast(index, real), cast(add(index, 1 - steps), real)];
  return cast(where(lt(index, steps / 2), add(mul(up, step), start), add(mul(down, step), steps > 1 ? end : start)), dtype);
}

/** Ones on the diagonal of an n × m matrix (m defaults to n), zeros elsewhere. Reference: torch.eye. */
export function eye(n: number, options?: CreationOptions & { readonly m?: number }): Tensor {
  checkOptions("eye", options, ["m", ...optionNames]);
  const shape = [n, options?.m ?? n];
  checkIntegers("eye", shape, "sizes");
  checkShape("eye", shape);
  const device = options?.device ?? defaultDevice();
  return cast(eq(iota(shape, 0, device), iota(shape, 1, device)), options?.dtype ?? "float32");
}
