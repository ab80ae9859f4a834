/** Arithmetic, element by element. Functions promote dtypes and broadcast; records see equal shapes and dtypes. */
import { anyDType, type DType, floats, isFloating, numbers } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Expr, ScalarFn } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { apply, type Tensor } from "../tensor.js";
import { cast } from "./cast.js";
import { checkOptions, checkTensor, elementwiseSpec, floatingType } from "./check.js";
import { floor, log, sqrt, trunc } from "./elementwise-float.js";
import { eq, ge, gt, logicalAnd, lt, ne, unmovedBy, where } from "./elementwise-logic.js";
import { filledLike } from "./leaf.js";
import { elementwise, type Operand, operandTensor, resultType } from "./operands.js";
import { defineOp, type GradRule, nonDifferentiable, type OpRecord, type Sample } from "./record.js";
import { alias } from "./view.js";

const pairs: readonly Sample[] = [
  {
    shapes: [
      [2, 3],
      [2, 3],
    ],
  },
  { shapes: [[], []] },
  {
    shapes: [
      [0, 3],
      [0, 3],
    ],
  },
];
const single: readonly Sample[] = [{ shapes: [[2, 3]] }, { shapes: [[]] }, { shapes: [[0, 3]] }];

interface Arithmetic {
  readonly doc: string;
  readonly reference: string;
  readonly dtypes: readonly DType[];
  readonly grad: GradRule | typeof nonDifferentiable;
  readonly samples: readonly Sample[];
  /** Default: the scalar function of the same name. */
  readonly expr?: (pool: ExprPool, args: readonly Expr[], dtype: DType) => Expr;
  readonly cost?: number;
}

/* @__NO_SIDE_EFFECTS__ */
function arithmetic(name: string, fn: ScalarFn, { doc, reference, dtypes, grad, samples, expr, cost }: Arithmetic): OpRecord {
  return defineOp({
    name,
    doc,
    reference,
    infer: (inputs) => elementwiseSpec(name, inputs, dtypes),
    lower: { kind: "elementwise", expr: (pool, args, _, dtype) => (expr ? expr(pool, args, dtype) : pool.call(fn, args)) },
    grad,
    samples,
    cost,
  });
}

export const addOp = arithmetic("add", "add", {
  doc: "a + b.",
  reference: "torch.add",
  dtypes: numbers,
  grad: ({ grad }) => [grad, grad],
  samples: pairs,
});
export const subOp = arithmetic("sub", "sub", {
  doc: "a − b.",
  reference: "torch.sub",
  dtypes: numbers,
  grad: ({ grad, needs }) => [grad, needs(1) ? neg(grad) : null],
  samples: pairs,
});
export const mulOp = arithmetic("mul", "mul", {
  doc: "a · b.",
  reference: "torch.mul",
  dtypes: numbers,
  grad: ({ inputs: [a, b], grad, needs }) => [needs(0) ? mul(grad, b) : null, needs(1) ? mul(grad, a) : null],
  samples: pairs,
});
export const divOp = arithmetic("div", "div", {
  doc: "a / b, of floats.",
  reference: "torch.div",
  dtypes: floats,
  grad: ({ inputs: [, b], output, grad, needs }) => [needs(0) ? div(grad, b) : null, needs(1) ? neg(mul(grad, div(output, b))) : null],
  samples: [
    {
      shapes: [
        [2, 3],
        [2, 3],
      ],
      range: [0.5, 2],
    },
    { shapes: [[], []], range: [-2, -0.5] },
    {
      shapes: [
        [0, 3],
        [0, 3],
      ],
    },
  ],
  cost: 4,
});
export const floorDivOp = arithmetic("floorDiv", "idiv", {
  doc: "⌊a / b⌋ of int32; 0 where b is 0.",
  reference: "torch.floor_divide",
  dtypes: ["int32"],
  grad: nonDifferentiable,
  samples: [
    {
      shapes: [[4], [4]],
      dtypes: ["int32"],
      data: [
        [7, -7, 7, -7],
        [2, 2, -2, -2],
      ],
    },
  ],
  cost: 8,
});
export const floorModOp = arithmetic("floorMod", "mod", {
  doc: "a − b ⌊a / b⌋ of int32 (the sign is b's); 0 where b is 0.",
  reference: "torch.remainder",
  dtypes: ["int32"],
  grad: nonDifferentiable,
  samples: [
    {
      shapes: [[4], [4]],
      dtypes: ["int32"],
      data: [
        [7, -7, 7, -7],
        [2, 2, -2, -2],
      ],
    },
  ],
  cost: 8,
});
export const remOp = arithmetic("rem", "rem", {
  doc: "a − b trunc(a / b) of floats, exact (the sign is a's); NaN where a is infinite or b is 0.",
  reference: "torch.fmod",
  dtypes: floats,
  grad: ({ inputs: [a, b], grad, needs }) => [needs(0) ? grad : null, needs(1) ? neg(mul(grad, trunc(div(a, b)))) : null],
  samples: [
    {
      shapes: [[4], [4]],
      data: [
        [7.5, -7.5, 7.25, -0.5],
        [2, 2.25, -2, -2],
      ],
    },
    { shapes: [[], []], range: [0.5, 0.9] },
    {
      shapes: [
        [0, 3],
        [0, 3],
      ],
    },
  ],
  cost: 20,
});
export const negOp = arithmetic("neg", "neg", {
  doc: "−x.",
  reference: "torch.neg",
  dtypes: numbers,
  grad: ({ grad }) => [neg(grad)],
  samples: single,
});
export const absOp = arithmetic("abs", "abs", {
  doc: "|x|. The gradient at 0 is 0.",
  reference: "torch.abs",
  dtypes: numbers,
  grad: ({ inputs: [x], grad }) => [mul(grad, sign(x))],
  samples: [{ shapes: [[2, 3]], range: [0.5, 2] }, { shapes: [[4]], range: [-2, -0.5] }, { shapes: [[0, 3]] }],
});
export const signOp = arithmetic("sign", "sign", {
  doc: "−1, 0 or 1; 0 for NaN, as PyTorch has it. The gradient is 0.",
  reference: "torch.sign",
  dtypes: numbers,
  grad: ({ inputs: [x] }) => [filledLike(x, 0)],
  samples: [{ shapes: [[2, 3]], range: [0.5, 2] }, { shapes: [[0, 3]] }],
});

/** Where the two are equal each gets half of the gradient, as in PyTorch. `lost(a, b)`: a was not chosen. */
const shared =
  (lost: (a: Tensor, b: Tensor) => Tensor): GradRule =>
  ({ inputs: [a, b], grad, needs }) => {
    const part = where(eq(a, b), mul(grad, 0.5), grad);
    return [needs(0) ? where(lost(a, b), 0, part) : null, needs(1) ? where(lost(b, a), 0, part) : null];
  };

export const maximumOp = arithmetic("maximum", "max", {
  doc: "The larger of two; NaN if either is. Equal operands share the gradient half and half.",
  reference: "torch.maximum",
  dtypes: anyDType,
  grad: shared((a, b) => lt(a, b)),
  samples: pairs,
  expr: (pool, [a, b], dtype) => (dtype === "bool" ? pool.or(a, b) : pool.max(a, b)),
});
export const minimumOp = arithmetic("minimum", "min", {
  doc: "The smaller of two; NaN if either is. Equal operands share the gradient half and half.",
  reference: "torch.minimum",
  dtypes: anyDType,
  grad: shared((a, b) => lt(b, a)),
  samples: pairs,
  expr: (pool, [a, b], dtype) => (dtype === "bool" ? pool.and(a, b) : pool.min(a, b)),
});

/** Squaring: 31 bits are enough for every exponent. Negative exponents leave only the units, ±1. */
function integerPower(pool: ExprPool, base: Expr, exponent: Expr): Expr {
  let result: Expr = pool.int(1);
  let square = base;
  const bit = (i: number): Expr => pool.ne(pool.call("bitAnd", [exponent, pool.int(2 ** i)]), pool.int(0));
  for (let i = 0; i < 31; i++) {
    result = pool.where(bit(i), pool.mul(result, square), result);
    square = pool.mul(square, square);
  }
  const unit = pool.or(pool.eq(base, pool.int(1)), pool.eq(base, pool.int(-1)));
  const negative = pool.where(unit, pool.where(bit(0), base, pool.int(1)), pool.int(0));
  return pool.where(pool.lt(exponent, pool.int(0)), negative, result);
}

export const powOp = arithmetic("pow", "pow", {
  doc: "a ^ b as IEEE 754 has it (0 ^ 0 is 1). The gradient to a is 0 where b is 0, the gradient to b is 0 where a is 0 and b ≥ 0.",
  reference: "torch.pow",
  dtypes: numbers,
  grad: ({ inputs: [a, b], output, grad, needs }) => [
    needs(0) ? where(eq(b, 0), 0, mul(grad, mul(b, apply(powOp, [a, sub(b, 1)])))) : null,
    needs(1) ? where(logicalAnd(eq(a, 0), ge(b, 0)), 0, mul(grad, mul(output, log(a)))) : null,
  ],
  samples: [
    {
      shapes: [
        [2, 3],
        [2, 3],
      ],
      range: [0.5, 2],
    },
    { shapes: [[], []], range: [0.5, 2] },
    {
      shapes: [
        [0, 3],
        [0, 3],
      ],
    },
  ],
  expr: (pool, [a, b], dtype) => (dtype === "int32" ? integerPower(pool, a, b) : pool.call("pow", [a, b])),
  cost: 30,
});

const notBool =
  (op: string) =>
  (dtype: DType): DType => {
    if (dtype === "bool") throw new OpError(op, "is not defined for two booleans; use logicalXor or logicalNot, or cast with to(dtype)");
    return dtype;
  };
const boolAsInt = (dtype: DType): DType => (dtype === "bool" ? "int32" : dtype);

const isBool = (x: Operand): boolean => typeof x === "boolean" || (typeof x === "object" && x.dtype === "bool");
/** alpha · b, to be combined with `a`. A fraction stays floating where its multiple is whole. */
function scaled(op: string, a: Operand, b: Operand, alpha: number): Operand {
  if (alpha === 1) return b;
  if (typeof b === "object") return mul(b, alpha);
  const product = Number(b) * alpha;
  const lost = typeof a === "object" && Number.isInteger(product) && !Number.isInteger(Number(b));
  return lost ? operandTensor(op, product, "float32", a.device) : product;
}

/** a + alpha · b, broadcast. Two booleans give their `or` (for alpha = 0, a). Reference: torch.add. */
export function add(a: Operand, b: Operand, options?: { readonly alpha?: number }): Tensor {
  checkOptions("add", options, ["alpha"]);
  const alpha = options?.alpha ?? 1;
  if (!isBool(a) || !isBool(b)) return elementwise(addOp, [a, scaled("add", a, b, alpha)], boolAsInt);
  return cast(elementwise(addOp, [a, scaled("add", a, b, Number(alpha !== 0))], boolAsInt), "bool");
}

/** a − alpha · b, broadcast. Throws for two booleans. Reference: torch.sub. */
export function sub(a: Operand, b: Operand, options?: { readonly alpha?: number }): Tensor {
  checkOptions("sub", options, ["alpha"]);
  return elementwise(subOp, [a, scaled("sub", a, b, options?.alpha ?? 1)], notBool("sub"));
}

/** a · b, broadcast. Two booleans give their `and`. Reference: torch.mul. */
export function mul(a: Operand, b: Operand): Tensor {
  const product = elementwise(mulOp, [a, b], boolAsInt);
  return isBool(a) && isBool(b) ? cast(product, "bool") : product;
}

/**
 * a / b, broadcast. Integers give float32, unless `roundingMode` is "trunc" (towards zero) or "floor", which keep them; then the gradient is 0.
 * Reference: torch.div.
 */
export function div(a: Operand, b: Operand, options?: { readonly roundingMode?: "trunc" | "floor" | null }): Tensor {
  checkOptions("div", options, ["roundingMode"]);
  const mode = options?.roundingMode ?? null;
  if (mode === null) return elementwise(divOp, [a, b], floatingType);
  if (mode !== "trunc" && mode !== "floor") throw new OpError("div", `roundingMode must be "trunc", "floor" or null; got ${String(mode)}`);
  const dtype = boolAsInt(resultType([a, b]));
  if (!isFloating(dtype)) {
    const quotient = elementwise(floorDivOp, [a, b], boolAsInt);
    if (mode === "floor") return quotient;
    const rest = elementwise(floorModOp, [a, b], boolAsInt);
    return where(logicalAnd(lt(quotient, 0), ne(rest, 0)), add(quotient, 1), quotient);
  }
  const [still, by] = [a, b].map((x) => (typeof x === "object" ? x.detach() : x));
  const whole = mode === "floor" ? flooredQuotient(still, by) : trunc(elementwise(divOp, [still, by], floatingType));
  return [a, b].reduce<Tensor>((result, x) => (typeof x === "object" ? unmovedBy(x, result) : result), whole);
}

/** Where a remainder towards zero has to move on to be one with the divisor's sign. */
const opposite = (rest: Tensor, b: Tensor): Tensor => logicalAnd(ne(rest, 0), ne(lt(rest, 0), lt(b, 0)));
const divisorOf = (rest: Tensor, b: Operand): Tensor => (typeof b === "object" ? b : filledLike(rest, Number(b)));

/** ⌊a / b⌋ of the exact quotient, as Python's: what is left over is taken off first, so that 1 by 0.1, which is a little more, gives 9. */
function flooredQuotient(a: Operand, b: Operand): Tensor {
  const quotient = elementwise(divOp, [a, b], floatingType);
  const rest = elementwise(remOp, [a, b], floatingType);
  const divisor = divisorOf(rest, b);
  const towards = div(sub(a, rest), divisor);
  const exact = where(opposite(rest, divisor), sub(towards, 1), towards);
  const below = floor(exact);
  const whole = where(gt(sub(exact, below), 0.5), add(below, 1), below);
  return where(eq(divisor, 0), quotient, where(eq(exact, 0), trunc(quotient), whole));
}

/** ⌊a / b⌋ in the promoted dtype, broadcast; no gradient. Integers divided by 0 give 0. Reference: torch.floor_divide. */
export const floorDivide = (a: Operand, b: Operand): Tensor => div(a, b, { roundingMode: "floor" });

/** a − b ⌊a / b⌋: the remainder with the sign of b, broadcast. Reference: torch.remainder. */
export function remainder(a: Operand, b: Operand): Tensor {
  if (!isFloating(resultType([a, b]))) return elementwise(floorModOp, [a, b], boolAsInt);
  const rest = elementwise(remOp, [a, b], floatingType);
  return where(opposite(rest, divisorOf(rest, b)), add(rest, b), rest);
}

/** The remainder with the sign of a: a − b trunc(a / b), broadcast. Reference: torch.fmod. */
export function fmod(a: Operand, b: Operand): Tensor {
  if (isFloating(resultType([a, b]))) return elementwise(remOp, [a, b], floatingType);
  return sub(a, mul(div(a, b, { roundingMode: "trunc" }), b));
}

/** The larger of two, broadcast; NaN if either is. Reference: torch.maximum. */
export const maximum = (a: Operand, b: Operand): Tensor => elementwise(maximumOp, [a, b]);

/** The smaller of two, broadcast; NaN if either is. Reference: torch.minimum. */
export const minimum = (a: Operand, b: Operand): Tensor => elementwise(minimumOp, [a, b]);

/**
 * a ^ b, broadcast; either may be a number. Integers stay integers when both are (negative exponents of tensors give 0 but for ±1).
 * Throws for a negative whole number as exponent of an integer tensor. Reference: torch.pow.
 */
export function pow(a: Operand, b: Operand): Tensor {
  if (typeof a === "object" && typeof b === "number") {
    checkTensor("pow", a);
    if (isFloating(a.dtype)) return powerOf(a, b);
    if (b < 0 && Number.isInteger(b))
      throw new OpError("pow", `the exponent ${b} is negative, and the base has dtype ${a.dtype}; cast the base with to("float32")`);
  }
  return elementwise(powOp, [a, b], boolAsInt);
}

/** Frequent exponents as products, which are faster and more exact. */
function powerOf(x: Tensor, exponent: number): Tensor {
  switch (exponent) {
    case 1:
      return x;
    case 2:
      return mul(x, x);
    case 3:
      return mul(mul(x, x), x);
    case 0.5:
      return sqrt(x);
    case -0.5:
      return div(1, sqrt(x));
    case -1:
      return div(1, x);
    case -2: {
      const inverse = div(1, x);
      return mul(inverse, inverse);
    }
    default:
      return elementwise(powOp, [x, exponent]);
  }
}

/** −x. Reference: torch.neg. */
export const neg = (x: Tensor): Tensor => unary(negOp, x);

/** |x|; the gradient at 0 is 0. Reference: torch.abs. */
export const abs = (x: Tensor): Tensor => unary(absOp, x);

/** −1, 0 or 1; 0 for NaN, as PyTorch has it; the gradient is 0. Reference: torch.sign. */
export function sign(x: Tensor): Tensor {
  checkTensor("sign", x);
  return x.dtype === "bool" ? alias(x) : unary(signOp, x);
}

function unary(record: OpRecord, x: Tensor): Tensor {
  checkTensor(record.name, x);
  return apply(record, [x]);
}
