/** Steps: those that are no numbers, accumulation, token labels, names of what went wrong. */
import { describe, expect, it } from "vitest";
import { defaultGenerator, fromHost, manualSeed, noGrad, type Tensor } from "../../index.js";
import { GLNetTokenLabel } from "../../models/index.js";
import { BatchNorm2d, Conv2d, Linear, Module } from "../../models/nn/index.js";
import {
  AdamW,
  type Batch,
  classLesson,
  constantRate,
  DataLoader,
  locateAnomaly,
  lossOf,
  ModelEma,
  paramGroups,
  SGD,
  synthetic,
  tokenLabelLoss,
  trainEpoch,
  trainingStep,
} from "../../train/index.js";

const dataset = synthetic({ length: 16, numClasses: 4, noise: 0.2, side: 8 });

class Block extends Module {
  readonly conv = new Conv2d(1, 6, 3, { padding: 1 });
  readonly norm = new BatchNorm2d(6);

  override forward(x: Tensor): Tensor {
    return this.norm.forward(this.conv.forward(x)).relu();
  }
}

/** Small, with running statistics. */
class Tiny extends Module {
  readonly block: Block | Conv2d;
  readonly head = new Linear(6, 4);

  constructor(normed = true) {
    super();
    this.block = normed ? new Block() : new Conv2d(1, 6, 3, { padding: 1 });
  }

  override forward(x: Tensor): Tensor {
    return this.head.forward(
      this.block
        .forward(x)
        .relu()
        .mean({ dim: [2, 3] }),
    );
  }
}

async function batchesOf(batchSize: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of new DataLoader(dataset, { batchSize }).epoch()) batches.push(batch);
  return batches;
}

async function values(model: Module): Promise<Float32Array[]> {
  return Promise.all([...model.stateDict()].map(async ([, tensor]) => (await tensor.data()).slice() as Float32Array));
}

function poisoned(batch: Batch): Batch {
  return { ...batch, images: batch.images.mul(fromHost(Float32Array.of(Number.POSITIVE_INFINITY), [], "float32")) };
}

describe("a step that is no number", () => {
  for (const compiled of [true, false]) {
    it(`changes nothing under guard, and training goes on (${compiled ? "compiled" : "plain"})`, async () => {
      manualSeed(1);
      const model = new Tiny();
      const optimizer = new AdamW(paramGroups(model, { weightDecay: 0.05 }), { lr: 1e-3 });
      const ema = await ModelEma.of(model, { decay: 0.5 });
      const step = trainingStep(model, optimizer, { guard: true, compiled, clipGrad: 5, ema });
      const [first, second] = await batchesOf(8);
      expect((await step([first])).finite).toBe(true);
      const before = await values(model);
      const average = (await [...ema.stateDict().values()][0].data()).slice();
      const bad = await step([poisoned(second)]);
      expect([bad.finite, optimizer.steps]).toEqual([false, 1]);
      expect(await values(model)).toEqual(before);
      expect(await [...ema.stateDict().values()][0].data()).toEqual(average);
      expect((await step([second])).finite).toBe(true);
      expect(optimizer.steps).toBe(2);
      expect((await values(model))[0]).not.toEqual(before[0]);
    });
  }

  it("is located: operation and module", async () => {
    manualSeed(1);
    const model = new Tiny();
    const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
    const block = model.getSubmodule("block");
    block.registerForwardHook((_, __, output) => (output as Batch["images"]).sub(1e9).sqrt());
    const [batch] = await batchesOf(8);
    const step = trainingStep(model, optimizer, { guard: true });
    const { counter } = defaultGenerator;
    expect((await step([batch])).finite).toBe(false);
    const found = await locateAnomaly(model, optimizer, classLesson(model), [batch], counter);
    expect(found).toMatchObject({ kind: "NaN", op: "sqrt", module: "block" });
  });

  it("can be left out by the loop, and counts as skipped", async () => {
    manualSeed(1);
    const model = new Tiny();
    const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
    const inner = trainingStep(model, optimizer, { guard: true });
    let calls = 0;
    const bad: number[] = [];
    const { measures } = await trainEpoch(
      ([batch]) => inner([++calls === 2 ? poisoned(batch) : batch]),
      new DataLoader(dataset, { batchSize: 4 }),
      { epoch: 0, schedule: constantRate(1e-3), optimizer, onBad: ({ batch }) => bad.push(batch) },
    );
    expect([bad, measures.skipped, measures.loss.count]).toEqual([[1], 1, 12]);
  });
});

describe("accumulation", () => {
  it("of two batches is a step with both", async () => {
    const run = async (size: number, compiled: boolean): Promise<Float32Array[]> => {
      manualSeed(2);
      const model = new Tiny(false);
      const optimizer = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
      const step = trainingStep(model, optimizer, { accumulates: size < 16, compiled, clipGrad: 5, labelSmoothing: 0.1 });
      const batches = await batchesOf(size);
      for (let i = 0; i < 2; i++) expect((await step(batches)).samples).toBe(16);
      return values(model);
    };
    const whole = await run(16, true);
    for (const parts of [await run(8, true), await run(8, false)]) {
      parts.forEach((part, k) => {
        part.forEach((value, i) => {
          // Sums in another order: some float32 steps of values up to about 1.
          expect(Math.abs(value - whole[k][i])).toBeLessThan(2e-5);
        });
      });
    }
  });
});

describe("token labels", () => {
  it("are what a network with a head for tokens is trained with when asked", async () => {
    manualSeed(3);
    const model = new GLNetTokenLabel({ depths: [1, 1, 1, 1], dims: [16, 16, 32, 32], headDim: 16, numClasses: 4, tokenBox: [0, 0, 1, 2] });
    const loader = new DataLoader(synthetic({ length: 2, numClasses: 4, side: 64, channels: 3 }), {
      batchSize: 2,
      targets: { classes: 4, smoothing: 0.1 },
    });
    const { images, targets } = (await loader.epoch().next()).value as Batch;
    const { loss } = noGrad(() => lossOf(model, images, targets, { tokenLabels: { denseWeight: 0.25 } }));
    const wanted = noGrad(() => tokenLabelLoss(model.forwardTraining(images), targets, { denseWeight: 0.25 }));
    expect(await loss.item()).toBe(await wanted.item());
    expect(await noGrad(() => lossOf(model, images, targets, {})).loss.item()).not.toBe(await wanted.item());
  });
});
