/** Comparisons, logic, bits and choice, element by element. */
import { anyDType, type DType, floats, isFloating } from "../dtype.js";
import { OpError } from "../errors.js";
import type { Expr, ScalarFn } from "../kernel/ir.js";
import type { ExprPool } from "../kernel/simplify.js";
import { apply, type Tensor } from "../tensor.js";
import { checkTensor, elementwiseSpec } from "./check.js";
import { filled, filledLike } from "./leaf.js";
import { broadcastAll, deviceOf, elementwise, type Operand, operandTensor, resultType } from "./operands.js";
import { defineOp, nonDifferentiable, type OpRecord, type Sample } from "./record.js";

const some: readonly (readonly number[])[] = [
  [0, 1, 1, 3],
  [1, 1, 0, 2],
];

interface Rule {
  readonly doc: string;
  readonly reference?: string;
  readonly inputs?: 1 | 2;
  readonly dtypes: readonly DType[];
  /** Default: bool. */
  readonly output?: "same";
  readonly expr?: (pool: ExprPool, args: readonly Expr[]) => Expr;
}

/* @__NO_SIDE_EFFECTS__ */
function discrete(name: string, fn: ScalarFn, { doc, reference = `torch.${fn}`, inputs = 2, dtypes, output, expr }: Rule): OpRecord {
  const samples: Sample[] = [[4], [0]].map((shape) => ({
    shapes: new Array<number[]>(inputs).fill(shape),
    dtypes: [dtypes[0]],
    data: shape[0] === 4 ? some.slice(0, inputs).map((row) => (dtypes[0] === "bool" ? row.map((v) => Number(v !== 0)) : row)) : undefined,
  }));
  return defineOp({
    name,
    doc,
    reference,
    infer: (specs) => elementwiseSpec(name, specs, dtypes, output === "same" ? undefined : "bool"),
    lower: { kind: "elementwise", expr: (pool, args) => (expr ? expr(pool, args) : pool.call(fn, args)) },
    grad: nonDifferentiable,
    samples,
  });
}

const boolean: readonly DType[] = ["bool"];
const integer: readonly DType[] = ["int32"];

export const eqOp = discrete("eq", "eq", { doc: "a = b; false for NaN.", dtypes: anyDType });
export const neOp = discrete("ne", "ne", { doc: "a ≠ b; true for NaN.", dtypes: anyDType });
export const ltOp = discrete("lt", "lt", { doc: "a < b.", dtypes: anyDType });
export const leOp = discrete("le", "le", { doc: "a ≤ b.", dtypes: anyDType });
export const gtOp = discrete("gt", "gt", { doc: "a > b.", dtypes: anyDType });
export const geOp = discrete("ge", "ge", { doc: "a ≥ b.", dtypes: anyDType });
export const isNaNOp = discrete("isNaN", "isNaN", {
  doc: "Whether x is not a number.",
  reference: "torch.isnan",
  inputs: 1,
  dtypes: floats,
});
export const andOp = discrete("logicalAnd", "and", { doc: "Both.", reference: "torch.logical_and", dtypes: boolean });
export const orOp = discrete("logicalOr", "or", { doc: "Either, or both.", reference: "torch.logical_or", dtypes: boolean });
export const xorOp = discrete("logicalXor", "xor", { doc: "Exactly one.", reference: "torch.logical_xor", dtypes: boolean });
export const notOp = discrete("logicalNot", "not", { doc: "The opposite.", reference: "torch.logical_not", inputs: 1, dtypes: boolean });
export const bitAndOp = discrete("bitwiseAnd", "bitAnd", {
  doc: "Bits set in both.",
  reference: "torch.bitwise_and",
  dtypes: integer,
  output: "same",
});
export const bitOrOp = discrete("bitwiseOr", "bitOr", {
  doc: "Bits set in either.",
  reference: "torch.bitwise_or",
  dtypes: integer,
  output: "same",
});
export const bitXorOp = discrete("bitwiseXor", "bitXor", {
  doc: "Bits set in one only.",
  reference: "torch.bitwise_xor",
  dtypes: integer,
  output: "same",
});
export const shiftLeftOp = discrete("shiftLeft", "shl", {
  doc: "Bits moved up by b, 0 ≤ b < 32.",
  reference: "torch.bitwise_left_shift",
  dtypes: integer,
  output: "same",
});
export const shiftRightOp = discrete("shiftRight", "shr", {
  doc: "Bits moved down by b, 0 ≤ b < 32; zeros come in, whatever the sign (JavaScript's >>>).",
  reference: "ECMAScript, unsigned right shift",
  dtypes: integer,
  output: "same",
});

export const whereOp: OpRecord = defineOp({
  name: "where",
  doc: "a where the condition is true, else b; NaN in the other one does no harm, in the gradients neither.",
  reference: "torch.where",
  infer: ([condition, ...values]) => {
    if (condition.dtype !== "bool")
      throw new OpError("where", `the condition must be bool; got ${condition.dtype}; compare it, or cast with to("bool")`);
    elementwiseSpec("where", [condition, ...values.map((v) => ({ ...v, dtype: condition.dtype }))], anyDType);
    return elementwiseSpec("where", values, anyDType);
  },
  lower: { kind: "elementwise", expr: (pool, [condition, a, b]) => pool.where(condition, a, b) },
  grad: ({ inputs: [condition], grad, needs }) => {
    const zero = filledLike(grad, 0);
    return [null, needs(1) ? apply(whereOp, [condition, grad, zero]) : null, needs(2) ? apply(whereOp, [condition, zero, grad]) : null];
  },
  samples: [
    { shapes: [[4], [4], [4]], data: [[1, 0, 1, 0], null, null] },
    { shapes: [[], [], []], data: [[1], null, null] },
    {
      shapes: [
        [0, 2],
        [0, 2],
        [0, 2],
      ],
      data: [[], null, null],
    },
  ],
});

/** Chooses element by element: a where the condition (bool) is true, else b; all broadcast. Reference: torch.where. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  checkTensor("where", condition, "the condition");
  const dtype = resultType([a, b]);
  const device = deviceOf("where", [a, b, condition]);
  return apply(
    whereOp,
    broadcastAll("where", [condition, operandTensor("where", a, dtype, device), operandTensor("where", b, dtype, device)]),
  );
}

/** `result`, which has a gradient of 0 to `x` (of a shape that broadcasts to it), whatever both hold. */
export const unmovedBy = (x: Tensor, result: Operand): Tensor => where(filled(0, [], "bool", x.device), x, result);

/** a = b as bool, broadcast. Reference: torch.eq. */
export const eq = (a: Operand, b: Operand): Tensor => elementwise(eqOp, [a, b]);
/** a ≠ b as bool, broadcast. Reference: torch.ne. */
export const ne = (a: Operand, b: Operand): Tensor => elementwise(neOp, [a, b]);
/** a < b as bool, broadcast. Reference: torch.lt. */
export const lt = (a: Operand, b: Operand): Tensor => elementwise(ltOp, [a, b]);
/** a ≤ b as bool, broadcast. Reference: torch.le. */
export const le = (a: Operand, b: Operand): Tensor => elementwise(leOp, [a, b]);
/** a > b as bool, broadcast. Reference: torch.gt. */
export const gt = (a: Operand, b: Operand): Tensor => elementwise(gtOp, [a, b]);
/** a ≥ b as bool, broadcast. Reference: torch.ge. */
export const ge = (a: Operand, b: Operand): Tensor => elementwise(geOp, [a, b]);

const asBool = (): DType => "bool";

/** Both true (≠ 0), broadcast. Reference: torch.logical_and. */
export const logicalAnd = (a: Operand, b: Operand): Tensor => elementwise(andOp, [a, b], asBool);
/** Either true (≠ 0), broadcast. Reference: torch.logical_or. */
export const logicalOr = (a: Operand, b: Operand): Tensor => elementwise(orOp, [a, b], asBool);
/** Exactly one true (≠ 0), broadcast. Reference: torch.logical_xor. */
export const logicalXor = (a: Operand, b: Operand): Tensor => elementwise(xorOp, [a, b], asBool);
/** True where x is 0 or false. Reference: torch.logical_not. */
export const logicalNot = (x: Tensor): Tensor => elementwise(notOp, [x], asBool);

/** Bits set in both, of integers or booleans, broadcast. Reference: torch.bitwise_and. */
export const bitwiseAnd = (a: Operand, b: Operand): Tensor => elementwise(resultType([a, b]) === "bool" ? andOp : bitAndOp, [a, b]);
/** Bits set in either, of integers or booleans, broadcast. Reference: torch.bitwise_or. */
export const bitwiseOr = (a: Operand, b: Operand): Tensor => elementwise(resultType([a, b]) === "bool" ? orOp : bitOrOp, [a, b]);
/** Bits set in one only, of integers or booleans, broadcast. Reference: torch.bitwise_xor. */
export const bitwiseXor = (a: Operand, b: Operand): Tensor => elementwise(resultType([a, b]) === "bool" ? xorOp : bitXorOp, [a, b]);
/** Every bit turned. Reference: torch.bitwise_not. */
export const bitwiseNot = (x: Tensor): Tensor => bitwiseXor(x, x.dtype === "bool" ? true : -1);
/** Bits moved up by b, broadcast. Reference: torch.bitwise_left_shift. */
export const shiftLeft = (a: Operand, b: Operand): Tensor => elementwise(shiftLeftOp, [a, b]);
/** Bits moved down by b, zeros coming in, broadcast. */
export const shiftRight = (a: Operand, b: Operand): Tensor => elementwise(shiftRightOp, [a, b]);

/** Whether x is not a number, as bool. Reference: torch.isnan. */
export function isnan(x: Tensor): Tensor {
  checkTensor("isnan", x);
  return isFloating(x.dtype) ? apply(isNaNOp, [x]) : filled(0, x.shape, "bool", x.device);
}
