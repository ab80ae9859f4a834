/**
 * `npm run bench -- steps`: a training step of the micro HorNet (batch 64, 32 × 32): its kernels, and the host's own work in a plain loop
 * and compiled.
 */
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { compile, crossEntropy, defaultDevice, device, profile, setDefaultDevice, type Tensor, tensor } from "../index.js";
import { createModel } from "../models/index.js";
import { AdamW, clipGradNorm } from "../train/index.js";
import { type Measured, measure } from "./measure.js";

const batchSize = 64;

interface StepFigures extends Measured {
  /** Kernels of one step. */
  readonly kernels: number;
  /** Time in kernels, and besides them, of one step. */
  readonly kernelMilliseconds: number;
  readonly hostMilliseconds: number;
  /** Work of the kernels as counted by the plan, over the time they took. */
  readonly gigaflops: number;
}

async function measureSteps(seconds: number): Promise<StepFigures[]> {
  const model = createModel("hornet_micro_7x7").train();
  const parameters = [...model.parameters()];
  const optimizer = new AdamW(parameters, { lr: 1e-3, weightDecay: 0.05 });
  const images = Float32Array.from({ length: batchSize * 32 * 32 }, (_, i) => Math.sin(i * 0.37));
  const x = (): Tensor => tensor(images, { shape: [batchSize, 1, 32, 32] });
  const y = (): Tensor =>
    tensor(
      Array.from({ length: batchSize }, (_, i) => i % 10),
      { dtype: "int32" },
    );
  const body = (input: Tensor, target: Tensor): Tensor => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(input), target, { labelSmoothing: 0.1 });
    loss.backward();
    clipGradNorm(parameters, 5);
    optimizer.step();
    return loss;
  };
  const compiled = compile(body);
  const ways: readonly (readonly [string, () => Promise<number>])[] = [
    ["compiled", async () => (await compiled(x(), y())).item()],
    ["plain loop", async () => body(x(), y()).item()],
  ];
  const out: StepFigures[] = [];
  for (const [name, step] of ways) {
    const measured = await measure(name, step, { seconds });
    const rounds = 10;
    const start = performance.now();
    const found = await profile(async () => {
      for (let i = 0; i < rounds; i++) await step();
    });
    const wall = performance.now() - start;
    out.push({
      ...measured,
      kernels: found.kernels.reduce((n, k) => n + k.launches, 0) / rounds,
      kernelMilliseconds: found.milliseconds / rounds,
      hostMilliseconds: (wall - found.milliseconds) / rounds,
      gigaflops: found.kernels.reduce((n, k) => n + k.flops, 0) / found.milliseconds / 1e6,
    });
  }
  console.log(`device ${defaultDevice().describe()}`);
  return out;
}

export function stepsCommand(): Command {
  return new Command("steps")
    .description("a training step of the micro HorNet: its kernels, and the host's own work")
    .option("--device <name>", "where", "cpu")
    .option("--quick", "measure for a short time", false)
    .option("--json <file>", "write the figures")
    .action(async ({ device: name, quick, json }: { readonly device: string; readonly quick: boolean; readonly json?: string }) => {
      setDefaultDevice(await device(name));
      const figures = await measureSteps(quick ? 2 : 10);
      for (const f of figures) {
        console.log(
          `${f.name.padEnd(12)} ${f.milliseconds.toFixed(1).padStart(8)} ms a step (±${f.margin.toFixed(1)} %, ${f.samples} samples)  ` +
            `${f.kernels} kernels ${f.kernelMilliseconds.toFixed(1)} ms at ${f.gigaflops.toFixed(2)} GFLOP/s, host ${f.hostMilliseconds.toFixed(1)} ms`,
        );
      }
      if (json !== undefined) await writeFile(json, `${JSON.stringify({ node: process.version, figures }, null, 2)}\n`);
      await defaultDevice().close();
    });
}
