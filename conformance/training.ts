/** The losses of a short training, to be the same on every device; and what its memory and its plan cache do meanwhile. */
import { compile, type Device, defaultDevice, fromHost, manualSeed, memory, setDefaultDevice, type Tensor } from "../index.js";
import { type Classifier, createModel } from "../models/registry.js";
import { AdamW } from "../train/optim/adamw.js";
import { cosine } from "../train/schedule.js";
import { trainStep } from "../train/step.js";

export interface TrainingOptions {
  readonly steps: number;
  readonly warmupSteps: number;
  readonly batchSize?: number;
  /** A step is built anew each time, in place of a compiled one. */
  readonly plain?: boolean;
  /** Default: the micro HorNet. Built on the default device. */
  readonly build?: () => Classifier;
}

export interface TrainingStep {
  readonly loss: number;
  readonly liveBytes: number;
  readonly pooledBytes: number;
  /** Plans looked for in vain since the device opened. */
  readonly misses: number;
  readonly milliseconds: number;
}

/** Trains on made-up images of 32 × 32 that differ from step to step, with a warm-up of the rate; `onStep` hears of each step. */
export async function training(
  on: Device,
  options: TrainingOptions,
  onStep: (step: TrainingStep) => void = () => {},
): Promise<TrainingStep[]> {
  const { steps, warmupSteps, batchSize = 16, plain = false, build = () => createModel("hornet_micro_7x7") } = options;
  const before = defaultDevice();
  setDefaultDevice(on);
  try {
    manualSeed(7);
    const model = build().train();
    const optimizer = new AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.05 });
    const schedule = cosine({ lr: 1e-3, totalSteps: steps, warmupSteps });
    const built = trainStep(model, optimizer, { labelSmoothing: 0.1, clipGrad: 5 });
    const step = plain ? async (images: Tensor, labels: Tensor) => built(images, labels) : compile(built);
    const done: TrainingStep[] = [];
    for (let s = 0; s < steps; s++) {
      const start = performance.now();
      optimizer.setLr(schedule(s));
      const pixels = Float32Array.from({ length: batchSize * 1024 }, (_, i) => Math.sin(0.05 * (i % 1024) * (1 + ((i >> 10) % 10)) + s));
      const images = fromHost(pixels, [batchSize, 1, 32, 32], "float32", on);
      const labels = fromHost(
        Int32Array.from({ length: batchSize }, (_, i) => i % 10),
        [batchSize],
        "int32",
        on,
      );
      const loss = await (await step(images, labels)).loss.item();
      const { liveBytes, pooledBytes } = memory(on);
      const figures = { loss, liveBytes, pooledBytes, misses: on.planCache().misses, milliseconds: performance.now() - start };
      done.push(figures);
      onStep(figures);
    }
    optimizer.dispose();
    model.dispose();
    return done;
  } finally {
    setDefaultDevice(before);
  }
}
