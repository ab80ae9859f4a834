/** `crabro convert`: weights from one format, dtype or part of a checkpoint to another. */
import { statSync } from "node:fs";
import { Command, Option } from "commander";
import { OpError } from "../../engine/errors.js";
import { createModel } from "../../models/index.js";
import { readWeights, writeWeights } from "../../models/node.js";
import { compareState, showLoadReport } from "../../models/state.js";
import { castStored, isStoredFloat, type StoredFloat } from "../../models/weights/cast.js";

interface ConvertFlags {
  readonly at?: string;
  readonly under?: string;
  readonly dtype?: keyof typeof dtypes;
  readonly model?: string;
}

const dtypes = { float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" } as const satisfies Record<string, StoredFloat>;

const examples = `
Examples:
  crabro convert hornet_tiny_7x7.pth hornet_tiny_7x7.safetensors --model hornet_tiny_7x7
  crabro convert checkpoint.pth average.safetensors --at model_ema --dtype float16
  crabro convert runs/mnist/model.safetensors model.pth --under model    for torch.load
`;

export function convertCommand(): Command {
  return new Command("convert")
    .description("write the weights of a PyTorch or safetensors file as either, in the dtype wanted")
    .argument("<from>", "file of weights: .pth, .pt or .safetensors")
    .argument("<to>", "file to write; its ending decides the format: .safetensors, .pth or .pt")
    .option("--at <path>", "where in a PyTorch file the state lies (default: where checkpoints have it)")
    .option("--under <key>", "put the state of a PyTorch file under this key, such as model (default: at the top)")
    .addOption(new Option("--dtype <name>", "dtype of the floating tensors (default: as they are)").choices(Object.keys(dtypes)))
    .option("--model <name>", "refuse unless the entries are exactly those of this network")
    .addHelpText("after", examples)
    .action((from: string, to: string, flags: ConvertFlags) => {
      console.log(convert(from, to, flags));
    });
}

/** Converts a file, a tensor at a time; returns what was done in a line. */
export function convert(from: string, to: string, { at, under, dtype, model }: ConvertFlags): string {
  const { tensors, metadata } = readWeights(from, { at });
  if (model !== undefined) {
    const { missing, unexpected, mismatched } = compareState(createModel(model, { meta: true }).stateDict(), tensors);
    const problems = showLoadReport({ missing, unexpected, mismatched });
    if (problems !== "") throw new OpError("convert", `${from} does not fit ${model}: ${problems}`);
  }
  const converted = [...tensors].map(([name, tensor]) => {
    const floating = dtype !== undefined && isStoredFloat(tensor.dtype);
    return [name, floating ? castStored(tensor, dtypes[dtype]) : tensor] as const;
  });
  writeWeights(to, converted, { at: under, metadata: to.endsWith(".safetensors") ? metadata : undefined });
  return `wrote ${converted.length} tensors, ${(statSync(to).size / 1e6).toFixed(1)} MB, to ${to}`;
}
