/** `crabro explain`: what a network becomes: kernels, why they end where they do, memory. */
import { Command, InvalidArgumentError } from "commander";
import { crossEntropy, explain, fromHost, noGrad, OpError } from "../../index.js";
import { createModel, modelInfo } from "../../models/registry.js";
import { whole } from "./flags.js";
import { openDevice } from "./open-device.js";

interface ExplainFlags {
  readonly model: string;
  readonly inputSize?: number;
  readonly batchSize: number;
  readonly train: boolean;
  /** One kernel, all (true), none (false), or as the device says (undefined). */
  readonly source?: number | boolean;
  readonly device?: string;
}

const examples = `
Examples:
  crabro explain --model hornet_micro_7x7
  crabro explain --model hornet_tiny_gf --source 12    with the source of kernel 12
  crabro explain --device wasm                         with the modules of all kernels, as text
`;

function kernelNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("expected the number of a kernel, 1 or more.");
  return value;
}

export function explainCommand(): Command {
  return new Command("explain")
    .description("show the kernels and the memory of a network")
    .option("--model <name>", "network", "hornet_micro_7x7")
    .option("--input-size <pixels>", "side of the images (default: the network's)", whole(1))
    .option("-b, --batch-size <n>", "images", whole(1), 1)
    .option("--train", "forward, loss and gradients, in place of the forward pass alone", false)
    .option("--source [kernel]", "print the source as well, of one kernel or of all (default where a device is named)", kernelNumber)
    .option("--no-source", "print no source")
    .option("--device <name>", "for which device (default: the best there is)")
    .addHelpText("after", examples)
    .action(async (flags: ExplainFlags) => {
      process.stdout.write(`${await describe(flags)}\n`);
    });
}

async function describe({ model: name, inputSize, batchSize, train, source: given, device: deviceName }: ExplainFlags): Promise<string> {
  const source = given ?? deviceName !== undefined;
  const info = modelInfo(name);
  const size = inputSize ?? info.inputSize;
  const device = await openDevice(deviceName ?? "auto");
  try {
    // Without values: nothing is computed, and the largest network needs no memory.
    const model = createModel(name, { meta: true }).train(train);
    const images = fromHost(
      new Float32Array(batchSize * info.inChans * size * size),
      [batchSize, info.inChans, size, size],
      "float32",
      device,
    );
    const explanation = train ? await explainStep() : await explain(noGrad(() => model.forward(images)));
    const { kernels } = explanation;
    if (typeof source === "number" && kernels[source - 1] === undefined) {
      throw new OpError("explain", `there is no kernel ${source}; ${name} has ${kernels.length}`);
    }
    const shown = typeof source === "number" ? [source - 1] : source ? kernels.keys() : [];
    const parts = [String(explanation)];
    for (const at of shown) parts.push(`kernel ${at + 1}  ${kernels[at].name}\n${(await kernels[at].source()).trimEnd()}`);
    return parts.join("\n\n");

    function explainStep() {
      const loss = crossEntropy(model.forward(images), fromHost(new Int32Array(batchSize), [batchSize], "int32", device));
      loss.backward();
      return explain([loss, ...model.parameters().flatMap(({ grad }) => (grad === null ? [] : [grad]))]);
    }
  } finally {
    await device.close();
  }
}
