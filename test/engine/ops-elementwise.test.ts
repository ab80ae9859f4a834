/** What elementwise functions and reductions do at the edges: dtypes, NaN and infinity, integers, and gradients where there is a choice. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const { tensor } = c;
const ints = (...values: number[]): c.Tensor => tensor(values, { dtype: "int32" });
const values = async (x: c.Tensor): Promise<number[]> => Array.from(await x.data());

/** d sum(f(x)) / dx. */
async function slope(f: (x: c.Tensor) => c.Tensor, at: readonly number[]): Promise<number[]> {
  const x = tensor([...at], { requiresGrad: true });
  f(x).sum().backward();
  return values(x.grad as c.Tensor);
}

describe("dtypes", () => {
  it.each([
    [c.add(tensor([1, 2]), tensor(2, { dtype: "float64" })), "float32"],
    [c.add(tensor([1, 2]), tensor([1, 2], { dtype: "float64" })), "float64"],
    [c.mul(ints(1, 2), 2), "int32"],
    [c.mul(ints(1, 2), 2.5), "float32"],
    [c.mul(ints(1, 2), tensor(0.5)), "float32"],
    [c.add(tensor([true]), tensor([true])), "bool"],
    [c.add(tensor([true]), 1), "int32"],
    [c.div(ints(1), ints(2)), "float32"],
    [c.exp(ints(1)), "float32"],
    [c.floor(ints(1)), "int32"],
    [c.sum(tensor([true, true])), "int32"],
    [c.eq(ints(1), 1.5), "bool"],
    [c.where(tensor([true]), ints(1), 0.5), "float32"],
    [c.argmax(tensor([1, 2])), "int32"],
  ])("promote as PyTorch's: %s is %s", (x, dtype) => expect(x.dtype).toBe(dtype));

  it("keep numbers from raising a tensor of their kind", () => expect(c.mul(tensor([1], { dtype: "float64" }), 0.1).dtype).toBe("float64"));
  it("refuse the mean of integers", () => expect(() => c.mean(ints(1))).toThrow(/^mean: .*int32/));
  it("refuse the difference of booleans", () => expect(() => c.sub(tensor([true]), tensor([true]))).toThrow(/^sub: .*boolean/));
});

describe("NaN and infinity", () => {
  const odd = [Number.NaN, Number.NEGATIVE_INFINITY, -1, 0, 2, Number.POSITIVE_INFINITY];
  const x = tensor(odd);
  it.each<[string, c.Tensor, number[]]>([
    ["relu", c.relu(x), [Number.NaN, 0, 0, 0, 2, Number.POSITIVE_INFINITY]],
    ["clamp", c.clamp(x, { min: -0.5, max: 1 }), [Number.NaN, -0.5, -0.5, 0, 1, 1]],
    ["clamp by NaN", c.clamp(tensor([1]), { min: Number.NaN }), [Number.NaN]],
    ["maximum", c.maximum(x, 1), [Number.NaN, 1, 1, 1, 2, Number.POSITIVE_INFINITY]],
    ["sigmoid", c.sigmoid(tensor([-1000, 1000, Number.NaN])), [0, 1, Number.NaN]],
    ["softplus", c.softplus(tensor([-1000, 1000])), [0, 1000]],
    ["sign", c.sign(x), [0, -1, -1, 0, 1, 1]],
    ["isfinite", c.isfinite(x), [0, 0, 1, 1, 1, 0]],
    ["isinf", c.isinf(x), [0, 1, 0, 0, 0, 1]],
    ["isnan", c.isnan(x), [1, 0, 0, 0, 0, 0]],
    ["amax", c.amax(x), [Number.NaN]],
    ["argmin", c.argmin(x), [0]],
    ["logsumexp", c.logsumexp(tensor([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]), 0), [Number.NEGATIVE_INFINITY]],
    ["logsumexp of nothing", c.logsumexp(c.zeros([0]), 0), [Number.NEGATIVE_INFINITY]],
    ["mean of nothing", c.mean(c.zeros([0])), [Number.NaN]],
    ["var of one", c.var(tensor([3])), [Number.NaN]],
    ["prod of nothing", c.prod(c.zeros([0])), [1]],
  ])("%s", async (_, result, want) => expect(await values(result)).toEqual(want));
});

describe("integers", () => {
  const [a, b] = [ints(7, -7, 7, -7, 5), ints(2, 2, -2, -2, 0)];
  it.each<[string, c.Tensor, number[]]>([
    ["floor", c.div(a, b, { roundingMode: "floor" }), [3, -4, -4, 3, 0]],
    ["trunc", c.div(a, b, { roundingMode: "trunc" }), [3, -3, -3, 3, 0]],
    ["remainder", c.remainder(a, b), [1, 1, -1, -1, 0]],
    ["fmod", c.fmod(a, b), [1, -1, 1, -1, 5]],
    ["pow", c.pow(ints(2, -3, 5, -1, 1, 0), ints(10, 3, -1, -3, -7, 0)), [1024, -27, 0, -1, 1, 1]],
    ["and", c.bitwiseAnd(a, 3), [3, 1, 3, 1, 1]],
    ["not", c.bitwiseNot(ints(0, 5)), [-1, -6]],
    ["shiftRight", c.shiftRight(ints(-1), 28), [15]],
  ])("%s", async (_, result, want) => expect(await values(result)).toEqual(want));

  it("refuse a negative number as exponent", () => expect(() => c.pow(ints(2), -1)).toThrow(/^pow: .*negative/));
  it("floats have remainders too", async () => {
    const [x, y] = [tensor([7.5, -7.5, 7.5]), tensor([2, 2, -2])];
    expect(await values(c.remainder(x, y))).toEqual([1.5, 0.5, -0.5]);
    expect(await values(c.fmod(x, y))).toEqual([1.5, -1.5, 1.5]);
    expect(await values(c.floorDivide(x, y))).toEqual([3, -4, -4]);
  });
});

describe("gradients where there is a choice", () => {
  it.each<[string, (x: c.Tensor) => c.Tensor, number[], number[]]>([
    ["relu at 0", c.relu, [-1, 0, 1], [0, 0, 1]],
    ["abs at 0", c.abs, [-1, 0, 1], [-1, 0, 1]],
    ["clamp at its bounds", (x) => c.clamp(x, { min: 0, max: 1 }), [-1, 0, 0.5, 1, 2], [0, 1, 1, 1, 0]],
    ["hardtanh at its bounds", (x) => c.hardtanh(x), [-2, -1, 0, 1, 2], [0, 0, 1, 0, 0]],
    ["leakyRelu at 0", (x) => c.leakyRelu(x, { negativeSlope: 0.5 }), [-1, 0, 1], [0.5, 0.5, 1]],
    ["maximum of equals", (x) => c.maximum(x, 1), [0, 1, 2], [0, 0.5, 1]],
    ["amax of equals", (x) => c.amax(x), [1, 3, 3], [0, 0.5, 0.5]],
    ["max along a dim", (x) => c.max(x, { dim: 0 }).values, [1, 3, 3], [0, 1, 0]],
    ["x ^ 0", (x) => c.pow(x, tensor([0, 0])), [0, 2], [0, 0]],
    ["0 ^ x", (x) => c.pow(0, x), [0, 2], [0, 0]],
    ["prod with one zero", (x) => c.prod(x), [2, 0, 5], [0, 10, 0]],
    ["prod with two zeros", (x) => c.prod(x), [2, 0, 0], [0, 0, 0]],
    ["norm at 0", (x) => c.norm(x), [0, 0], [0, 0]],
    ["norm of order ½ with a zero", (x) => c.norm(x, { p: 0.5 }), [0, 4], [0, 1]],
    ["std of equals", (x) => c.std(x), [2, 2], [0, 0]],
    ["softplus far out", c.softplus, [-200, 1000], [0, 1]],
    ["elu far out", (x) => c.elu(x), [-1000, 1000], [0, 1]],
    ["floor", c.floor, [0.5], [0]],
  ])("%s", async (_, f, at, want) => expect(await slope(f, at)).toEqual(want));

  it("where keeps NaN of the branch not taken out of the gradient", async () => {
    expect(await slope((x) => c.where(c.gt(x, 0), c.sqrt(c.where(c.gt(x, 0), x, 1)), 0), [-1, 4])).toEqual([0, 0.25]);
  });
});

describe("options", () => {
  it("that nobody knows are named", () => {
    expect(() => c.sum(tensor([1]), { dims: 0 } as object)).toThrow(/^sum: no option is called dims; it takes dim, keepdim/);
    expect(() => c.sum(tensor([1]), 0 as unknown as object)).toThrow(/^sum: options go into an object/);
    expect(() => c.add(undefined as unknown as c.Tensor, 1)).toThrow(/^add: /);
  });
});
