/** Functions of single elements: the primitives under their public names, and what is composed of them. */
import { Device } from "../device.js";
import { anyDType, type DType, isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, floatingType } from "../ops/check.js";
import { abs, add, div, mul, sub } from "../ops/elementwise.js";
import { atan, exp, expm1, log1p, sigmoid, sqrt, tanh } from "../ops/elementwise-float.js";
import { eq, ge, gt, le, logicalOr, lt, where } from "../ops/elementwise-logic.js";
import { identity } from "../ops/identity.js";
import { filled, filledLike } from "../ops/leaf.js";
import { operandTensor } from "../ops/operands.js";
import { toDevice } from "../ops/transfer.js";
import { alias } from "../ops/view.js";
import { broadcastShapes } from "../shape.js";
import { Tensor } from "../tensor.js";

export { abs, add, div, floorDivide, fmod, maximum, minimum, mul, neg, pow, remainder, sign, sub } from "../ops/elementwise.js";
export {
  acos,
  asin,
  atan,
  ceil,
  cos,
  cosh,
  erf,
  exp,
  expm1,
  floor,
  gelu,
  log,
  log1p,
  round,
  sigmoid,
  sin,
  sinh,
  sqrt,
  tan,
  tanh,
  trunc,
} from "../ops/elementwise-float.js";
export {
  bitwiseAnd,
  bitwiseNot,
  bitwiseOr,
  bitwiseXor,
  eq,
  ge,
  gt,
  isnan,
  le,
  logicalAnd,
  logicalNot,
  logicalOr,
  logicalXor,
  lt,
  ne,
  shiftLeft,
  shiftRight,
  where,
} from "../ops/elementwise-logic.js";
export type { Operand } from "../ops/operands.js";

/**
 * `x` in another dtype (floats to int32 truncate and saturate; anything to bool is `≠ 0`), or on another device (no gradient crosses).
 * Reference: torch.Tensor.to.
 */
export function to(x: Tensor, target: DType | Device): Tensor {
  checkTensor("to", x);
  if (target instanceof Device) return toDevice(x, target);
  if (!anyDType.includes(target))
    throw new OpError("to", `the dtype must be one of ${anyDType.join(", ")}, or a device from await device(name); got ${String(target)}`);
  return alias(cast(x, target));
}

/** The same values as a result of its own, through which gradients flow. Tensors never change, so nothing is copied. Reference: torch.clone. */
export function clone(x: Tensor): Tensor {
  checkTensor("clone", x);
  return identity(x);
}

const asFloat = (op: string, x: Tensor): Tensor => {
  checkTensor(op, x);
  return cast(x, floatingType(x.dtype));
};

/** x²; booleans give int32. Reference: torch.square. */
export function square(x: Tensor): Tensor {
  checkTensor("square", x);
  const value = x.dtype === "bool" ? cast(x, "int32") : x;
  return mul(value, value);
}

/** 1 / √x. Reference: torch.rsqrt. */
export function rsqrt(x: Tensor): Tensor {
  checkTensor("rsqrt", x);
  return div(1, sqrt(x));
}

/** 1 / x. Reference: torch.reciprocal. */
export function reciprocal(x: Tensor): Tensor {
  checkTensor("reciprocal", x);
  return div(1, x);
}

/** Whether x is neither infinite nor NaN, as bool. Reference: torch.isfinite. */
export function isfinite(x: Tensor): Tensor {
  checkTensor("isfinite", x);
  return isFloating(x.dtype) ? lt(abs(x), Number.POSITIVE_INFINITY) : filled(1, x.shape, "bool", x.device);
}

/** Whether x is +∞ or −∞, as bool. Reference: torch.isinf. */
export function isinf(x: Tensor): Tensor {
  checkTensor("isinf", x);
  return isFloating(x.dtype) ? eq(abs(x), Number.POSITIVE_INFINITY) : filled(0, x.shape, "bool", x.device);
}

/**
 * x where it lies in [min, max], else the nearer bound; bounds are numbers or tensors, broadcast; where min > max the result is max.
 * NaN in any of them gives NaN, without a gradient. At a bound the gradient is x's. Throws without any bound. Reference: torch.clamp.
 */
export function clamp(x: Tensor, options: { readonly min?: Tensor | number | null; readonly max?: Tensor | number | null }): Tensor {
  checkTensor("clamp", x);
  checkOptions("clamp", options, ["min", "max"]);
  const [min, max] = [options?.min ?? null, options?.max ?? null];
  if (min === null && max === null) throw new OpError("clamp", "needs a bound: { min }, { max } or both");
  const bounds = [min, max].filter((bound) => bound instanceof Tensor);
  broadcastShapes("clamp", x.shape, ...bounds.map((bound) => bound.shape));
  const above = min === null ? x : kept(gt(min, x), ge(x, min), x, min);
  return max === null ? above : kept(lt(max, above), le(above, max), above, max);
}

/** The bound where x is beyond it, x where it is not, and NaN where it is neither. */
function kept(beyond: Tensor, inside: Tensor, x: Tensor, bound: Tensor | number): Tensor {
  const result = where(beyond, bound, x);
  return isFloating(result.dtype) ? where(logicalOr(beyond, inside), result, Number.NaN) : result;
}

/** max(x, 0); the gradient at 0 is 0. Reference: torch.nn.functional.relu. */
export function relu(x: Tensor): Tensor {
  checkTensor("relu", x);
  return where(le(x, 0), 0, x);
}

/** x kept in [minVal, maxVal] (default ±1), with gradient 0 at the bounds, and for NaN. Reference: torch.nn.functional.hardtanh. */
export function hardtanh(x: Tensor, options?: { readonly minVal?: number; readonly maxVal?: number }): Tensor {
  checkTensor("hardtanh", x);
  checkOptions("hardtanh", options, ["minVal", "maxVal"]);
  const { minVal = -1, maxVal = 1 } = options ?? {};
  const bound = (value: number): Tensor => operandTensor("hardtanh", value, x.dtype, x.device);
  const inside = isFloating(x.dtype) ? where(lt(x, maxVal), x, Number.NaN) : x;
  return where(le(x, minVal), bound(Math.min(minVal, maxVal)), where(ge(x, maxVal), bound(maxVal), inside));
}

/** x kept in [0, 6]. Reference: torch.nn.functional.relu6. */
export const relu6 = (x: Tensor): Tensor => hardtanh(x, { minVal: 0, maxVal: 6 });

/** x for x > 0, else x · negativeSlope (default 0.01). Reference: torch.nn.functional.leaky_relu. */
export function leakyRelu(x: Tensor, options?: { readonly negativeSlope?: number }): Tensor {
  checkTensor("leakyRelu", x);
  checkOptions("leakyRelu", options, ["negativeSlope"]);
  return where(gt(x, 0), x, mul(x, options?.negativeSlope ?? 0.01));
}

/** x for x > 0, else alpha (e^x − 1). Reference: torch.nn.functional.elu. */
export function elu(x: Tensor, options?: { readonly alpha?: number }): Tensor {
  checkTensor("elu", x);
  checkOptions("elu", options, ["alpha"]);
  const positive = gt(x, 0);
  // The branch not taken must stay finite, or its zero gradient becomes 0 · ∞.
  return where(positive, x, mul(expm1(where(positive, 0, x)), options?.alpha ?? 1));
}

/** log(1 + e^(beta x)) / beta, and x itself where beta x > threshold (20). Reference: torch.nn.functional.softplus. */
export function softplus(x: Tensor, options?: { readonly beta?: number; readonly threshold?: number }): Tensor {
  checkOptions("softplus", options, ["beta", "threshold"]);
  const { beta = 1, threshold = 20 } = options ?? {};
  const z = asFloat("softplus", x);
  const scaled = mul(z, beta);
  const linear = gt(scaled, threshold);
  return where(linear, z, div(log1p(exp(where(linear, 0, scaled))), beta));
}

/** x sigmoid(x). Reference: torch.nn.functional.silu. */
export const silu = (x: Tensor): Tensor => mul(x, sigmoid(x));

/** x tanh(softplus(x)). Reference: torch.nn.functional.mish; Misra, Mish, 2019. */
export const mish = (x: Tensor): Tensor => mul(x, tanh(softplus(x)));

/** x clamp(x + 3, 0, 6) / 6. Reference: torch.nn.functional.hardswish. */
export function hardswish(x: Tensor): Tensor {
  checkTensor("hardswish", x);
  // Where x = 3 the slope is 1, where x = −3 it is −1/2.
  return div(mul(x, where(ge(x, 3), 6, clamp(add(x, 3), { min: 0 }))), 6);
}

/** clamp(x + 3, 0, 6) / 6. Reference: torch.nn.functional.hardsigmoid. */
export const hardsigmoid = (x: Tensor): Tensor => div(relu6(add(asFloat("hardsigmoid", x), 3)), 6);

/** start + weight (end − start); taken from the nearer end, so that weight 1 gives `end` exactly. Reference: torch.lerp. */
export function lerp(start: Tensor, end: Tensor, weight: Tensor | number): Tensor {
  checkTensor("lerp", start, "start");
  checkTensor("lerp", end, "end");
  const span = sub(end, start);
  if (typeof weight === "number") return Math.abs(weight) < 0.5 ? add(start, mul(span, weight)) : sub(end, mul(span, 1 - weight));
  return where(lt(abs(weight), 0.5), add(start, mul(span, weight)), sub(end, mul(span, sub(1, weight))));
}

/** x + value · a · b. Reference: torch.addcmul. */
export function addcmul(x: Tensor, a: Tensor, b: Tensor, options?: { readonly value?: number }): Tensor {
  checkTensor("addcmul", x);
  checkOptions("addcmul", options, ["value"]);
  return add(x, mul(a, b), { alpha: options?.value ?? 1 });
}

/** x + value · a / b. Reference: torch.addcdiv. */
export function addcdiv(x: Tensor, a: Tensor, b: Tensor, options?: { readonly value?: number }): Tensor {
  checkTensor("addcdiv", x);
  checkOptions("addcdiv", options, ["value"]);
  return add(x, div(a, b), { alpha: options?.value ?? 1 });
}

/** The angle of the point (x, y) in (−π, π], broadcast; integers give float32. Reference: torch.atan2. */
export function atan2(y: Tensor, x: Tensor): Tensor {
  const [height, width] = [asFloat("atan2", y), asFloat("atan2", x)];
  // The smaller over the larger is safe to divide, and smooth on both axes.
  const steep = gt(abs(height), abs(width));
  const shallow = div(where(steep, 0, height), where(logicalOr(steep, eq(width, 0)), 1, width));
  const constant = (value: number): Tensor => filledLike(height, value);
  const turn = where(lt(width, 0), where(lt(height, 0), constant(-Math.PI), constant(Math.PI)), 0);
  const upright = where(lt(height, 0), constant(-Math.PI / 2), constant(Math.PI / 2));
  const slant = div(where(steep, width, 0), where(steep, height, 1));
  return where(steep, sub(upright, atan(slant)), add(atan(shallow), turn));
}
