import { describe, expect, it } from "vitest";
import {
  arange,
  batchNorm,
  cosineSimilarity,
  gradcheck,
  groupNorm,
  instanceNorm,
  layerNorm,
  layerNorm2d,
  normalize,
  ones,
  realize,
  type Tensor,
  tensor,
  zeros,
} from "../../index.js";
import { uniformFrom } from "./values.js";

const random = uniformFrom(2);

async function expectClose(got: Tensor, want: Tensor | number[], digits = 6): Promise<void> {
  const [a, b] = [await got.data(), Array.isArray(want) ? want : await want.data()];
  expect(a.length).toBe(b.length);
  a.forEach((value, i) => expect(value).toBeCloseTo(b[i], digits));
}

describe("normalisations", () => {
  it("give mean 0 and variance 1 over their dims", async () => {
    const x = random(3, 4, 5, 2).mul(3).add(100);
    const dims: readonly [Tensor, number[]][] = [
      [layerNorm(x, [5, 2], { eps: 0 }), [2, 3]],
      [layerNorm2d(x, { eps: 0 }), [1]],
      [instanceNorm(x, { eps: 0 }), [2, 3]],
      [batchNorm(x, null, null, { training: true, eps: 0 }), [0, 2, 3]],
      [groupNorm(x, 2, { eps: 0 }).reshape([3, 2, 2, 5, 2]), [2, 3, 4]],
    ];
    for (const [y, dim] of dims) {
      const mean = y.mean({ dim });
      await expectClose(mean, mean.mul(0));
      await expectClose(y.mul(y).mean({ dim }), mean.mul(0).add(1));
    }
  });

  it("scale and shift each channel or element", async () => {
    const [x, w, b] = [random(2, 3, 4), random(3), random(3)];
    const scale = (y: Tensor): Tensor => y.mul(w.reshape([3, 1])).add(b.reshape([3, 1]));
    await expectClose(layerNorm2d(x, { weight: w, bias: b }), scale(layerNorm2d(x)));
    await expectClose(groupNorm(x, 3, { weight: w, bias: b }), scale(groupNorm(x, 3)));
    await expectClose(layerNorm(x.transpose(1, 2), [3], { weight: w, bias: b }).transpose(1, 2), scale(layerNorm2d(x)));
  });

  it("stand a large mean, in float32", async () => {
    const x = arange(8, { dtype: "float32" }).add(10_000).reshape([1, 8]);
    await expectClose(layerNorm(x, [8], { eps: 0 }), layerNorm(arange(8, { dtype: "float32" }).reshape([1, 8]), [8], { eps: 0 }), 4);
  });

  it("have gradients", async () => {
    const affine = [random(3), random(3)];
    expect(await gradcheck((x, w, b) => layerNorm2d(x, { weight: w, bias: b }), [random(2, 3, 2), ...affine])).toBe(true);
    expect(
      await gradcheck((x, w, b) => batchNorm(x, null, null, { weight: w, bias: b, training: true }), [random(3, 3, 2), ...affine]),
    ).toBe(true);
    expect(await gradcheck((x) => normalize(x, { dim: -1 }), [random(3, 4)])).toBe(true);
    expect(await gradcheck((a, b) => cosineSimilarity(a, b), [random(3, 4), random(1, 4)])).toBe(true);
  });

  it("let zero vectors be", async () => {
    const x = tensor(
      [
        [0, 0],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    const y = normalize(x);
    await expectClose(y, [0, 0, 0.6, 0.8]);
    y.sum().backward();
    expect((await x.grad?.tolist()) as number[][]).toSatisfy((rows: number[][]) => rows.flat().every(Number.isFinite));
  });

  it("say what does not fit", () => {
    expect(() => layerNorm(zeros([2, 3]), [2])).toThrow("the input has shape [2, 3]; expected one that ends in normalizedShape [2]");
    expect(() => layerNorm(zeros([2, 3]), [3], { weight: zeros([2]) })).toThrow("layerNorm: weight has shape [2]; expected [3]");
    expect(() => groupNorm(zeros([2, 5, 3]), 2)).toThrow("5 channels do not fall into 2 equal groups");
    expect(() => batchNorm(zeros([2, 3]), null, null)).toThrow("outside training it needs runningMean and runningVar");
    expect(() => batchNorm(zeros([1, 3]), null, null, { training: true })).toThrow("training needs more than one value a channel");
    expect(() => batchNorm(zeros([2, 3, 4]), zeros([2]), zeros([3]))).toThrow("runningMean has shape [2]; expected [3]");
  });
});

describe("batchNorm", () => {
  it("moves the running statistics, the variance unbiased, once a call", async () => {
    const [mean, variance] = [zeros([2]), ones([2])];
    const x = tensor([
      [0, 10],
      [4, 10],
      [8, 10],
    ]);
    const y = batchNorm(x, mean, variance, { training: true, momentum: 0.25 });
    await realize(y);
    expect(await mean.tolist()).toEqual([1, 2.5]);
    expect(await variance.tolist()).toEqual([0.75 + 0.25 * 16, 0.75]);
    batchNorm(x, mean, variance, { training: true, momentum: 0.25 });
    expect(await mean.tolist()).toEqual([1.75, 4.375]);
  });

  it("uses them outside training", async () => {
    const y = batchNorm(tensor([[1, 2]]), tensor([1, 0]), tensor([4, 16]), { eps: 0, weight: tensor([2, 2]), bias: tensor([1, 1]) });
    expect(await y.tolist()).toEqual([[1, 2]]);
  });
});
