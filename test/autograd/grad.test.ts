import { describe, expect, it } from "vitest";
import {
  customGradient,
  enableGrad,
  grad,
  gradcheck,
  gradgradcheck,
  isGradEnabled,
  noGrad,
  type Tensor,
  tensor,
  valueAndGrad,
} from "../../index.js";

describe("grad", () => {
  it("is a function of functions", async () => {
    const cube = (x: Tensor): Tensor => x.pow(3).sum();
    const x = tensor([1, 2]);
    expect(await grad(cube)(x).tolist()).toEqual([3, 12]);
    expect(x.requiresGrad).toBe(false);
    const { value, grad: slope } = valueAndGrad(cube)(x);
    expect(await value.item()).toBe(9);
    expect(await slope.tolist()).toEqual([3, 12]);
    expect([value.requiresGrad, slope.requiresGrad]).toEqual([false, false]);
  });

  it("takes several arguments, and zeros where one has no effect", async () => {
    const f = (x: Tensor, y: Tensor, scale: number): Tensor => x.mul(y).mul(scale).sum();
    const [dx, dy] = grad(f, { argnums: [0, 1] })(tensor([1, 2]), tensor([3, 4]), 10);
    expect(await dx.tolist()).toEqual([30, 40]);
    expect(await dy.tolist()).toEqual([10, 20]);
    expect(await grad((_: Tensor, y: Tensor) => y.sum())(tensor([1, 2]), tensor([1])).tolist()).toEqual([0, 0]);
    expect(() => grad(f, { argnums: 2 as number })(tensor([1]), tensor([1]), 1)).toThrow("argument 2 of 3 is not a tensor");
    expect(() => grad((x: Tensor) => x.to("float32").sum())(tensor([1], { dtype: "int32" }))).toThrow("argument 0 has dtype int32");
  });

  it("can be nested", async () => {
    const f = (x: Tensor): Tensor => x.pow(4).sum();
    const second = grad((x: Tensor) => grad(f)(x).sum());
    const third = grad((x: Tensor) => second(x).sum());
    expect(await second(tensor([1, 2])).tolist()).toEqual([12, 48]);
    expect(await third(tensor([1, 2])).tolist()).toEqual([24, 48]);
    // d/dx of x · f'(x): the inner slope and the outer factor both count.
    const mixed = grad((x: Tensor) => x.mul(grad(f)(x)).sum());
    expect(await mixed(tensor([1, 2])).tolist()).toEqual([16, 128]);
  });

  it("lets parameters outside take part where asked", async () => {
    const w = tensor([2], { requiresGrad: true });
    const slope = grad((x: Tensor) => x.mul(x).mul(w).sum(), { createGraph: true })(tensor([3]));
    slope.sum().backward();
    expect(await w.grad?.tolist()).toEqual([6]);
  });
});

describe("modes", () => {
  it("nest, and come back after an error", () => {
    expect(isGradEnabled()).toBe(true);
    noGrad(() => {
      expect(isGradEnabled()).toBe(false);
      enableGrad(() => expect(isGradEnabled()).toBe(true));
      expect(isGradEnabled()).toBe(false);
    });
    expect(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(isGradEnabled()).toBe(true);
  });

  it("refuse async functions", () => {
    expect(() => noGrad(async () => 1)).toThrow("noGrad: the function is async");
    expect(() =>
      noGrad(async () => {
        throw new Error("would be unhandled");
      }),
    ).toThrow("noGrad: the function is async");
    expect(isGradEnabled()).toBe(true);
  });
});

describe("customGradient", () => {
  const clip = customGradient(
    (x: Tensor) => x.mul(2),
    ({ grad: g, inputs: [x] }) => [g.mul(x).mul(3)],
    { name: "clip" },
  );

  it("takes the gradient that it is given", async () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = clip(x);
    expect(await y.tolist()).toEqual([2, 4]);
    y.sum().backward();
    expect(await x.grad?.tolist()).toEqual([3, 6]);
    expect(await grad((v: Tensor) => grad((u: Tensor) => clip(u).sum())(v).sum())(x.detach()).tolist()).toEqual([3, 3]);
  });

  it("complains about a gradient of the wrong shape or number", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const wrong = customGradient(
      (v: Tensor) => v.mul(1),
      ({ grad: g }) => [g.sum()],
      { name: "wrong" },
    );
    expect(() => wrong(x).sum().backward()).toThrow("wrong: its gradient rule returned float32 [] for input 0, which is float32 [2]");
    const few = customGradient(
      (v: Tensor) => v.mul(1),
      () => [],
      { name: "few" },
    );
    expect(() => few(x).sum().backward()).toThrow("few: backward returned 0 gradients for 1 inputs");
  });
});

describe("gradcheck", () => {
  const x = tensor([0.3, -0.7, 1.1], { dtype: "float64" });

  it("accepts right gradients and names wrong ones", async () => {
    expect(await gradcheck((v) => v.sin().mul(v), [x])).toBe(true);
    expect(await gradgradcheck((v) => v.sin().mul(v), [x])).toBe(true);
    const wrong = customGradient(
      (v: Tensor) => v.mul(v),
      ({ grad: g, inputs: [v] }) => [g.mul(v)],
    );
    await expect(gradcheck((v) => wrong(v), [x])).rejects.toThrow(
      /gradcheck: input 0 \[3\], element \[0\]: the gradient is .*, the difference quotient/,
    );
  });

  it("checks large inputs along random directions", async () => {
    const large = tensor(
      Float64Array.from({ length: 40 }, (_, i) => Math.sin(i)),
      { shape: [5, 8] },
    );
    expect(await gradcheck((v) => v.exp().sum({ dim: 1 }), [large])).toBe(true);
    const wrong = customGradient(
      (v: Tensor) => v.exp(),
      ({ grad: g }) => [g],
    );
    await expect(gradcheck((v) => wrong(v), [large])).rejects.toThrow("random direction 0");
  });

  it("wants float64", async () => {
    await expect(gradcheck((v) => v.exp(), [tensor([1])])).rejects.toThrow("inputs have dtypes float32; at least one must be float64");
  });
});
