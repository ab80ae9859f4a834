/** Functions of one real number, and their derivatives. Integers and booleans become float32 first, as in PyTorch. */

import { floats } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Expr, ScalarFn } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkOptions, checkTensor, elementwiseSpec, floatingType } from "./check.js";
import { add, div, mul, neg, sub } from "./elementwise.js";
import { filledLike } from "./leaf.js";
import { defineOp, type OpRecord, type Sample } from "./record.js";

/** The gradient: from the input `x`, the output `y` and the gradient of the output `g`. */
type Derivative = (g: Tensor, x: Tensor, y: Tensor) => Tensor;

interface Options {
  /** Where tests draw from. */
  readonly range?: readonly [number, number];
  readonly reference?: string;
  readonly cost?: number;
}

const samples = (range?: readonly [number, number]): readonly Sample[] => [[2, 3], [], [0, 3]].map((shape) => ({ shapes: [shape], range }));

/* @__NO_SIDE_EFFECTS__ */
function real(fn: ScalarFn, doc: string, derivative: Derivative, { range, reference = `torch.${fn}`, cost = 20 }: Options = {}): OpRecord {
  return defineOp({
    name: fn,
    doc,
    reference,
    infer: (inputs) => elementwiseSpec(fn, inputs, floats),
    lower: { kind: "elementwise", expr: (pool, args) => pool.call(fn, args) },
    grad: ({ inputs: [x], output, grad }) => [derivative(grad, x, output)],
    samples: samples(range),
    cost,
  });
}

const square = (x: Tensor): Tensor => mul(x, x);
const flat: Derivative = (_, x) => filledLike(x, 0);

export const sqrtOp = real("sqrt", "√x; NaN for x < 0.", (g, _, y) => div(g, mul(y, 2)), { range: [0.5, 4], cost: 4 });
export const expOp = real("exp", "e^x.", (g, _, y) => mul(g, y));
export const logOp = real("log", "Natural logarithm.", (g, x) => div(g, x), { range: [0.5, 4] });
export const log1pOp = real("log1p", "log(1 + x), exact for small x.", (g, x) => div(g, add(x, 1)), { range: [-0.5, 2] });
export const expm1Op = real("expm1", "e^x − 1, exact for small x.", (g, _, y) => mul(g, add(y, 1)));
export const sinOp = real("sin", "Sine of radians.", (g, x) => mul(g, cos(x)));
export const cosOp = real("cos", "Cosine of radians.", (g, x) => neg(mul(g, sin(x))));
export const tanOp = real("tan", "Tangent of radians.", (g, _, y) => mul(g, add(square(y), 1)), { range: [-1, 1] });
export const asinOp = real("asin", "Inverse sine, in [−π/2, π/2].", (g, x) => div(g, sqrt(sub(1, square(x)))), { range: [-0.8, 0.8] });
export const acosOp = real("acos", "Inverse cosine, in [0, π].", (g, x) => neg(div(g, sqrt(sub(1, square(x))))), { range: [-0.8, 0.8] });
export const atanOp = real("atan", "Inverse tangent, in [−π/2, π/2].", (g, x) => div(g, add(square(x), 1)));
export const sinhOp = real("sinh", "Hyperbolic sine.", (g, x) => mul(g, cosh(x)));
export const coshOp = real("cosh", "Hyperbolic cosine.", (g, x) => mul(g, sinh(x)));
export const tanhOp = real("tanh", "Hyperbolic tangent.", (g, _, y) => mul(g, sub(1, square(y))));
export const erfOp = real("erf", "Error function, 2/√π ∫₀ˣ e^(−t²) dt.", (g, x) =>
  mul(mul(g, 2 / Math.sqrt(Math.PI)), exp(neg(square(x)))),
);
export const floorOp = real("floor", "The largest whole number ≤ x. The gradient is 0.", flat, { range: [0.1, 0.9], cost: 1 });
export const ceilOp = real("ceil", "The smallest whole number ≥ x. The gradient is 0.", flat, { range: [0.1, 0.9], cost: 1 });
export const roundOp = real("round", "The nearest whole number, halves to even. The gradient is 0.", flat, { range: [0.6, 0.9], cost: 1 });
export const truncOp = real("trunc", "x without its fraction. The gradient is 0.", flat, { range: [0.1, 0.9], cost: 1 });

export const sigmoidOp: OpRecord = defineOp({
  name: "sigmoid",
  doc: "1 / (1 + e^(−x)): for very negative x the exponential overflows to infinity, and the result is 0 as it should be.",
  reference: "torch.sigmoid",
  infer: (inputs) => elementwiseSpec("sigmoid", inputs, floats),
  lower: {
    kind: "elementwise",
    expr: (pool, [x], _, dtype) => {
      const one = pool.const(1, dtype);
      return pool.div(one, pool.add(one, pool.call("exp", [pool.call("neg", [x])])));
    },
  },
  grad: ({ output, grad }) => [mul(grad, mul(output, sub(1, output)))],
  samples: samples([-4, 4]),
  cost: 25,
});

const tanhSlope = Math.sqrt(2 / Math.PI);
const tanhCubic = 0.044715;

function geluExpr(pool: ExprPool, x: Expr, tanhForm: boolean): Expr {
  const c = (value: number): Expr => pool.const(value, x.dtype);
  const half = pool.mul(x, c(0.5));
  if (!tanhForm) return pool.mul(half, pool.add(c(1), pool.call("erf", [pool.mul(x, c(Math.SQRT1_2))])));
  const inner = pool.mul(pool.mul(x, c(tanhSlope)), pool.add(c(1), pool.mul(c(tanhCubic), pool.mul(x, x))));
  return pool.mul(half, pool.add(c(1), pool.call("tanh", [inner])));
}

/** A primitive so that the backward pass starts from `x` again, rather than keeping the error function of it. */
export const geluOp: OpRecord<{ readonly approximate: "none" | "tanh" }> = defineOp<{ readonly approximate: "none" | "tanh" }>({
  name: "gelu",
  doc: "x Φ(x), with Φ the normal distribution function, or its approximation by tanh.",
  reference: "torch.nn.functional.gelu; Hendrycks and Gimpel, Gaussian error linear units, 2016",
  infer: (inputs) => elementwiseSpec("gelu", inputs, floats),
  lower: { kind: "elementwise", expr: (pool, [x], { approximate }) => geluExpr(pool, x, approximate === "tanh") },
  grad: ({ inputs: [x], grad, attrs }) => [mul(grad, attrs.approximate === "tanh" ? geluTanhSlope(x) : geluSlope(x))],
  samples: [
    { shapes: [[2, 3]], attrs: { approximate: "none" } },
    { shapes: [[]], attrs: { approximate: "tanh" } },
    { shapes: [[0, 3]], attrs: { approximate: "none" } },
  ],
  cost: 30,
});

/** Φ(x) + x φ(x). */
function geluSlope(x: Tensor): Tensor {
  const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
  const density = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(cdf, mul(x, density));
}

function geluTanhSlope(x: Tensor): Tensor {
  const t = tanh(mul(mul(x, tanhSlope), add(mul(square(x), tanhCubic), 1)));
  const inner = mul(add(mul(square(x), 3 * tanhCubic), 1), tanhSlope);
  return add(mul(add(t, 1), 0.5), mul(mul(mul(x, 0.5), sub(1, square(t))), inner));
}

function float(record: OpRecord, x: Tensor): Tensor {
  checkTensor(record.name, x);
  return apply(record, [cast(x, floatingType(x.dtype))]);
}

/** Rounding leaves integers as they are. */
function rounding(record: OpRecord, x: Tensor): Tensor {
  checkTensor(record.name, x);
  return x.dtype === "int32" ? x : float(record, x);
}

/** √x; NaN for negative x. Integers give float32. Reference: torch.sqrt. */
export const sqrt = (x: Tensor): Tensor => float(sqrtOp, x);
/** e^x. Integers give float32. Reference: torch.exp. */
export const exp = (x: Tensor): Tensor => float(expOp, x);
/** Natural logarithm; −∞ at 0, NaN for negative x. Integers give float32. Reference: torch.log. */
export const log = (x: Tensor): Tensor => float(logOp, x);
/** log(1 + x), exact for small x. Integers give float32. Reference: torch.log1p. */
export const log1p = (x: Tensor): Tensor => float(log1pOp, x);
/** e^x − 1, exact for small x. Integers give float32. Reference: torch.expm1. */
export const expm1 = (x: Tensor): Tensor => float(expm1Op, x);
/** Sine of radians. Integers give float32. Reference: torch.sin. */
export const sin = (x: Tensor): Tensor => float(sinOp, x);
/** Cosine of radians. Integers give float32. Reference: torch.cos. */
export const cos = (x: Tensor): Tensor => float(cosOp, x);
/** Tangent of radians. Integers give float32. Reference: torch.tan. */
export const tan = (x: Tensor): Tensor => float(tanOp, x);
/** Inverse sine, in radians; NaN outside [−1, 1]. Integers give float32. Reference: torch.asin. */
export const asin = (x: Tensor): Tensor => float(asinOp, x);
/** Inverse cosine, in radians; NaN outside [−1, 1]. Integers give float32. Reference: torch.acos. */
export const acos = (x: Tensor): Tensor => float(acosOp, x);
/** Inverse tangent, in radians. Integers give float32. Reference: torch.atan. */
export const atan = (x: Tensor): Tensor => float(atanOp, x);
/** Hyperbolic sine. Integers give float32. Reference: torch.sinh. */
export const sinh = (x: Tensor): Tensor => float(sinhOp, x);
/** Hyperbolic cosine. Integers give float32. Reference: torch.cosh. */
export const cosh = (x: Tensor): Tensor => float(coshOp, x);
/** Hyperbolic tangent. Integers give float32. Reference: torch.tanh. */
export const tanh = (x: Tensor): Tensor => float(tanhOp, x);
/** Error function. Integers give float32. Reference: torch.erf. */
export const erf = (x: Tensor): Tensor => float(erfOp, x);
/** 1 / (1 + e^(−x)). Integers give float32. Reference: torch.sigmoid. */
export const sigmoid = (x: Tensor): Tensor => float(sigmoidOp, x);
/** The largest whole number ≤ x; the gradient is 0. Integers stay. Reference: torch.floor. */
export const floor = (x: Tensor): Tensor => rounding(floorOp, x);
/** The smallest whole number ≥ x; the gradient is 0. Integers stay. Reference: torch.ceil. */
export const ceil = (x: Tensor): Tensor => rounding(ceilOp, x);
/** x without its fraction; the gradient is 0. Integers stay. Reference: torch.trunc. */
export const trunc = (x: Tensor): Tensor => rounding(truncOp, x);

/** The nearest whole number, halves to even; `decimals` keeps that many places. The gradient is 0. Reference: torch.round. */
export function round(x: Tensor, options?: { readonly decimals?: number }): Tensor {
  checkOptions("round", options, ["decimals"]);
  const scale = 10 ** Math.abs(options?.decimals ?? 0);
  if (scale === 1) return rounding(roundOp, x);
  return (options?.decimals ?? 0) > 0 ? div(float(roundOp, mul(x, scale)), scale) : mul(float(roundOp, div(x, scale)), scale);
}

/** x Φ(x); `approximate: "tanh"` for the formula with tanh. Reference: torch.nn.functional.gelu. */
export function gelu(x: Tensor, options?: { readonly approximate?: "none" | "tanh" }): Tensor {
  checkTensor("gelu", x);
  checkOptions("gelu", options, ["approximate"]);
  const approximate = options?.approximate ?? "none";
  if (approximate !== "none" && approximate !== "tanh")
    throw new OpError("gelu", `approximate must be "none" or "tanh"; got ${String(approximate)}`);
  return apply(geluOp, [x], { approximate });
}
