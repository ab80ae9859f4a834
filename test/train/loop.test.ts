/** A whole training in small: it learns, compiled and plain steps agree, and it can be repeated. */
import { describe, expect, it } from "vitest";
import { manualSeed } from "../../index.js";
import { createModel } from "../../models/index.js";
import { AdamW, constantRate, DataLoader, evaluation, paramGroups, synthetic, trainEpoch, trainingStep } from "../../train/index.js";

const dataset = synthetic({ length: 32, numClasses: 4, noise: 0.2 });

async function run(compiled: boolean, epochs: number, lr = 4e-3): Promise<{ losses: number[]; top1: number; loss: number }> {
  manualSeed(1);
  const model = createModel("hornet_micro_gf", { numClasses: 4 });
  const optimizer = new AdamW(paramGroups(model, { weightDecay: 0.05 }), { lr });
  const loader = new DataLoader(dataset, { batchSize: 8, shuffle: true, seed: 3 });
  const step = trainingStep(model, optimizer, { labelSmoothing: 0.1, clipGrad: 5, compiled });
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    await trainEpoch(step, loader, {
      epoch,
      schedule: constantRate(lr),
      optimizer,
      onStep: ({ measures }) => losses.push(measures.loss.last),
    });
  }
  const { top1, loss } = await evaluation(model)(new DataLoader(dataset, { batchSize: 16 }));
  model.dispose();
  optimizer.dispose();
  return { losses, top1, loss };
}

describe("training", () => {
  it("learns, and is the same each time, compiled or not", async () => {
    const first = await run(true, 3);
    expect(first.top1).toBe(100);
    expect(first.losses.at(-1)).toBeLessThan(0.5 * first.losses[0]);
    const again = await run(true, 1);
    expect(again.losses).toEqual(first.losses.slice(0, again.losses.length));
    const plain = await run(false, 1);
    plain.losses.forEach((loss, i) => {
      expect(Math.abs(loss - first.losses[i])).toBeLessThan(1e-4);
    });
  });

  it("stops when the loss is no number", async () => {
    await expect(run(true, 3, 1e30)).rejects.toThrow(/^train: the loss is (NaN|Infinity) at step \d of epoch 0; try a lower learning rate/);
  });
});
