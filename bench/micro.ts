/** `npm run bench -- micro [devices…] [--profile]`: a training step of the micro HorNet on several devices; `wasm:2` is wasm on 2 threads. */
import { Command } from "commander";
import * as crabro from "../index.js";
import { createModel } from "../models/index.js";
import { AdamW, trainStep } from "../train/index.js";

const batch = 64;
const rounds = 10;

async function measure(name: string, profile: boolean): Promise<number> {
  const [backend, threads] = name.split(":");
  const device = await crabro.device(backend, threads === undefined ? {} : { threads: Number(threads) });
  crabro.setDefaultDevice(device);
  crabro.manualSeed(1);
  const model = createModel("hornet_micro_7x7");
  const optimizer = new AdamW(model.parameters(), { lr: 4e-3 });
  const step = crabro.compile(trainStep(model, optimizer, { labelSmoothing: 0.1, clipGrad: 5 }));
  const images = crabro.rand([batch, 1, 32, 32]);
  const labels = crabro.tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: "int32" },
  );
  const losses: number[] = [];
  const times: number[] = [];
  for (let i = 0; i < rounds + 3; i++) {
    const start = performance.now();
    losses.push(await (await step(images, labels)).loss.item());
    if (i >= 3) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  console.log(
    `${name}: ${median.toFixed(1)} ms a step (least ${times[0].toFixed(1)}); losses ${losses.slice(0, 3).map((x) => x.toFixed(5))}`,
  );
  if (profile) console.log(String(await crabro.profile(async () => (await step(images, labels)).loss.item())));
  await device.close();
  return median;
}

export function microCommand(): Command {
  return new Command("micro")
    .description("a training step of the micro HorNet on several devices")
    .argument("[devices...]", "wasm:2 is wasm on 2 threads", ["cpu", "wasm"])
    .option("--profile", "show its kernels", false)
    .action(async (devices: readonly string[], { profile }: { readonly profile: boolean }) => {
      const medians: number[] = [];
      for (const name of devices) medians.push(await measure(name, profile));
      if (medians.length === 2) console.log(`ratio ${(medians[0] / medians[1]).toFixed(2)}`);
    });
}
