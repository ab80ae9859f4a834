/** Mistakes that only the device can see: the read rejects, names the operation, and no assignment of the step happens; on every backend. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as c from "../../index.js";

type Tensor = c.Tensor;

/** What is wrong, and how it is called with a parameter [2, 3] of numbers in 0 to 1 and whole numbers [2] that only the device knows. */
const mistakes: Readonly<Record<string, readonly [bad: number, (p: Tensor, index: Tensor) => Tensor, message: RegExp]>> = {
  gather: [
    3,
    (p, i) => c.gather(p, 1, i.reshape([2, 1])),
    /^gather: an index computed on the device is out of range for a dim of size 3.*0 to 2/,
  ],
  indexSelect: [2, (p, i) => c.indexSelect(p, 0, i), /^indexSelect: an index .*size 2/],
  getItem: [-3, (p, i) => c.getItem(p, [i]), /^getItem: an index .*size 2/],
  embedding: [2, (p, i) => c.embedding(i, p), /^embedding: an index .*size 2/],
  scatter: [3, (p, i) => c.scatter(p, 1, i.reshape([2, 1]), 0.5), /^scatter: an index .*size 3/],
  scatterAdd: [-1, (p, i) => c.scatterAdd(p, 1, i.reshape([2, 1]), p.narrow(1, 0, 1)), /^scatterAdd: an index .*size 3/],
  scatterReduce: [3, (p, i) => c.scatterReduce(p, 1, i.reshape([2, 1]), p, "amax"), /^scatterReduce: an index .*size 3/],
  indexAdd: [2, (p, i) => c.indexAdd(p, 0, i, p), /^indexAdd: an index .*size 2/],
  takeAlongDim: [3, (p, i) => c.takeAlongDim(p, i.reshape([2, 1]), { dim: 1 }), /^takeAlongDim: an index .*size 3/],
  crossEntropy: [3, (p, i) => c.crossEntropy(p, i), /^crossEntropy: a target computed on the device is none of 3 classes/],
  nllLoss: [-1, (p, i) => c.nllLoss(p, i), /^nllLoss: a target computed on the device is none of 3 classes/],
  oneHot: [3, (p, i) => c.oneHot(i, { numClasses: 3 }).mul(p), /^oneHot: a class computed on the device is none of 3/],
  roiAlign: [2, (p, i) => c.roiAlign(p.reshape([2, 1, 1, 3]), rois(i), 1), /^roiAlign: an index .*size 2/],
  binaryCrossEntropy: [
    2,
    (p, i) => c.binaryCrossEntropy(p.add(i.reshape([2, 1])), c.zeros([2, 3], { device: p.device })),
    /^binaryCrossEntropy: the input computed .*0 to 1/,
  ],
};

const rois = (index: Tensor): Tensor =>
  c.cat(
    [
      index.to("float32").reshape([2, 1]),
      c.tensor(
        [
          [0, 0, 1, 1],
          [0, 0, 2, 1],
        ],
        { device: index.device },
      ),
    ],
    { dim: 1 },
  );

describe.each(["cpu", "wasm", "webgpu"])("on %s", (name) => {
  let device: c.Device;
  beforeAll(async () => {
    device = await c.device(name);
  });
  afterAll(() => device.close());

  it.each(Object.entries(mistakes))("%s rejects, and changes nothing", async (_, [bad, call, message]) => {
    const start = [0.25, 0.5, 0.75, 0.125, 0.375, 0.625];
    const p = c.tensor(start, { shape: [2, 3], device, requiresGrad: true });
    const step = async (index: number): Promise<void> => {
      p.grad = null;
      const loss = c.sum(call(p, c.tensor([0, index], { dtype: "int32", device }).add(0)));
      loss.backward();
      p.assign(c.sub(p, c.mul(p.grad as unknown as Tensor, 0.01)).detach());
      await loss.item();
    };
    await expect(step(bad)).rejects.toThrow(message);
    expect(Array.from(await p.data())).toEqual(start);
    await step(0);
    expect(Array.from(await p.data())).not.toEqual(start);
  });

  it("checks a step after the other in the same memory", async () => {
    const p = c.tensor([1, 2, 3, 4], { shape: [2, 2], device });
    const read = () => c.crossEntropy(p, c.tensor([0, 1], { dtype: "int32", device }).add(0)).item();
    await read();
    const before = c.memory(device).liveBytes;
    for (let i = 0; i < 3; i++) await read();
    expect(c.memory(device).liveBytes).toBe(before);
  });
});
