import { describe, expect, it } from "vitest";
import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  compile,
  crossEntropy,
  gradcheck,
  huberLoss,
  klDiv,
  l1Loss,
  logSoftmax,
  mseLoss,
  nllLoss,
  oneHot,
  smoothL1Loss,
  softmax,
  type Tensor,
  tensor,
  zeros,
} from "../../index.js";

const classes = (values: number[]): Tensor => tensor(values, { dtype: "int32" });

describe("crossEntropy", () => {
  const logits = tensor(
    [
      [1, 2, 0.5],
      [0, -1, 3],
    ],
    { dtype: "float64" },
  );
  const target = classes([1, 2]);

  it("of indices is that of one-hot probabilities", async () => {
    const indices = await crossEntropy(logits, target).item();
    expect(indices).toBeCloseTo(await crossEntropy(logits, oneHot(target, { numClasses: 3 }).to("float64")).item(), 12);
    expect(indices).toBeCloseTo(await nllLoss(logSoftmax(logits, { dim: 1 }), target).item(), 12);
  });

  it("smooths, weighs, ignores and reduces", async () => {
    const logs = (await logSoftmax(logits, { dim: 1 }).tolist()) as number[][];
    const smooth = (row: number[], at: number): number => -0.9 * row[at] - (0.1 / 3) * row.reduce((a, b) => a + b);
    const both = [smooth(logs[0], 1), smooth(logs[1], 2)];
    expect(await crossEntropy(logits, target, { labelSmoothing: 0.1 }).item()).toBeCloseTo((both[0] + both[1]) / 2, 12);
    const each = (await crossEntropy(logits, target, { labelSmoothing: 0.1, reduction: "none" }).tolist()) as number[];
    each.forEach((value, i) => expect(value).toBeCloseTo(both[i], 12));
    const weight = tensor([1, 2, 3], { dtype: "float64" });
    expect(await crossEntropy(logits, target, { weight }).item()).toBeCloseTo((-2 * logs[0][1] - 3 * logs[1][2]) / 5, 12);
    expect(await crossEntropy(logits, target, { ignoreIndex: 1 }).item()).toBeCloseTo(-logs[1][2], 12);
    expect(await crossEntropy(logits, classes([-100, -100])).item()).toBeNaN();
  });

  it("takes positions, and single samples", () => {
    expect(crossEntropy(zeros([2, 3, 4, 5]), zeros([2, 4, 5], { dtype: "int32" }), { reduction: "none" }).shape).toEqual([2, 4, 5]);
    expect(crossEntropy(zeros([3]), zeros([], { dtype: "int32" })).shape).toEqual([]);
  });

  it("has gradients", async () => {
    const weight = tensor([1, 2, 3], { dtype: "float64" });
    expect(await gradcheck((x) => crossEntropy(x, target, { labelSmoothing: 0.2, weight }), [logits])).toBe(true);
    expect(await gradcheck((x, p) => crossEntropy(x, p, { labelSmoothing: 0.2 }), [logits, softmax(logits.mul(0.3), { dim: 1 })])).toBe(
      true,
    );
  });

  it("checks classes that come from the host at the call, and says what does not fit", () => {
    expect(() => crossEntropy(logits, classes([1, 3]))).toThrow(
      "target 3 at position 1 is out of range for 3 classes; expected 0 to 2, or ignoreIndex -100",
    );
    expect(() => crossEntropy(logits, classes([0, 1, 2]))).toThrow(
      "input [2, 3] takes a target of class indices of shape [2]; got int32 [3]",
    );
    expect(() => crossEntropy(logits, zeros([2, 4]))).toThrow("takes a target of probabilities of shape [2, 3]; got float32 [2, 4]");
    expect(() => crossEntropy(logits, target, { weight: zeros([2]) })).toThrow("weight has shape [2]; expected [3]");
    expect(() => crossEntropy(logits, target, { reduction: "avg" as "mean" })).toThrow('reduction is "avg"');
    expect(() => crossEntropy(logits, target, { labelSmoothing: 1.5 })).toThrow("labelSmoothing is 1.5; expected 0 to 1");
    expect(() => nllLoss(logits, zeros([2]))).toThrow("the target has dtype float32; expected class indices");
  });
});

describe("class indices that only the device knows", () => {
  it("are checked when the loss is read, and a bad one changes no parameter", async () => {
    const w = tensor([[1, 2, 3]], { requiresGrad: true });
    const step = compile((target: Tensor) => {
      w.grad = null;
      const loss = crossEntropy(w, target, { ignoreIndex: 7 });
      loss.backward();
      w.assign(w.sub(w.grad as unknown as Tensor).detach());
      return loss;
    });
    await step(classes([0]));
    const before = await w.tolist();
    await expect(step(classes([3]))).rejects.toThrow(
      "crossEntropy: a target computed on the device is none of 3 classes, nor ignoreIndex 7; valid are 0 to 2",
    );
    expect(await w.tolist()).toEqual(before);
    await step(classes([2]));
    expect(await w.tolist()).not.toEqual(before);
    expect(await (await step(classes([7]))).item()).toBeNaN();
    await expect(crossEntropy(w, classes([1, 5]).narrow(0, 1, 1).mul(1)).item()).rejects.toThrow("crossEntropy: a target");
  });
});

describe("losses of numbers", () => {
  const [a, b] = [tensor([1, 2, 5]), tensor([1.5, 2, 1])];

  it("are what they say", async () => {
    expect(await mseLoss(a, b, { reduction: "sum" }).item()).toBe(16.25);
    expect(await l1Loss(a, b).item()).toBe(1.5);
    expect(await smoothL1Loss(a, b, { reduction: "none" }).tolist()).toEqual([0.125, 0, 3.5]);
    expect(await smoothL1Loss(a, b, { reduction: "none", beta: 0 }).tolist()).toEqual([0.5, 0, 4]);
    expect(await huberLoss(a, b, { reduction: "none", delta: 2 }).tolist()).toEqual([0.125, 0, 6]);
    expect(() => huberLoss(a, b, { delta: 0 })).toThrow("delta is 0; expected more than 0");
    expect(() => mseLoss(a, zeros([2]))).toThrow("do not broadcast");
  });

  it("of probabilities stay finite at the ends", async () => {
    const p = tensor([0, 1, 0.5], { requiresGrad: true });
    const loss = binaryCrossEntropy(p, tensor([1, 0, 1]), { reduction: "none" });
    const values = (await loss.tolist()) as number[];
    [100, 100, Math.log(2)].forEach((value, i) => expect(values[i]).toBeCloseTo(value, 5));
    loss.sum().backward();
    expect(await p.grad?.tolist()).toEqual([-1e12, 1e12, -2].map(Math.fround));
    const right = tensor([0, 1], { requiresGrad: true });
    binaryCrossEntropy(right, tensor([0, 1])).backward();
    expect(await right.grad?.tolist()).toEqual([0, 0]);
    const large = binaryCrossEntropyWithLogits(tensor([1000, -1000]), tensor([0, 1]), { reduction: "none" });
    expect(await large.tolist()).toEqual([1000, 1000]);
    expect(() => binaryCrossEntropy(tensor([1.5]), tensor([1]))).toThrow("input holds 1.5; expected probabilities from 0 to 1");
    expect(() => binaryCrossEntropyWithLogits(zeros([2, 3]), zeros([3]))).toThrow("must have the same shape");
  });

  it("agree with and without logits, and have gradients", async () => {
    const x = tensor([0.3, -1.2, 0, 2], { dtype: "float64" });
    const t = tensor([1, 0, 0.5, 1], { dtype: "float64" });
    const posWeight = tensor([2], { dtype: "float64" });
    expect(await binaryCrossEntropyWithLogits(x, t).item()).toBeCloseTo(await binaryCrossEntropy(x.sigmoid(), t).item(), 12);
    expect(await gradcheck((v) => binaryCrossEntropyWithLogits(v, t, { posWeight }), [x])).toBe(true);
    expect(await gradcheck((v) => klDiv(v, t, { reduction: "batchmean" }), [x])).toBe(true);
    expect(await klDiv(zeros([2]), tensor([0, 1]), { reduction: "none" }).tolist()).toEqual([0, 0]);
  });
});
