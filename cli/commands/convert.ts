/** `crabro convert`: weights from one format, dtype or part of a checkpoint to another. */
import { Command, Option } from "commander";
import { OpError } from "../../engine/errors.js";
import { createModel } from "../../models/index.js";
import { readWeights } from "../../models/node.js";
import { showLoadReport } from "../../models/state.js";
import { castStored, isStoredFloat, type StoredFloat } from "../../models/weights/cast.js";
import { writeSafetensors } from "../../models/weights/safetensors.js";
import { writeAtomically } from "../../train/checkpoint.js";

interface ConvertFlags {
  readonly at?: string;
  readonly dtype?: keyof typeof dtypes;
  readonly model?: string;
}

const dtypes = { float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" } as const satisfies Record<string, StoredFloat>;

const examples = `
Examples:
  crabro convert hornet_tiny_7x7.pth hornet_tiny_7x7.safetensors --model hornet_tiny_7x7
  crabro convert checkpoint.pth average.safetensors --at model_ema --dtype float16
`;

export function convertCommand(): Command {
  return new Command("convert")
    .description("write weights of a PyTorch or safetensors file as safetensors, which PyTorch reads as well")
    .argument("<from>", "file of weights: .pth, .pt or .safetensors")
    .argument("<to>", "safetensors file to write")
    .option("--at <path>", "where in a PyTorch file the state lies (default: where checkpoints have it)")
    .addOption(new Option("--dtype <name>", "dtype of the floating tensors (default: as they are)").choices(Object.keys(dtypes)))
    .option("--model <name>", "refuse unless the entries are exactly those of this network")
    .addHelpText("after", examples)
    .action((from: string, to: string, flags: ConvertFlags) => {
      console.log(convert(from, to, flags));
    });
}

/** Converts a file; returns what was done in a line. */
export function convert(from: string, to: string, { at, dtype, model }: ConvertFlags): string {
  if (!to.endsWith(".safetensors")) throw new OpError("convert", `${to}: only safetensors files are written; name it so`);
  const { tensors, metadata } = readWeights(from, { at });
  if (model !== undefined) {
    const problems = showLoadReport(createModel(model, { meta: true }).loadStateDict(tensors, { strict: false }));
    if (problems !== "") throw new OpError("convert", `${from} does not fit ${model}: ${problems}`);
  }
  const converted = [...tensors].map(([name, tensor]) => {
    const floating = dtype !== undefined && isStoredFloat(tensor.dtype);
    return [name, floating ? castStored(tensor, dtypes[dtype]) : tensor] as const;
  });
  const bytes = writeSafetensors(converted, new Map([["format", "pt"], ...metadata]));
  writeAtomically(to, bytes);
  return `wrote ${converted.length} tensors, ${(bytes.length / 1e6).toFixed(1)} MB, to ${to}`;
}
