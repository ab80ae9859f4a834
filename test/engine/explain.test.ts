/** What becomes one kernel, and why the rest does not. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device, explain, gelu, layerNorm, linear, matmul, profile, softmax, tensor } from "../../index.js";

let d: Device;
beforeAll(async () => {
  d = await device("cpu", { verify: true });
});
afterAll(() => d.close());

const random = (...shape: number[]): ReturnType<typeof tensor> =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, s) => n * s, 1) }, (_, i) => Math.sin(i)),
    { shape, device: d },
  );

describe("explain", () => {
  it("layer norm forward is one kernel", async () => {
    const x = random(4, 8, 32);
    const found = await explain(layerNorm(x, [32], { weight: random(32), bias: random(32) }));
    expect(found.kernels).toHaveLength(1);
    expect(found.kernels[0].outputs).toBe(1);
  });

  it("softmax is one kernel", async () => {
    expect((await explain(softmax(random(8, 16), { dim: -1 }))).kernels).toHaveLength(1);
  });

  it("bias and GELU are an epilogue of their matmul, of any rank", async () => {
    const found = await explain(gelu(linear(random(2, 5, 16), random(24, 16), { bias: random(24) })));
    expect(found.kernels).toHaveLength(1);
    expect(found.kernels[0].ops).toEqual(["matmul", "add", "gelu"]);
  });

  it("gives a reason for each boundary, the IR, the source and the memory plan", async () => {
    const a = matmul(random(8, 8), random(8, 8));
    const found = await explain(matmul(a, random(8, 8)));
    expect(found.kernels).toHaveLength(2);
    expect(found.boundaries).toHaveLength(1);
    expect(found.boundaries[0].reason).toMatch(/many/);
    expect(found.kernels[0].ir).toMatch(/8/);
    expect(await found.kernels[0].source()).toMatch(/for/);
    expect(found.memory.temporaryBytes).toBeGreaterThan(0);
    expect(String(found)).toContain("not fused");
    expect(found.kernels[0].flops).toBe(2 * 8 * 8 * 8);
  });

  it("computes nothing", async () => {
    const x = random(4).exp();
    await explain(x);
    expect(x.node.value).toBeNull();
  });
});

describe("profile", () => {
  it("times each kernel", async () => {
    const x = random(32, 32);
    const found = await profile(() => matmul(x, x).data(), { device: d });
    expect(found.kernels).toHaveLength(1);
    expect(found.kernels[0]).toMatchObject({ launches: 1, flops: 2 * 32 ** 3 });
    expect(found.kernels[0].milliseconds).toBeGreaterThan(0);
    expect(String(found)).toContain("FLOP/s");
  });
});
