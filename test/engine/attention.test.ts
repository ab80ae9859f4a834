import { describe, expect, it } from "vitest";
import {
  arange,
  gradcheck,
  gradgradcheck,
  linear,
  multiheadAttention,
  scaledDotProductAttention,
  softmax,
  type Tensor,
  tensor,
  where,
} from "../../index.js";
import { uniformFrom } from "./values.js";

const random = uniformFrom(5);

async function expectClose(got: Tensor, want: Tensor): Promise<void> {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = await Promise.all([got.data(), want.data()]);
  a.forEach((value, i) => expect(value).toBeCloseTo(b[i], 10));
}

describe("scaledDotProductAttention", () => {
  const [q, k, v] = [random(2, 3, 4, 8), random(2, 3, 5, 8), random(2, 3, 5, 6)];
  const scores = (): Tensor => q.matmul(k.transpose(-2, -1)).div(Math.sqrt(8));

  it("weighs values by the softmax of products", async () => {
    await expectClose(scaledDotProductAttention(q, k, v), softmax(scores(), { dim: -1 }).matmul(v));
    await expectClose(scaledDotProductAttention(q, k, v, { scale: 1 }), softmax(scores().mul(Math.sqrt(8)), { dim: -1 }).matmul(v));
  });

  it("takes masks, and looks back only", async () => {
    const bool = tensor([
      [true, true, false, true, false],
      [true, false, true, true, true],
      [true, true, true, true, true],
      [false, false, true, false, false],
    ]);
    await expectClose(
      scaledDotProductAttention(q, k, v, { attnMask: bool }),
      softmax(where(bool, scores(), -Infinity), { dim: -1 }).matmul(v),
    );
    const added = random(4, 5);
    await expectClose(scaledDotProductAttention(q, k, v, { attnMask: added }), softmax(scores().add(added), { dim: -1 }).matmul(v));
    const past = arange(4).unsqueeze(1).ge(arange(5));
    await expectClose(
      scaledDotProductAttention(q, k, v, { isCausal: true }),
      softmax(where(past, scores(), -Infinity), { dim: -1 }).matmul(v),
    );
  });

  it("broadcasts leading dims, and has gradients, also for the mask", async () => {
    expect(scaledDotProductAttention(random(4, 2), random(3, 1, 5, 2), random(2, 5, 6)).shape).toEqual([3, 2, 4, 6]);
    const f = (a: Tensor, b: Tensor, c: Tensor, m: Tensor): Tensor => scaledDotProductAttention(a, b, c, { attnMask: m });
    expect(await gradcheck(f, [random(2, 3, 2), random(2, 4, 2), random(2, 4, 3), random(3, 4)])).toBe(true);
  });

  it("drops weights at random", async () => {
    const some = scaledDotProductAttention(q, k, v, { dropoutP: 0.5 });
    expect(some.shape).toEqual([2, 3, 4, 6]);
    const none = scaledDotProductAttention(q, k, v, { dropoutP: 1 });
    expect(await none.abs().sum().item()).toBe(0);
  });

  it("says what does not fit", () => {
    expect(() => scaledDotProductAttention(random(3, 4), random(5, 6), random(5, 4))).toThrow(
      "query [3, 4] and key [5, 6] must have equally many channels",
    );
    expect(() => scaledDotProductAttention(random(3, 4), random(5, 4), random(6, 4))).toThrow(
      "key [5, 4] and value [6, 4] must be equally long",
    );
    expect(() => scaledDotProductAttention(random(3, 4), random(5, 4), random(5, 4), { attnMask: random(3, 4) })).toThrow(
      "attnMask [3, 4] does not broadcast to the scores [3, 5]",
    );
  });
});

describe("multiheadAttention", () => {
  const [x, inWeight, inBias, outWeight, outBias] = [random(2, 5, 6), random(18, 6), random(18), random(6, 6), random(6)];
  const attend = (a: Tensor, options = {}, b = a): Tensor => multiheadAttention(a, b, b, 3, inWeight, inBias, outWeight, outBias, options);

  it("is attention in each head, between two linear maps", async () => {
    const [q, k, v] = linear(x, inWeight, { bias: inBias }).chunk(3, { dim: -1 });
    const heads = [0, 1, 2].map((h) => {
      const [a, b, c] = [q, k, v].map((t) => t.narrow(2, 2 * h, 2));
      return scaledDotProductAttention(a, b, c);
    });
    const joined = [0, 1, 2].map((h) => linear(heads[h], outWeight.narrow(1, 2 * h, 2))).reduce((a, b) => a.add(b));
    await expectClose(attend(x), joined.add(outBias));
  });

  it("has first and second derivatives in all that it is given", async () => {
    const few = [random(1, 3, 4), random(12, 4), random(12), random(4, 4), random(4)] as const;
    const f = (a: Tensor, w: Tensor, b: Tensor, o: Tensor, p: Tensor): Tensor => multiheadAttention(a, a, a, 2, w, b, o, p);
    expect(await gradcheck(f, few)).toBe(true);
    expect(await gradgradcheck(f, few, { fullBelow: 4, directions: 2 })).toBe(true);
  });

  it("has two layouts, other keys than queries, and masks that leave out", async () => {
    await expectClose(attend(x.transpose(0, 1), { batchFirst: false }).transpose(0, 1), attend(x));
    const keys = random(2, 4, 6);
    const padding = tensor([
      [false, false, true, true],
      [false, false, false, true],
    ]);
    const short = attend(x.narrow(0, 0, 1), {}, keys.narrow(0, 0, 1).narrow(1, 0, 2));
    await expectClose(attend(x, { keyPaddingMask: padding }, keys).narrow(0, 0, 1), short);
    const future = arange(5).unsqueeze(1).lt(arange(5));
    await expectClose(
      attend(x, { attnMask: future }).narrow(1, 0, 3),
      attend(x.narrow(1, 0, 3), { attnMask: future.narrow(0, 0, 3).narrow(1, 0, 3) }),
    );
    await expectClose(attend(x, { attnMask: future.unsqueeze(0).expand([6, 5, 5]) }), attend(x, { attnMask: future }));
  });

  it("says what does not fit", () => {
    expect(() => multiheadAttention(x, x, x, 4, inWeight, inBias, outWeight, outBias)).toThrow("6 channels do not fall into 4 equal heads");
    expect(() => attend(x, { keyPaddingMask: tensor([[true]]) })).toThrow("keyPaddingMask has shape [1, 1]; expected [2, 5]");
    expect(() => attend(random(5, 6))).toThrow("query has shape [5, 6]; expected three dims");
  });
});
