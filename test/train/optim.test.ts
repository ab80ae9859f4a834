import { describe, expect, it } from "vitest";
import { compile, type Tensor, tensor } from "../../index.js";
import { GLNetTokenLabel, HorNet, nn, Parameter } from "../../models/index.js";
import { AdamW, clipGradNorm, isDecayed, ModelEma, type Optimizer, paramGroups, SGD } from "../../train/index.js";
import { blockScheme, hornetLayerId } from "../../train/optim/groups.js";

const start = [1, -2, 3];
const targets = [0.5, 0.25, -1];
/** Gradient of Σ (p − target)² · (t + 1): another one each step. */
const gradient = (p: number[], t: number): number[] => p.map((x, i) => 2 * (x - targets[i]) * (t + 1));

function lossOf(p: Tensor, factor: Tensor | number): Tensor {
  const d = p.sub(tensor(targets));
  return d.mul(d).sum().mul(factor);
}

async function trajectory(
  make: (p: Parameter) => Optimizer,
  steps: number,
  compiled: boolean,
  lr: (t: number) => number,
): Promise<number[]> {
  const p = new Parameter(tensor(start));
  const optimizer = make(p);
  const body = (factor: Tensor | number): Tensor => {
    const loss = lossOf(p, factor);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss.detach();
  };
  const step = compiled ? compile((factor: Tensor) => body(factor)) : async (factor: Tensor) => body(factor);
  for (let t = 0; t < steps; t++) {
    optimizer.setLr(lr(t));
    await (await step(tensor(t + 1, { dtype: "float32" }))).item();
  }
  expect(optimizer.steps).toBe(steps);
  return [...(await p.data())];
}

function expectClose(got: readonly number[], want: readonly number[], tolerance = 2e-6): void {
  got.forEach((x, i) => {
    expect(Math.abs(x - want[i]), `element ${i}: ${x}, want ${want[i]}`).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(want[i])));
  });
}

const lr = (t: number): number => 0.1 / (t + 1);

for (const compiled of [false, true]) {
  describe(compiled ? "in a compiled step" : "in a plain loop", () => {
    it("AdamW follows its formula", async () => {
      const [b1, b2, eps, decay] = [0.9, 0.99, 1e-8, 0.3];
      let [p, m, v] = [start, [0, 0, 0], [0, 0, 0]];
      for (let t = 0; t < 6; t++) {
        const g = gradient(p, t);
        m = m.map((x, i) => b1 * x + (1 - b1) * g[i]);
        v = v.map((x, i) => b2 * x + (1 - b2) * g[i] * g[i]);
        const root = Math.sqrt(1 - b2 ** (t + 1));
        p = p.map((x, i) => x * (1 - lr(t) * decay) - (lr(t) / (1 - b1 ** (t + 1))) * (m[i] / (Math.sqrt(v[i]) / root + eps)));
      }
      expectClose(await trajectory((q) => new AdamW([q], { betas: [b1, b2], weightDecay: decay }), 6, compiled, lr), p);
    });

    it("SGD follows its formula, with Nesterov's momentum and decay", async () => {
      const [momentum, decay] = [0.9, 0.1];
      let [p, b] = [start, [0, 0, 0]];
      for (let t = 0; t < 5; t++) {
        const g = gradient(p, t).map((x, i) => x + decay * p[i]);
        b = b.map((x, i) => momentum * x + g[i]);
        p = p.map((x, i) => x - lr(t) * 0.2 * (g[i] + momentum * b[i]));
      }
      const make = (q: Parameter) => new SGD([{ params: [q], weightDecay: decay, lrScale: 0.2 }], { momentum, nesterov: true });
      expectClose(await trajectory(make, 5, compiled, lr), p);
    });

    it("plain SGD is p − lr·g", async () => {
      let p = start;
      for (let t = 0; t < 3; t++) p = p.map((x, i) => x - lr(t) * 0.1 * gradient(p, t)[i]);
      expectClose(await trajectory((q) => new SGD([{ params: [q], lrScale: 0.1 }]), 3, compiled, lr), p);
    });
  });
}

describe("optimizers", () => {
  it("leave parameters without a gradient alone", async () => {
    const [a, b] = [new Parameter(tensor([1])), new Parameter(tensor([1]))];
    const optimizer = new AdamW([a, b], { lr: 0.1 });
    a.mul(2).sum().backward();
    optimizer.step();
    expect([...(await b.data())]).toEqual([1]);
    expect((await a.data())[0]).toBeLessThan(1);
  });

  it("go on from a state", async () => {
    const run = async (p: Parameter, optimizer: AdamW, steps: number): Promise<number[]> => {
      for (let t = 0; t < steps; t++) {
        optimizer.zeroGrad();
        lossOf(p, 1).backward();
        optimizer.step();
        await p.data();
      }
      return [...(await p.data())];
    };
    const p = new Parameter(tensor(start));
    const optimizer = new AdamW([p], { lr: 0.1 });
    await run(p, optimizer, 3);
    const copy = new Parameter(tensor(await p.data()));
    const other = new AdamW([copy], { lr: 1 });
    const state = optimizer.stateDict();
    expect([...state.tensors.keys()]).toEqual(["exp_avg.0", "exp_avg_sq.0"]);
    other.loadStateDict(state);
    expect(other.steps).toBe(3);
    expect(await run(copy, other, 3)).toEqual(await run(p, optimizer, 3));
    expect(() => new SGD([copy], { momentum: 0.9 }).loadStateDict(state)).toThrow("SGD.loadStateDict: the state lacks momentum_buffer.0");
  });

  it("refuse what makes no sense", () => {
    const p = new Parameter(tensor(start));
    expect(() => new AdamW([])).toThrow("AdamW: there are no parameters to optimize");
    expect(() => new SGD([p, p])).toThrow("SGD: a parameter is given twice");
    expect(() => new SGD([p], { nesterov: true })).toThrow("SGD: nesterov needs a momentum above 0");
  });
});

describe("clipGradNorm", () => {
  async function clipped(maxNorm: number): Promise<{ norm: number; grads: number[] }> {
    const [a, b] = [new Parameter(tensor([3])), new Parameter(tensor([[2, 0]]))];
    a.sum().mul(3).add(b.sum().mul(4)).backward(); // gradients 3 and [4, 4]
    const norm = clipGradNorm([a, b, new Parameter(tensor([9]))], maxNorm);
    const [n, ga, gb] = await Promise.all([norm.item(), (a.grad as Tensor).data(), (b.grad as Tensor).data()]);
    return { norm: n, grads: [...ga, ...gb] };
  }

  it("scales all gradients by one factor", async () => {
    const { norm, grads } = await clipped(1);
    expect(norm).toBeCloseTo(Math.sqrt(41), 5);
    expectClose(
      grads,
      [3, 4, 4].map((g) => g / (Math.sqrt(41) + 1e-6)),
    );
  });
  it("leaves small ones alone, and only measures with Infinity", async () => {
    expect((await clipped(10)).grads).toEqual([3, 4, 4]);
    expect((await clipped(Number.POSITIVE_INFINITY)).grads).toEqual([3, 4, 4]);
  });
  it("refuses a norm of 0 and parameters without gradients", () => {
    expect(() => clipGradNorm([], 0)).toThrow("clipGradNorm: maxNorm is a number above 0; got 0");
    expect(() => clipGradNorm([new Parameter(tensor([1]))], 1)).toThrow("no parameter has a gradient");
  });
});

describe("parameter groups", () => {
  it("spare vectors, biases and layer scales from decay", () => {
    expect(isDecayed("head.weight", { ndim: 2 })).toBe(true);
    expect(isDecayed("norm.weight", { ndim: 1 })).toBe(false);
    expect(isDecayed("ls1.gamma", { ndim: 4 })).toBe(false);
    expect(isDecayed("slot_scale", { ndim: 0 })).toBe(true);
    expect(isDecayed("dwconv.complex_weight", { ndim: 4 })).toBe(true);
    const groups = paramGroups(new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2)), { weightDecay: 0.05 });
    expect(groups.map(({ name, weightDecay, names }) => [name, weightDecay, names])).toEqual([
      ["decay", 0.05, ["0.weight", "1.weight"]],
      ["no_decay", 0, ["0.bias", "1.bias"]],
    ]);
  });

  it("number the layers of a HorNet as published", () => {
    const ids = (names: string[]): number[] => names.map(hornetLayerId);
    expect(ids([0, 1, 2, 3].map((i) => `downsample_layers.${i}.0.weight`))).toEqual([0, 2, 3, 12]);
    expect(ids(["stages.0.1.gamma1", "stages.1.2.gamma1", "stages.3.0.gamma1", "head.bias", "norm.weight"])).toEqual([1, 2, 12, 13, 13]);
    expect(ids([0, 1, 2, 15, 16, 17].map((j) => `stages.2.${j}.norm1.bias`))).toEqual([3, 3, 4, 10, 11, 11]);
    expect(() => hornetLayerId("blocks.0.weight")).toThrow("blocks.0.weight is no parameter of a HorNet");
  });

  it("number the blocks of a GLNet one by one, between stem and head", () => {
    const model = new GLNetTokenLabel({ dims: [8, 8, 8, 8], depths: [1, 1, 2, 1], headDim: 8, downsampleStyle: "ovlp", numClasses: 3 });
    const { idOf, count } = blockScheme(model);
    expect(count).toBe(7);
    const byId = new Map<number, Set<string>>();
    for (const [name] of model.namedParameters()) {
      const part = /^(downsample_layers\.\d|stages\.\d\.blocks\.\d|\w+)/.exec(name)?.[0] as string;
      byId.set(idOf(name), (byId.get(idOf(name)) ?? new Set()).add(part));
    }
    expect([...byId].sort(([a], [b]) => a - b).map(([id, parts]) => [id, [...parts].sort()])).toEqual([
      [0, ["downsample_layers.0"]],
      [1, ["stages.0.blocks.0"]],
      [2, ["downsample_layers.1", "stages.1.blocks.0"]],
      [3, ["downsample_layers.2", "stages.2.blocks.0"]],
      [4, ["stages.2.blocks.1"]],
      [5, ["downsample_layers.3", "stages.3.blocks.0"]],
      [6, ["head", "norm", "tklb_aux_head"]],
    ]);
    const groups = paramGroups(model, { weightDecay: 0.05, layerDecay: 0.5, layers: blockScheme(model) });
    expect(groups.find(({ layerId }) => layerId === 0)?.lrScale).toBe(0.5 ** 6);
    expect(() => blockScheme(new HorNet({ depths: [1, 1, 1, 1], baseDim: 8 }))).toThrow(
      "the network has no parameters stages.<i>.blocks.<j>.",
    );
  });
});

describe("ModelEma", () => {
  it("follows floating entries and copies counters", async () => {
    const norm = new nn.BatchNorm2d(1);
    const ema = await ModelEma.of(norm, { decay: 0.75 });
    let want = 1;
    for (let t = 1; t <= 3; t++) {
      norm.weight.assign(norm.weight.add(1));
      norm.numBatchesTracked.assign(norm.numBatchesTracked.add(1));
      ema.update();
      want = 0.75 * want + 0.25 * (1 + t);
      expect((await norm.weight.data())[0]).toBe(1 + t);
    }
    const other = new nn.BatchNorm2d(1);
    other.loadStateDict(ema.stateDict());
    expect((await other.weight.data())[0]).toBeCloseTo(want, 6);
    expect((await other.numBatchesTracked.data())[0]).toBe(3);
  });
});
