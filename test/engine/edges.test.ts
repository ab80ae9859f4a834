/** What docs/semantics.md says about ties, kinks, infinities and kinds of numbers, where no reference case does. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const { tensor } = c;
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const gradientOf = async (f: (x: c.Tensor) => c.Tensor, values: number[], shape = [values.length]): Promise<unknown> => {
  const x = tensor(values, { shape, requiresGrad: true });
  c.sum(f(x)).backward();
  return (x.grad as unknown as c.Tensor).tolist();
};

describe("ties", () => {
  it("of maxPool give the gradient to the first of a window, in its rows", async () => {
    expect(await gradientOf((x) => c.maxPool2d(x, 2), [1, 1, 1, 1], [1, 1, 2, 2])).toEqual([
      [
        [
          [1, 0],
          [0, 0],
        ],
      ],
    ]);
    expect(await gradientOf((x) => c.maxPool2d(x, 2), [0, 1, 1, 0], [1, 1, 2, 2])).toEqual([
      [
        [
          [0, 1],
          [0, 0],
        ],
      ],
    ]);
    expect(await gradientOf((x) => c.maxPool1d(x, 3, { stride: 1 }), [2, 2, 1, 2], [1, 4])).toEqual([[1, 1, 0, 0]]);
    expect(await gradientOf((x) => c.maxPool2d(x, 2, { returnIndices: true }).values, [3, 3, 3, 3], [1, 1, 2, 2])).toEqual([
      [
        [
          [1, 0],
          [0, 0],
        ],
      ],
    ]);
  });

  it("of amax, amin, max and min share it; of max along a dim and argmax the first counts", async () => {
    expect(await gradientOf((x) => c.amax(x), [2, 1, 2])).toEqual([0.5, 0, 0.5]);
    expect(await gradientOf((x) => c.min(x), [1, 1, 2])).toEqual([0.5, 0.5, 0]);
    expect(await gradientOf((x) => c.max(x, { dim: 0 }).values, [2, 1, 2])).toEqual([1, 0, 0]);
    expect(await c.argmax(tensor([1, 2, 2])).item()).toBe(1);
    expect(await gradientOf((x) => c.maximum(x, 2), [2, 3])).toEqual([0.5, 1]);
  });

  it("of sort stay in order, with NaN last", async () => {
    const { values, indices } = c.sort(tensor([1, Number.NaN, 0, 1]));
    expect(await values.tolist()).toEqual([0, 1, 1, Number.NaN]);
    expect(await indices.tolist()).toEqual([2, 0, 3, 1]);
    expect(await c.argsort(tensor([1, 0, 1]), { descending: true }).tolist()).toEqual([0, 2, 1]);
  });
});

describe("padding of maxPool", () => {
  it("is never where the largest is, though all be −∞; NaN is the largest", async () => {
    const low = Number.NEGATIVE_INFINITY;
    const { values, indices } = c.maxPool1d(tensor([low, low, 1, Number.NaN], { shape: [1, 4] }), 2, { padding: 1, returnIndices: true });
    expect(await values.tolist()).toEqual([[low, 1, Number.NaN]]);
    expect(await indices.tolist()).toEqual([[0, 2, 3]]);
  });

  it("wants something to pool", () => {
    expect(() => c.maxPool1d(c.zeros([0, 4]), 2)).toThrow("maxPool1d: the input has shape [0, 4]; no size but that of the batch may be 0");
    expect(c.maxPool1d(c.zeros([0, 2, 4]), 2).shape).toEqual([0, 2, 2]);
  });
});

describe("kinks", () => {
  it("have PyTorch's slopes", async () => {
    expect(await gradientOf(c.relu, [0])).toEqual([0]);
    expect(await gradientOf(c.abs, [0])).toEqual([0]);
    expect(await gradientOf(c.hardswish, [-3, 3])).toEqual([-0.5, 1]);
    expect(await gradientOf((x) => c.clamp(x, { min: 0, max: 1 }), [0, 1, 2])).toEqual([1, 1, 0]);
    expect(await gradientOf(c.relu6, [0, 6])).toEqual([0, 0]);
    expect(await gradientOf((x) => c.norm(x), [0, 0])).toEqual([0, 0]);
    expect(await gradientOf((x) => c.smoothL1Loss(x, c.zeros([4]), { beta: 0.5, reduction: "sum" }), [-0.5, 0, 0.25, 0.5])).toEqual([
      -1, 0, 0.5, 1,
    ]);
    expect(await gradientOf((x) => c.smoothL1Loss(x, c.zeros([2]), { beta: 0, reduction: "sum" }), [0, 2])).toEqual([0, 1]);
    expect(await gradientOf((x) => c.huberLoss(x, c.zeros([3]), { delta: 2, reduction: "sum" }), [-2, 1, 2])).toEqual([-2, 1, 2]);
  });

  it("are not passed on where nothing moves: rounded quotients, and what no index writes", async () => {
    for (const roundingMode of ["trunc", "floor"] as const)
      expect(await gradientOf((x) => c.div(c.tensor([1, 1, 0]), x, { roundingMode }), [0, 2, 0])).toEqual([0, 0, 0]);
    const none = tensor([], { shape: [0], dtype: "int32" });
    for (const write of [
      c.scatterAdd,
      c.scatter,
      (...[x, dim, index, src]: Parameters<typeof c.scatterAdd>) => c.scatterReduce(x, dim, index, src, "sum"),
    ])
      expect(await gradientOf((src) => write(c.ones([2]), 0, none, src), [3, Number.NaN])).toEqual([0, 0]);
  });

  it("between tensors as bounds go to the one that is taken", async () => {
    const [x, min, max] = [
      [1, 5, 3, 2],
      [2, 0, 4, 2],
      [3, 4, 1, 2],
    ].map((values) => tensor(values, { requiresGrad: true }));
    const y = c.clamp(x, { min, max });
    expect(await y.tolist()).toEqual([2, 4, 1, 2]);
    c.sum(y).backward();
    expect(await Promise.all([x, min, max].map((t) => (t.grad as c.Tensor).tolist()))).toEqual([
      [0, 0, 0, 1],
      [1, 0, 0, 0],
      [0, 1, 1, 0],
    ]);
  });
});

describe("NaN and infinities", () => {
  it("are handed on without a gradient", async () => {
    expect(await c.clamp(tensor([nan, -inf, inf, 0]), { min: -1, max: 1 }).tolist()).toEqual([nan, -1, 1, 0]);
    expect(await c.clamp(tensor([5, 5]), { min: tensor([nan, 0]), max: tensor([1, nan]) }).tolist()).toEqual([nan, nan]);
    for (const f of [(x: c.Tensor) => c.clamp(x, { min: -1 }), (x: c.Tensor) => c.clamp(x, { max: 1 }), c.hardtanh, c.relu6])
      expect(await gradientOf(f, [nan, 0.5])).toEqual([0, 1]);
  });

  it("share the gradient of max and min, and of the norms that are extremes", async () => {
    expect(await gradientOf((x) => c.max(x), [nan, 3, nan, inf])).toEqual([0.5, 0, 0.5, 0]);
    expect(await gradientOf((x) => c.min(x), [1, nan])).toEqual([0, 1]);
    expect(await gradientOf((x) => c.amax(x), [1, nan])).toEqual([nan, nan]);
    expect(await gradientOf((x) => c.norm(x, { p: inf }), [nan, 3])).toEqual([0, 0]);
    expect(await gradientOf((x) => c.norm(x, { p: inf }), [-3, 3, 1])).toEqual([-0.5, 0.5, 0]);
  });

  it("leave the slopes that are known", async () => {
    expect(await gradientOf((x) => c.pow(x, -2), [inf, -inf, 0.5])).toEqual([-0, 0, -16]);
    expect(await gradientOf((x) => c.prod(x), [inf, 2, 0.5])).toEqual([1, inf, inf]);
    expect(await gradientOf((x) => c.prod(x), [0, 2, 3])).toEqual([6, 0, 0]);
    expect(await gradientOf((x) => c.huberLoss(x, c.zeros([3]), { reduction: "sum" }), [inf, -inf, nan])).toEqual([1, -1, nan]);
    expect(await gradientOf((x) => c.smoothL1Loss(x, c.zeros([3]), { reduction: "sum" }), [inf, -inf, nan])).toEqual([1, -1, nan]);
    expect(await c.klDiv(tensor([0, 0, 0]), tensor([0, -1, 1]), { reduction: "none" }).tolist()).toEqual([0, nan, 0]);
  });

  it("of a product that is not asked for: addmm with beta 0 passes NaN over", async () => {
    const input = tensor([Number.NaN], { requiresGrad: true });
    const y = c.addmm(input, c.ones([1, 2]), c.ones([2, 1]), { beta: 0 });
    expect(await y.tolist()).toEqual([[2]]);
    c.sum(y).backward();
    expect(await (input.grad as unknown as c.Tensor).tolist()).toEqual([0]);
    expect(await c.addmm(tensor([3]), tensor([[nan]]), c.ones([1, 1]), { alpha: 0 }).tolist()).toEqual([[3]]);
    expect(await c.addmm(tensor([nan]), tensor([[nan]]), c.ones([1, 1]), { alpha: 0, beta: 0 }).tolist()).toEqual([[0]]);
  });
});

describe("kinds of numbers", () => {
  it("stay where PyTorch keeps them", async () => {
    const yes = tensor([true, false]);
    expect([c.sign(yes).dtype, c.square(yes).dtype, c.tril(c.eye(2, { dtype: "bool" })).dtype]).toEqual(["bool", "int32", "bool"]);
    expect(c.hardtanh(tensor([3, -3], { dtype: "int32" })).dtype).toBe("int32");
    expect(await c.avgPool1d(tensor([[-3, 0, 4, 1]], { dtype: "int32" }), 2).tolist()).toEqual([[-1, 2]]);
    expect(await c.scatterAdd(tensor([false, false]), 0, tensor([1, 1], { dtype: "int32" }), tensor([true, false])).tolist()).toEqual([
      false,
      true,
    ]);
    expect(c.cumsum(yes, 0).dtype).toBe("int32");
    expect(c.cumsum(yes, 0, { dtype: "float32" }).dtype).toBe("float32");
    expect(c.max(tensor(true), { dim: 0 }).values.dtype).toBe("bool");
  });

  it("of integer division round as asked, and by 0 give 0", async () => {
    const [a, b] = [tensor([7, -7, 7, 5], { dtype: "int32" }), tensor([2, 2, -2, 0], { dtype: "int32" })];
    expect(await c.floorDivide(a, b).tolist()).toEqual([3, -4, -4, 0]);
    expect(await c.div(a, b, { roundingMode: "trunc" }).narrow(0, 0, 3).tolist()).toEqual([3, -3, -3]);
    expect(await c.remainder(a, b).tolist()).toEqual([1, 1, -1, 0]);
    expect(c.div(a, b).dtype).toBe("float32");
  });

  it("of products of integers stay whole with whole factors", async () => {
    const [x, m] = [tensor([[1]], { dtype: "int32" }), tensor([[3]], { dtype: "int32" })];
    const y = c.addmm(x, m, m, { alpha: 2, beta: -1 });
    expect([y.dtype, await y.tolist()]).toEqual(["int32", [[17]]]);
    expect(c.addmm(x, m, m, { alpha: 0.5 }).dtype).toBe("float32");
    expect(c.baddbmm(x.unsqueeze(0), m.unsqueeze(0), m.unsqueeze(0), { beta: 0 }).dtype).toBe("int32");
  });

  it("of two booleans add up to their `or`, whatever the factor", async () => {
    expect(await c.add(tensor([true, false, true]), tensor([true, true, false]), { alpha: -1 }).tolist()).toEqual([true, true, true]);
    expect(await c.add(tensor([true, false]), true, { alpha: 0 }).tolist()).toEqual([true, false]);
    const fraction = c.sub(tensor([5], { dtype: "int32" }), 1.5, { alpha: 2 });
    expect([fraction.dtype, await fraction.tolist()]).toEqual(["float32", [2]]);
  });
});
