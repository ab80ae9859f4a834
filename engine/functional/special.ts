/** Further functions of single elements, composed. */
import { isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, floatingType } from "../ops/check.js";
import { abs, add, div, maximum, mul, neg, sub } from "../ops/elementwise.js";
import { erf, exp, expm1, log, log1p, sqrt, trunc } from "../ops/elementwise-float.js";
import { eq, gt, isnan, logicalOr, lt, where } from "../ops/elementwise-logic.js";
import { alias } from "../ops/view.js";
import type { Tensor } from "../tensor.js";

const floating = (op: string, x: Tensor): Tensor => {
  checkTensor(op, x);
  return cast(x, floatingType(x.dtype));
};

/** log₂ x. Reference: torch.log2. */
export const log2 = (x: Tensor): Tensor => mul(log(floating("log2", x)), Math.LOG2E);

/** log₁₀ x. Reference: torch.log10. */
export const log10 = (x: Tensor): Tensor => mul(log(floating("log10", x)), Math.LOG10E);

/** 2^x. Reference: torch.exp2. */
export const exp2 = (x: Tensor): Tensor => exp(mul(floating("exp2", x), Math.LN2));

/** 1 − erf x; small values lose digits. Reference: torch.erfc. */
export const erfc = (x: Tensor): Tensor => sub(1, erf(floating("erfc", x)));

/** x − trunc x: the part behind the point, with the sign of x. Reference: torch.frac. */
export function frac(x: Tensor): Tensor {
  checkTensor("frac", x);
  return sub(x, trunc(x));
}

/** log(x / (1 − x)), of x kept in [eps, 1 − eps] where `eps` is given. Reference: torch.logit. */
export function logit(x: Tensor, options?: { readonly eps?: number | null }): Tensor {
  checkOptions("logit", options, ["eps"]);
  const values = floating("logit", x);
  const eps = options?.eps ?? null;
  const inside = eps === null ? values : where(lt(values, eps), eps, where(gt(values, 1 - eps), 1 - eps, values));
  return log(div(inside, sub(1, inside)));
}

/** log(e^a + e^b) without overflow, broadcast. Reference: torch.logaddexp. */
export function logaddexp(a: Tensor, b: Tensor): Tensor {
  checkTensor("logaddexp", a);
  checkTensor("logaddexp", b, "other");
  const top = maximum(a, b).detach();
  const finite = where(eq(abs(top), Number.POSITIVE_INFINITY), 0, top);
  return add(log(add(exp(sub(a, finite)), exp(sub(b, finite)))), finite);
}

/** √(a² + b²), broadcast. Reference: torch.hypot. */
export function hypot(a: Tensor, b: Tensor): Tensor {
  checkTensor("hypot", a);
  checkTensor("hypot", b, "other");
  return sqrt(add(mul(a, a), mul(b, b)));
}

/** x log y, and 0 where x is 0, broadcast; NaN where y is. Reference: torch.xlogy. */
export function xlogy(x: Tensor, y: Tensor): Tensor {
  checkTensor("xlogy", x);
  checkTensor("xlogy", y, "other");
  const values = floating("xlogy", y);
  const none = eq(x, 0);
  return where(isnan(values), Number.NaN, where(none, 0, mul(x, log(where(none, 1, values)))));
}

/** 0 for negative x, 1 for positive x, `values` at 0, broadcast; NaN stays. No gradient flows. Reference: torch.heaviside. */
export function heaviside(x: Tensor, values: Tensor): Tensor {
  checkTensor("heaviside", x);
  checkTensor("heaviside", values, "values");
  if (x.dtype !== values.dtype) throw new OpError("heaviside", `the input is ${x.dtype}, values ${values.dtype}; cast one with to(dtype)`);
  const at = x.detach();
  const step = where(eq(at, 0), values.detach(), cast(gt(at, 0), x.dtype));
  return isFloating(x.dtype) ? where(isnan(at), at, step) : step;
}

const largest: Readonly<Record<"float32" | "float64", number>> = { float32: 3.4028234663852886e38, float64: Number.MAX_VALUE };

/** NaN becomes `nan` (default 0), infinities `posinf` and `neginf` (default: the largest finite values). Reference: torch.nan_to_num. */
export function nanToNum(
  x: Tensor,
  options?: { readonly nan?: number | null; readonly posinf?: number | null; readonly neginf?: number | null },
): Tensor {
  checkTensor("nanToNum", x);
  checkOptions("nanToNum", options, ["nan", "posinf", "neginf"]);
  if (x.dtype !== "float32" && x.dtype !== "float64") return alias(x);
  const limit = largest[x.dtype];
  const finite = where(
    eq(x, Number.POSITIVE_INFINITY),
    options?.posinf ?? limit,
    where(eq(x, Number.NEGATIVE_INFINITY), options?.neginf ?? -limit, x),
  );
  return where(isnan(x), options?.nan ?? 0, finite);
}

/** log of the sigmoid, without overflow. Reference: torch.nn.functional.logsigmoid. */
export function logsigmoid(x: Tensor): Tensor {
  checkTensor("logsigmoid", x);
  return sub(where(lt(x, 0), x, 0), log1p(exp(neg(abs(x)))));
}

/** x / (1 + |x|). Reference: torch.nn.functional.softsign. */
export function softsign(x: Tensor): Tensor {
  checkTensor("softsign", x);
  return div(x, add(abs(x), 1));
}

/** x where positive, else alpha · (e^(x / alpha) − 1). Reference: torch.nn.functional.celu. */
export function celu(x: Tensor, options?: { readonly alpha?: number }): Tensor {
  checkTensor("celu", x);
  checkOptions("celu", options, ["alpha"]);
  const alpha = options?.alpha ?? 1;
  const positive = gt(x, 0);
  return where(positive, x, mul(expm1(div(where(positive, 0, x), alpha)), alpha));
}

/** scale · (x where positive, else alpha · (e^x − 1)). Reference: torch.nn.functional.selu; Klambauer et al. (2017). */
export function selu(x: Tensor): Tensor {
  checkTensor("selu", x);
  const [alpha, scale] = [1.6732632423543772, 1.0507009873554805];
  const positive = gt(x, 0);
  return mul(where(positive, x, mul(expm1(where(positive, 0, x)), alpha)), scale);
}

/** Whether |a − b| ≤ atol + rtol · |b|, broadcast; equal infinities are close, NaN to nothing unless `equalNan`. Reference: torch.isclose. */
export function isclose(
  a: Tensor,
  b: Tensor,
  options?: { readonly rtol?: number; readonly atol?: number; readonly equalNan?: boolean },
): Tensor {
  checkTensor("isclose", a);
  checkTensor("isclose", b, "other");
  checkOptions("isclose", options, ["rtol", "atol", "equalNan"]);
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = options ?? {};
  const allowed = add(mul(abs(b), rtol), atol);
  const near = where(lt(abs(b), Number.POSITIVE_INFINITY), logicalOr(lt(abs(sub(a, b)), allowed), eq(abs(sub(a, b)), allowed)), false);
  const close = logicalOr(eq(a, b), near);
  return equalNan && isFloating(a.dtype) && isFloating(b.dtype) ? logicalOr(close, where(isnan(a), isnan(b), false)) : close;
}
