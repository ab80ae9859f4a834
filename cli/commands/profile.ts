/** `crabro profile`: the kernels of a network, timed, against what the device can do. */
import { Command } from "commander";
import { compile, fromHost, noGrad, profile } from "../../index.js";
import { createModel, modelInfo } from "../../models/registry.js";
import { writeAtomically } from "../../train/checkpoint.js";
import { AdamW } from "../../train/optim/adamw.js";
import { trainStep } from "../../train/step.js";
import { whole } from "./flags.js";
import { openDevice } from "./open-device.js";

interface ProfileFlags {
  readonly model: string;
  readonly inputSize?: number;
  readonly batchSize: number;
  readonly train: boolean;
  readonly steps: number;
  readonly roofline: boolean;
  readonly trace?: string;
  readonly device: string;
  readonly tune: boolean;
}

const examples = `
Examples:
  crabro profile --train --trace step.json    a training step of the micro HorNet, for ui.perfetto.dev too
  crabro profile --model hornet_tiny_7x7 --input-size 64 --device webgpu
`;

export function profileCommand(): Command {
  return new Command("profile")
    .description("time the kernels of a network, against the device's measured roofline")
    .option("--model <name>", "network", "hornet_micro_7x7")
    .option("--input-size <pixels>", "side of the images (default: the network's)", whole(1))
    .option("-b, --batch-size <n>", "images a step", whole(1), 16)
    .option("--train", "training steps, in place of the forward pass alone", false)
    .option("--steps <n>", "steps that are timed, after two that are not", whole(1), 3)
    .option("--no-roofline", "do not measure what the device can do at best")
    .option("--trace <file>", "also write every launch, for chrome://tracing or ui.perfetto.dev")
    .option("--device <name>", "where to compute", "auto")
    .option("--tune", "on webgpu, measure schedules first and take the fastest; they are remembered", false)
    .addHelpText("after", examples)
    .action(async (flags: ProfileFlags) => {
      process.stdout.write(`${await run(flags)}\n`);
    });
}

async function run({
  model: name,
  inputSize,
  batchSize,
  train,
  steps,
  roofline,
  trace,
  device: deviceName,
  tune,
}: ProfileFlags): Promise<string> {
  const { inChans, numClasses, inputSize: usual } = modelInfo(name);
  const size = inputSize ?? usual;
  const device = await openDevice(deviceName, { tune });
  try {
    const model = createModel(name).train(train);
    const pixels = Float32Array.from({ length: batchSize * inChans * size * size }, (_, i) => Math.sin(i));
    const images = fromHost(pixels, [batchSize, inChans, size, size], "float32", device);
    const labels = fromHost(
      Int32Array.from({ length: batchSize }, (_, i) => i % numClasses),
      [batchSize],
      "int32",
      device,
    );
    const trained = compile(trainStep(model, new AdamW(model.parameters(), { lr: 1e-3 }), { clipGrad: 5 }));
    const forward = compile((x: typeof images) => noGrad(() => model.forward(x)));
    const step = async () => (train ? (await trained(images, labels)).loss : await forward(images)).data();
    for (let i = 0; i < 2; i++) await step();
    const found = await profile(
      async () => {
        for (let i = 0; i < steps; i++) await step();
      },
      { device, roofline },
    );
    if (trace !== undefined) writeAtomically(trace, new TextEncoder().encode(found.trace()));
    return `${name}, ${train ? "training" : "forward"}, ${steps} steps of ${batchSize} × ${size} × ${size}, on ${device.describe()}\n${found}`;
  } finally {
    await device.close();
  }
}
