/** Kernels one by one, and whole steps, timed through the engine as a program would run them. */
import {
  compile,
  conv2d,
  type Device,
  fromHost,
  gelu,
  layerNorm,
  matmul,
  memory,
  noGrad,
  profile,
  type Roofline,
  realize,
  rfft2,
  scaledDotProductAttention,
  softmax,
  type Tensor,
} from "../../index.js";
import { createModel, modelInfo, nn } from "../../models/index.js";
import { AdamW, trainStep } from "../../train/index.js";
import type { Row } from "./report.js";
import type { StepWorkload, Workload } from "./workloads.js";

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Median device time of a workload's kernels, and its share of the roofline. */
export async function measureKernel(on: Device, work: Workload, roofline: Roofline, rounds: number): Promise<Row> {
  const run = prepare(on, work);
  const rates: { milliseconds: number; flops: number; bytes: number }[] = [];
  for (let i = 0; i < rounds + 2; i++) {
    const { kernels, milliseconds } = await profile(run, { device: on });
    const sum = (key: "flops" | "bytes"): number => kernels.reduce((n, kernel) => n + kernel[key], 0);
    if (i >= 2) rates.push({ milliseconds, flops: sum("flops"), bytes: sum("bytes") });
  }
  const milliseconds = median(rates.map((rate) => rate.milliseconds));
  const { flops, bytes } = rates[0];
  const seconds = milliseconds / 1e3;
  const share = milliseconds > 0 ? Math.max(flops / roofline.flopsPerSecond, bytes / roofline.bytesPerSecond) / seconds : null;
  return { part: "kernels", name: work.name, milliseconds, flopsPerSecond: flops / seconds, bytesPerSecond: bytes / seconds, share };
}

/** A function that runs the workload's kernels on inputs that are there already. */
function prepare(on: Device, work: Workload): () => Promise<void> {
  const data = (...shape: number[]): Tensor => {
    const length = shape.reduce((n, size) => n * size, 1);
    return fromHost(
      Float32Array.from({ length }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5),
      shape,
      "float32",
      on,
    ).mul(1);
  };
  const after = (inputs: readonly Tensor[], result: (...inputs: Tensor[]) => Tensor) => async (): Promise<void> => {
    await realize(...inputs);
    const y = result(...inputs);
    await realize(y);
    y.dispose();
  };
  switch (work.kind) {
    case "add":
      return after([data(work.elements), data(work.elements)], (x, y) => x.add(y));
    case "gelu":
      return after([data(work.elements)], (x) => gelu(x));
    case "matmul":
      return after([data(work.m, work.k), data(work.k, work.n)], (x, y) => matmul(x, y));
    case "softmax":
      return after([data(work.rows, work.columns)], (x) => softmax(x, { dim: 1 }));
    case "layerNorm":
      return after([data(work.rows, work.columns), data(work.columns)], (x, weight) =>
        layerNorm(x, [work.columns], { weight, bias: weight }),
      );
    case "channelNorm": {
      const norm = nn.buildWith({ device: on }, () => new nn.LayerNorm(work.channels, { dataFormat: "channels_first" }));
      return after([data(work.n, work.channels, work.size, work.size)], (x) => noGrad(() => norm.forward(x)));
    }
    case "rfft2":
      return after([data(work.n, work.channels, work.size, work.size)], (x) => rfft2(x, { dim: [2, 3] }));
    case "attention": {
      const shape = [work.n, work.heads, work.length, work.width];
      return after([data(...shape), data(...shape), data(...shape)], (q, k, v) => scaledDotProductAttention(q, k, v));
    }
    case "adamw": {
      const parameter = data(work.elements).detach().requiresGrad_();
      const optimizer = new AdamW([parameter], { lr: 1e-3, weightDecay: 0.05 });
      const gradient = data(work.elements);
      return async () => {
        await realize(parameter, gradient);
        parameter.grad = gradient;
        optimizer.step();
        await realize(parameter);
      };
    }
    case "conv": {
      const { n, channels, out, size, kernel, groups, pass } = work;
      const x = data(n, channels, size, size);
      const weight = data(out, channels / groups, kernel, kernel);
      const options = { padding: kernel >> 1, groups };
      if (pass === "forward") return after([x, weight], (image, w) => conv2d(image, w, options));
      const upstream = data(n, out, size, size);
      return after([x, weight, upstream], (image, w, gradient) => {
        const leaf = (pass === "inputGrad" ? image : w).detach().requiresGrad_();
        const y = pass === "inputGrad" ? conv2d(leaf, w, options) : conv2d(image, leaf, options);
        y.backward({ gradient });
        return leaf.grad as Tensor;
      });
    }
  }
}

/** A network's step: wall-clock, and what of it are kernels. Inputs are uploaded each time, and the loss is read. */
export async function measureStep(on: Device, work: StepWorkload, rounds: number): Promise<Row> {
  const { inChans, numClasses } = modelInfo(work.model);
  const model = nn.buildWith({ device: on }, () => createModel(work.model)).train(work.train);
  const optimizer = new AdamW(model.parameters(), { lr: 1e-4, weightDecay: 0.05 });
  const pixels = Float32Array.from({ length: work.batch * inChans * work.size ** 2 }, (_, i) => Math.sin(i));
  const classes = Int32Array.from({ length: work.batch }, (_, i) => i % numClasses);
  const trained = compile(trainStep(model, optimizer, { clipGrad: 5 }));
  const forward = compile((x: Tensor) => noGrad(() => model.forward(x)));
  const images = (): Tensor => fromHost(pixels, [work.batch, inChans, work.size, work.size], "float32", on);
  const step = async (): Promise<void> => {
    if (work.train) await (await trained(images(), fromHost(classes, [work.batch], "int32", on))).loss.item();
    else await (await forward(images())).data();
  };
  const times: number[] = [];
  for (let i = 0; i < rounds + 3; i++) {
    const start = performance.now();
    await step();
    if (i >= 3) times.push(performance.now() - start);
  }
  const { milliseconds: kernels, kernels: list } = await profile(step, { device: on });
  const milliseconds = median(times);
  const flops = list.reduce((n, kernel) => n + kernel.flops, 0);
  optimizer.dispose();
  model.dispose();
  on.pool.trim();
  const note = `kernels ${kernels.toFixed(1)} ms, ${((work.batch / milliseconds) * 1e3).toFixed(0)} images/s`;
  return {
    part: "steps",
    name: work.name,
    milliseconds,
    flopsPerSecond: (1e3 * flops) / milliseconds,
    bytesPerSecond: null,
    share: null,
    note,
  };
}

export interface MemoryFigures {
  readonly steps: number;
  readonly earlyBytes: number;
  readonly lateBytes: number;
  /** Plans made after the tenth step. */
  readonly laterPlans: number;
}

/** Live and pooled bytes after ten steps of a plain loop over the micro HorNet, and at its end. */
export async function measureMemory(on: Device, steps: number, batch: number): Promise<MemoryFigures> {
  const model = nn.buildWith({ device: on }, () => createModel("hornet_micro_7x7")).train();
  const optimizer = new AdamW(model.parameters(), { lr: 1e-4 });
  const step = trainStep(model, optimizer, { clipGrad: 5 });
  const bytes = (): number => memory(on).liveBytes + memory(on).pooledBytes;
  const pixels = Float32Array.from({ length: batch * 1024 }, (_, i) => Math.sin(i));
  let earlyBytes = 0;
  let plans = 0;
  for (let i = 1; i <= steps; i++) {
    const labels = fromHost(
      Int32Array.from({ length: batch }, (_, j) => (i + j) % 10),
      [batch],
      "int32",
      on,
    );
    await step(fromHost(pixels, [batch, 1, 32, 32], "float32", on), labels).loss.item();
    if (i === Math.min(10, steps - 1)) {
      earlyBytes = bytes();
      plans = on.planCache().misses;
    }
  }
  const figures = { steps, earlyBytes, lateBytes: bytes(), laterPlans: on.planCache().misses - plans };
  optimizer.dispose();
  model.dispose();
  return figures;
}
