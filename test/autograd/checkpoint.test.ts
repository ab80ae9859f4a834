import { describe, expect, it } from "vitest";
import {
  batchNorm,
  checkpoint,
  defaultDevice,
  device,
  dropout,
  Generator,
  grad,
  hostUniform,
  manualSeed,
  ones,
  rand,
  realize,
  relu,
  type Tensor,
  tensor,
  zeros,
} from "../../index.js";

const leaf = (data: number[]): Tensor => tensor(data, { requiresGrad: true });

describe("checkpoint", () => {
  it("changes no value and no gradient, of inputs and of what the function uses", async () => {
    const gradientsWith = async (wrap: boolean): Promise<unknown[]> => {
      const [x, w, outside] = [leaf([1, 2]), leaf([3, 4]), leaf([5, 6])];
      const inner = outside.mul(w); // an intermediate that the function captures
      const block = (h: Tensor): Tensor => h.mul(w).add(h).mul(inner).exp().log();
      const start = x.mul(2);
      const y = wrap ? checkpoint(block, start) : block(start);
      y.mul(y).sum().add(inner.sum()).backward();
      return Promise.all([y, ...[x, w, outside].map((t) => t.grad as Tensor)].map((t) => t.tolist()));
    };
    expect(await gradientsWith(true)).toEqual(await gradientsWith(false));
  });

  it("gives several results, and takes inputs without gradients", async () => {
    const [x, w] = [tensor([1, 2]), leaf([3, 4])];
    const [a, b] = checkpoint((h: Tensor): Tensor[] => [h.mul(w), h.add(w).mul(w)], x);
    a.sum().add(b.mul(10).sum()).backward();
    expect(await w.grad?.tolist()).toEqual([71, 102]);
    expect(x.grad).toBe(null);
  });

  it("repeats random draws", async () => {
    manualSeed(3);
    const x = tensor(new Float32Array(50).fill(1), { requiresGrad: true });
    const y = checkpoint((h: Tensor) => dropout(h, { p: 0.5 }).mul(3), x);
    y.sum().backward();
    await realize(y, x.grad as Tensor);
    expect(await x.grad?.tolist()).toEqual(await y.tolist());
    expect(new Set((await y.data()).values())).toEqual(new Set([0, 6]));
    const next = (await rand([3]).data()).join();
    manualSeed(3);
    rand([50]);
    expect((await rand([3]).data()).join()).toBe(next); // the second computation drew nothing new
  });

  it("may be nested, with draws inside", async () => {
    manualSeed(5);
    const x = tensor(new Float32Array(20).fill(1), { requiresGrad: true });
    const inner = (h: Tensor): Tensor => dropout(h, { p: 0.5 });
    const y = checkpoint((h: Tensor) => dropout(checkpoint(inner, h.mul(1)), { p: 0.25 }).exp(), x);
    const expected = (await y.tolist()) as number[];
    y.sum().backward();
    // y = e^(m x), so the slope is m y with m = log y.
    const slope = (await x.grad?.tolist()) as number[];
    slope.forEach((s, i) => expect(s).toBeCloseTo(expected[i] * Math.log(expected[i]), 4));
  });

  it("updates running statistics once", async () => {
    const [mean, variance] = [zeros([2]), ones([2])];
    const x = tensor(
      [
        [1, 2],
        [3, 6],
      ],
      { requiresGrad: true },
    );
    checkpoint((h: Tensor) => batchNorm(h, mean, variance, { training: true, momentum: 0.5 }), x)
      .mul(x)
      .sum()
      .backward();
    await realize(x.grad as Tensor);
    expect(await mean.tolist()).toEqual([1, 2]);
  });

  it("allows second derivatives", async () => {
    const f = (x: Tensor): Tensor => checkpoint((h: Tensor) => h.pow(3), x).sum();
    expect(await grad((x: Tensor) => grad(f)(x).sum())(tensor([1, 2])).tolist()).toEqual([6, 12]);
  });

  it("lowers the peak of a deep network", async () => {
    const peak = async (wrap: boolean): Promise<{ bytes: number; slope: number }> => {
      const dev = await device("cpu");
      const generator = new Generator(1);
      const weights = (rows: number, columns: number): Tensor =>
        tensor(
          hostUniform(generator, rows * columns).map((u) => (u - 0.5) / 4),
          { shape: [rows, columns], device: dev, requiresGrad: true },
        );
      const layers = Array.from({ length: 6 }, () => [weights(16, 128), weights(128, 16)]);
      const x = tensor(hostUniform(generator, 256 * 16), { shape: [256, 16], device: dev });
      let h: Tensor = x;
      for (const [up, down] of layers) {
        const block = (v: Tensor): Tensor => relu(v.matmul(up)).matmul(down).add(v);
        h = wrap ? checkpoint(block, h) : block(h);
      }
      h.mul(h).mean().backward();
      const grads = layers.flat().map((w) => w.grad as Tensor);
      await realize(...grads);
      const slope = await grads[0].abs().sum().item();
      return { bytes: dev.memory().peakBytes, slope };
    };
    const [kept, recomputed] = [await peak(false), await peak(true)];
    expect(recomputed.slope).toBeCloseTo(kept.slope, 4);
    expect(recomputed.bytes).toBeLessThan(0.6 * kept.bytes);
    expect(defaultDevice().name).toBe("cpu");
  });
});
