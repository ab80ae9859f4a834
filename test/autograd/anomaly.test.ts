import { afterEach, describe, expect, it } from "vitest";
import { building } from "../../engine/graph.js";
import { detectAnomaly, findAnomaly, log, type Tensor, tensor, where } from "../../index.js";

/** As a module does it. */
function inModule<T>(path: string, fn: () => T): T {
  const outer = building.module;
  building.module = path;
  try {
    return fn();
  } finally {
    building.module = outer;
  }
}

afterEach(() => detectAnomaly(false));

describe("findAnomaly", () => {
  it("names the operation, the module and the shape where a NaN began", async () => {
    const x = tensor([1, -1, 4]);
    const bad = inModule("stages.0.norm", () => x.sqrt());
    const y = bad.mul(2).sum();
    const found = await findAnomaly(y);
    expect(found).toMatchObject({ kind: "NaN", op: "sqrt", module: "stages.0.norm", shape: [3], count: 1 });
    expect(found?.message).toBe(
      "sqrt in stages.0.norm made NaN in 1 of the elements of its result [3], from finite inputs: input float32 [3]",
    );
    expect(await findAnomaly(x.add(1).sqrt())).toBe(null);
  });

  it("finds what goes wrong on the way back, and where it belongs", async () => {
    const x = tensor([0, 4], { requiresGrad: true });
    inModule("head", () => x.sqrt())
      .sum()
      .backward();
    const found = await findAnomaly(x.grad as Tensor);
    expect(found).toMatchObject({ kind: "infinity", module: "head", count: 1 });
  });

  it("lets constants be infinite, as masks are, and leaves the graph as it was", async () => {
    const x = tensor([1, 2]);
    const y = where(x.gt(1), x, Number.NEGATIVE_INFINITY).exp();
    expect(await findAnomaly(y)).toBe(null);
    expect(y.node.value).toBe(null);
    expect(await y.tolist()).toEqual([0, Math.fround(Math.exp(2))]);
  });
});

describe("detectAnomaly", () => {
  it("makes reads reject", async () => {
    const bad = (): Tensor => log(tensor([-1])).add(1);
    expect(await bad().tolist()).toEqual([Number.NaN]);
    await expect(detectAnomaly(async () => bad().tolist())).rejects.toThrow("detectAnomaly: log made NaN in 1 of the elements");
    expect(await bad().tolist()).toEqual([Number.NaN]);
    detectAnomaly(true);
    await expect(bad().data()).rejects.toThrow("detectAnomaly: log made NaN");
    expect(await tensor([1]).add(1).tolist()).toEqual([2]);
  });

  it("looks at pending assignments too", async () => {
    const w = tensor([1]);
    w.assign(log(tensor([-1])));
    await expect(detectAnomaly(() => tensor([1]).add(1).item())).rejects.toThrow("log made NaN");
  });
});
