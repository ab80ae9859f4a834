/** Training steps as the engine sees them: what fuses, what is cached, and that a plain loop runs in constant memory. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compile, crossEntropy, type Device, device, explain, manualSeed, memory, ones, type Tensor, tensor } from "../../index.js";
import { GnConv, HorNet, HorNetBlock } from "../../models/index.js";
import { buildWith } from "../../models/nn/parameter.js";
import { AdamW, clipGradNorm } from "../../train/index.js";

let d: Device;
beforeEach(async () => {
  d = await device("cpu", { verify: true });
});
afterEach(() => d.close());

const wave = (...shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, s) => n * s, 1) }, (_, i) => Math.sin(i * 0.7)),
    { shape, device: d },
  );

describe("fusion", () => {
  it("gnConv is one kernel a convolution: all gating products are epilogues", async () => {
    for (const order of [2, 3, 4, 5]) {
      const conv = buildWith({ device: d }, () => new GnConv(32, { order, s: 1 / 3 }));
      const found = await explain(conv.forward(wave(2, 32, 9, 8)));
      expect(found.kernels.map((k) => k.ops[0])).toEqual(Array.from({ length: order + 2 }, () => "conv2d"));
      // projIn ends in its bias; every other convolution but the last carries a product.
      for (const kernel of found.kernels.slice(1, -1)) expect(kernel.ops).toContain("mul");
    }
  });

  it("a HorNet block is eight kernels and two norms, with a reason for each boundary", async () => {
    const block = buildWith({ device: d }, () => new HorNetBlock(32, { gnconv: { order: 3, s: 1 / 3 } }));
    const found = await explain(block.forward(wave(2, 32, 8, 8)));
    const kinds = found.kernels.map((k) => (k.ops.includes("conv2d") ? "conv2d" : k.ops.includes("matmul") ? "matmul" : "norm"));
    expect(kinds).toEqual(["norm", "conv2d", "conv2d", "conv2d", "conv2d", "conv2d", "norm", "matmul", "matmul"]);
    expect(found.kernels[7].ops).toEqual(["matmul", "add", "gelu"]);
    expect(found.kernels[5].ops).toEqual(["conv2d", "add", "mul"]);
    expect(found.boundaries.length).toBeGreaterThan(5);
    for (const boundary of found.boundaries) expect(boundary.reason.length).toBeGreaterThan(10);
  });

  it("AdamW is one kernel a parameter, with three stores", async () => {
    const shapes = [[4, 3], [7], [2, 3, 3, 3]];
    const parameters = shapes.map((shape) => ones(shape, { device: d }).requiresGrad_());
    const optimizer = new AdamW(parameters, { lr: 0.1, weightDecay: 0.05 });
    for (const p of parameters) p.grad = wave(...p.shape);
    optimizer.step();
    const found = await explain(parameters);
    expect(found.kernels).toHaveLength(parameters.length);
    for (const kernel of found.kernels) expect(kernel.outputs).toBe(3);
  });
});

describe("a plain loop over a network with every layer kind of HorNet", () => {
  const build = (): HorNet =>
    buildWith(
      { device: d },
      () =>
        new HorNet({
          inChans: 1,
          numClasses: 4,
          depths: [1, 1, 1, 1],
          baseDim: 8,
          dropPathRate: 0.1,
          gnconv: [
            { order: 2, s: 1 / 3, dwconv: "7x7" },
            { order: 3, s: 1 / 3, dwconv: "7x7" },
            { order: 3, s: 1 / 3, dwconv: { filter: "gf", h: 2, w: 2 } },
            { order: 3, s: 1 / 3, dwconv: { filter: "gf", h: 2, w: 2 } },
          ],
        }),
    );
  const batch = (step: number): [Tensor, Tensor] => [
    tensor(
      Float32Array.from({ length: 2 * 32 * 32 }, (_, i) => Math.sin(i * 0.1 * (1 + (step % 4)))),
      { shape: [2, 1, 32, 32], device: d },
    ),
    tensor([step % 4, (step + 1) % 4], { dtype: "int32", device: d }),
  ];

  it.each(["cpu", "wasm"])(
    "holds the same buffers after step 10 and after step 500, and hits the plan cache from the third step on: %s",
    async (name) => {
      d = await device(name, { verify: true });
      const model = build().train();
      const parameters = [...model.parameters()];
      const optimizer = new AdamW(parameters, { lr: 1e-3 });
      let early = memory(d);
      let cached = d.planCache();
      for (let step = 1; step <= 500; step++) {
        const [x, y] = batch(step);
        const loss = crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        clipGradNorm(parameters, 5);
        optimizer.step();
        await loss.item();
        if (step === 2) cached = d.planCache();
        if (step === 10) early = memory(d);
      }
      const late = memory(d);
      expect([late.liveBuffers, late.liveBytes]).toEqual([early.liveBuffers, early.liveBytes]);
      expect(late.pooledBytes).toBe(early.pooledBytes);
      expect(d.planCache().misses).toBe(cached.misses);
      expect(d.planCache().hits).toBe(cached.hits + 498);
    },
    240_000,
  );

  it("gives the same losses whether a metric is read after the step, before backward, or never, and compiled", async () => {
    type Reading = "after" | "before" | "never";
    const run = async (reading: Reading): Promise<{ losses: number[]; live: number[] }> => {
      manualSeed(3);
      const model = build().train();
      const optimizer = new AdamW([...model.parameters()], { lr: 1e-3 });
      const losses: number[] = [];
      const live: number[] = [];
      for (let step = 0; step < 12; step++) {
        const [x, y] = batch(step);
        const logits = model.forward(x);
        const loss = crossEntropy(logits, y);
        const metric = logits.detach().abs().sum();
        if (reading === "before") await metric.item();
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        losses.push(await loss.item());
        if (reading === "after") await metric.item();
        live.push(memory(d).liveBytes);
      }
      optimizer.dispose?.();
      model.dispose();
      return { losses, live };
    };
    const never = await run("never");
    for (const reading of ["after", "before"] as const) {
      const other = await run(reading);
      // Other plans round elsewhere, and Adam's quotient turns the last bit of a small gradient into a visible step.
      other.losses.forEach((loss, i) => {
        expect(loss).toBeCloseTo(never.losses[i], 3);
      });
      expect(other.live[11]).toBe(other.live[4]);
    }
    expect(never.live[11]).toBe(never.live[4]);

    manualSeed(3);
    const model = build().train();
    const optimizer = new AdamW([...model.parameters()], { lr: 1e-3 });
    const step = compile((x: Tensor, y: Tensor) => {
      const loss = crossEntropy(model.forward(x), y);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    for (let i = 0; i < 12; i++) expect(await (await step(...batch(i))).item()).toBeCloseTo(never.losses[i], 3);
  }, 240_000);
});
