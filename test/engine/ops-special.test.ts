/** Functions of selection and single elements that came later, against JavaScript's own. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const { tensor } = c;
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const values = [-2.5, -1, -0.25, 0, 0.25, 1, 3];
const x = tensor(values);
const positive = tensor([0.25, 0.5, 1, 2, 10]);

describe("values", () => {
  it.each<[string, c.Tensor, readonly number[]]>([
    ["log2", c.log2(positive), [0.25, 0.5, 1, 2, 10].map(Math.log2)],
    ["log10", c.log10(positive), [0.25, 0.5, 1, 2, 10].map(Math.log10)],
    ["exp2", c.exp2(x), values.map((v) => 2 ** v)],
    ["frac", c.frac(x), values.map((v) => v - Math.trunc(v))],
    ["logit", c.logit(tensor([0.1, 0.5, 1]), { eps: 0.01 }), [Math.log(0.1 / 0.9), 0, Math.log(99)]],
    [
      "logaddexp",
      c.logaddexp(tensor([1, 1000, -inf, inf]), tensor([2, 1000, -inf, 0])),
      [Math.log(Math.exp(1) + Math.exp(2)), 1000 + Math.LN2, -inf, inf],
    ],
    ["hypot", c.hypot(tensor([3, 0]), tensor([4, 0])), [5, 0]],
    ["xlogy", c.xlogy(tensor([0, 2, 0, 0]), tensor([0, 3, nan, -1])), [0, 2 * Math.log(3), nan, 0]],
    ["heaviside", c.heaviside(tensor([-1, 0, 2, nan]), tensor(0.5)), [0, 0.5, 1, nan]],
    ["nanToNum", c.nanToNum(tensor([nan, inf, -inf, 1]), { posinf: 9 }), [0, 9, -3.4028234663852886e38, 1]],
    ["logsigmoid", c.logsigmoid(tensor([-1000, 0, 1000])), [-1000, -Math.LN2, 0]],
    ["softsign", c.softsign(x), values.map((v) => v / (1 + Math.abs(v)))],
    ["celu", c.celu(x, { alpha: 2 }), values.map((v) => (v > 0 ? v : 2 * Math.expm1(v / 2)))],
    ["selu", c.selu(x), values.map((v) => 1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * Math.expm1(v)))],
    ["isclose", c.isclose(tensor([1, 1, inf, inf, nan]), tensor([1, 1.1, inf, 1, nan])), [1, 0, 1, 0, 0]],
    ["isclose of NaN", c.isclose(tensor([nan]), tensor([nan]), { equalNan: true }), [1]],
    ["cumprod", c.cumprod(tensor([2, 3, 0, 4]), 0), [2, 6, 0, 0]],
    ["clone", c.clone(positive), [0.25, 0.5, 1, 2, 10]],
  ])("%s", async (_, result, want) => {
    const got = Array.from(await result.data());
    expect(got.length).toBe(want.length);
    got.forEach((v, i) => {
      if (Number.isFinite(want[i])) expect(Math.abs(v - want[i])).toBeLessThanOrEqual(2e-6 * (1 + Math.abs(want[i])));
      else expect(v).toBe(want[i]);
    });
  });
});

describe("selection", () => {
  it("finds what is not 0", async () => {
    const found = await c.nonzero(
      tensor([
        [0, 2],
        [3, 0],
      ]),
    );
    expect(await found.tolist()).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect((await c.nonzero(tensor(1))).shape).toEqual([1, 0]);
  });

  it("picks where a mask is true, and sends gradients back there", async () => {
    const t = tensor([1, 2, 3], { requiresGrad: true });
    const picked = await t.mul(2).maskedSelect(tensor([true, false, true]));
    expect(await picked.tolist()).toEqual([2, 6]);
    picked.sum().backward();
    expect(await t.grad?.tolist()).toEqual([2, 0, 2]);
  });

  it("scatters with a reduction", async () => {
    const base = tensor([[1, 2, 3]]);
    const index = tensor([[0, 0, 2, 0]], { dtype: "int32" });
    const src = tensor([[4, 5, 6, -1]]);
    const reduced = (reduce: c.ScatterReduction, includeSelf = true): Promise<c.Nested> =>
      c.scatterReduce(base, 1, index, src, reduce, { includeSelf }).tolist();
    expect(await reduced("sum")).toEqual([[9, 2, 9]]);
    expect(await reduced("prod")).toEqual([[-20, 2, 18]]);
    expect(await reduced("mean")).toEqual([[2.25, 2, 4.5]]);
    expect(await reduced("amax", false)).toEqual([[5, 2, 6]]);
    expect(await reduced("amin", false)).toEqual([[-1, 2, 6]]);
    expect(await c.scatter(base, 1, index, src, { reduce: "multiply" }).tolist()).toEqual([[-20, 2, 18]]);
    expect(await c.scatter(base, 1, index, 2, { reduce: "add" }).tolist()).toEqual([[7, 2, 5]]);
    await expect(c.scatterReduce(base, 1, index.add(3), src, "amax").data()).rejects.toThrow("scatterReduce: an index");
  });
});

describe("another device", () => {
  it("has the values of a graph, when they are asked for", async () => {
    const other = await c.device("cpu", { fuse: false });
    const source = tensor([1, 2]).mul(3);
    const moved = source.to(other);
    expect([moved.device, moved.node.value]).toEqual([other, null]);
    expect(await moved.add(1).tolist()).toEqual([4, 7]);
    expect(await tensor([5]).to(other).tolist()).toEqual([5]);
    expect(tensor([5], { device: other }).to(other).device).toBe(other);
    expect(() => tensor([1], { requiresGrad: true }).to(other)).toThrow("to: gradients do not cross");
    await other.close();
  });
});
