import { describe, expect, it } from "vitest";
import { add, defaultDevice, gradients, mul, noGrad, type Tensor, tensor } from "../../index.js";

const leaf = (data: number[] | number[][]): Tensor => tensor(data, { requiresGrad: true });

describe("backward", () => {
  it("leaves gradients at leaves, and adds to what is there", async () => {
    const x = leaf([1, 2, 3]);
    x.mul(x).sum().backward();
    expect(await x.grad?.tolist()).toEqual([2, 4, 6]);
    x.sum().backward();
    expect(await x.grad?.tolist()).toEqual([3, 5, 7]);
    expect(x.grad?.requiresGrad).toBe(false);
  });

  it("sums over every use of a tensor, also of both operands", async () => {
    const x = leaf([1, 2]);
    const y = x.mul(3);
    add(mul(y, y), y).add(x).sum().backward(); // 9x² + 4x
    expect(await x.grad?.tolist()).toEqual([22, 40]);
  });

  it("undoes broadcasting", async () => {
    const [row, column, scalar] = [leaf([1, 2, 3]), leaf([[1], [2]]), tensor(2, { requiresGrad: true })];
    row.mul(column).mul(scalar).sum().backward();
    expect(await row.grad?.tolist()).toEqual([6, 6, 6]);
    expect(await column.grad?.tolist()).toEqual([[12], [12]]);
    expect(await scalar.grad?.tolist()).toBe(18);
  });

  it("takes the gradient of a tensor of more elements", async () => {
    const x = leaf([1, 2]);
    const y = x.mul(x);
    expect(() => y.backward()).toThrow("backward: the tensor has shape [2], and only one element has an obvious gradient");
    expect(() => y.backward({ gradient: tensor([1]) })).toThrow(
      "the gradient given is float32 [1]; expected that of the tensor, float32 [2]",
    );
    y.backward({ gradient: tensor([1, 10]) });
    expect(await x.grad?.tolist()).toEqual([2, 40]);
  });

  it("refuses a tensor without a graph, and a graph that has been used", async () => {
    expect(() => tensor([1]).sum().backward()).toThrow("depends on no tensor that requires gradients");
    const x = leaf([1, 2]);
    const y = x.mul(x);
    y.sum().backward();
    expect(() => y.sum().backward()).toThrow("gradients have been taken through this graph before (at mul)");
    const z = x.mul(x);
    z.sum().backward({ retainGraph: true });
    z.sum().backward();
    expect(await x.grad?.tolist()).toEqual([6, 12]);
  });

  it("stops at detached tensors and at noGrad", async () => {
    const x = leaf([3]);
    x.mul(x.detach()).sum().backward();
    expect(await x.grad?.tolist()).toEqual([3]);
    const y = noGrad(() => x.mul(x));
    expect(y.requiresGrad).toBe(false);
  });

  it("gives an assigned parameter the gradient of its new version", async () => {
    const x = leaf([1, 2]);
    x.assign(noGrad(() => x.mul(10)));
    x.mul(x).sum().backward();
    expect(await x.grad?.tolist()).toEqual([20, 40]);
    expect(await x.tolist()).toEqual([10, 20]);
  });

  it("survives long chains", async () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 3000; i++) y = y.add(x);
    y.sum().backward();
    expect(await x.grad?.tolist()).toEqual([3001]);
  });

  it("puts the gradients of parts side by side", async () => {
    const x = leaf([1, 2, 3, 4, 5, 6]);
    const [a, b, c] = x.split([2, 3, 1]);
    add(a.sum(), c.mul(c).sum()).backward();
    expect(x.grad?.node.op.name).toBe("cat");
    expect(await x.grad?.tolist()).toEqual([1, 1, 0, 0, 0, 12]);
    const w = leaf([1, 2, 3, 4]);
    const [p, q] = [w.narrow(0, 0, 3), w.narrow(0, 2, 2)]; // they overlap
    add(p.sum(), q.mul(2).sum())
      .add(w.narrow(0, 3, 1).sum())
      .backward();
    expect(await w.grad?.tolist()).toEqual([1, 1, 3, 3]);
    expect(b.shape).toEqual([3]);
    const twice = leaf([1, 2, 3]);
    const part = twice.narrow(0, 1, 1);
    twice.add(twice).narrow(0, 0, 1).sum().add(part.sum()).backward();
    expect(await twice.grad?.tolist()).toEqual([2, 1, 0]);
  });
});

describe("gradients", () => {
  it("leaves .grad alone, and works for tensors inside the graph", async () => {
    const x = leaf([1, 2]);
    const y = x.mul(x);
    const z = y.mul(y).sum();
    const [dy, dx] = gradients([z], [y, x]);
    expect(await dy.tolist()).toEqual([2, 8]);
    expect(await dx.tolist()).toEqual([4, 32]);
    expect(x.grad).toBe(null);
  });

  it("says which input is not used, or gives null", () => {
    const [x, y] = [leaf([1]), leaf([2])];
    const z = x.mul(2).sum();
    expect(() => gradients([z], [y])).toThrow("gradients: the outputs do not depend on input 0, a float32 tensor of shape [1]");
    expect(gradients([x.mul(2).sum()], [y], null, { allowUnused: true })).toEqual([null]);
  });

  it("makes gradients of gradients", async () => {
    const x = leaf([2, 3]);
    const [slope] = gradients([x.pow(3).sum()], [x], null, { createGraph: true });
    const [curvature] = gradients([slope.sum()], [x]);
    expect(await curvature.tolist()).toEqual([12, 18]);
    const penalty = leaf([1, 2]);
    const [g] = gradients([penalty.mul(penalty).sum()], [penalty], null, { createGraph: true });
    g.mul(g).sum().backward();
    expect(await penalty.grad?.tolist()).toEqual([8, 16]);
  });
});

describe("memory", () => {
  it("of a plain training loop does not grow", async () => {
    const w = leaf([
      [1, 2],
      [3, 4],
    ]);
    const x = tensor([
      [1, 0],
      [0, 1],
    ]);
    const sizes: number[] = [];
    for (let step = 0; step < 6; step++) {
      w.grad = null;
      const loss = x.matmul(w).pow(2).mean();
      loss.backward();
      noGrad(() => w.assign(w.sub((w.grad as unknown as Tensor).mul(0.1))));
      await loss.item();
      sizes.push(defaultDevice().memory().liveBytes);
    }
    expect(new Set(sizes.slice(2)).size).toBe(1);
  });
});
