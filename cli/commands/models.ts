/** `crabro models` and `crabro summary`: which networks there are, and what each is made of. */
import { Command, InvalidArgumentError } from "commander";
import { createModel, listModels, modelInfo } from "../../models/registry.js";
import { type SummaryColumn, summary, summaryColumns } from "../../models/summary.js";
import { whole } from "./flags.js";
import "../../index.js";

const modelsExamples = `
Examples:
  crabro models
  crabro models "glnet_*g"
`;

export function modelsCommand(): Command {
  return new Command("models")
    .description("list the networks and what was published of them")
    .argument("[pattern]", "names to list, with * for anything", "*")
    .addHelpText("after", modelsExamples)
    .action((pattern: string) => {
      console.log(listing(pattern));
    });
}

/** A line for each network: parameters, GFLOPs and accuracy as published. */
export function listing(pattern: string): string {
  const rows = listModels(pattern).map((name) => {
    const { inputSize, published } = modelInfo(name);
    const figure = (value: number | string | null | undefined, unit: string): string =>
      value === null || value === undefined ? "-" : `${value}${unit}`;
    return [
      name,
      `${inputSize}`,
      figure(published?.params, " M"),
      figure(published?.gflops, " G"),
      figure(published?.top1?.toFixed(1), " %"),
    ];
  });
  const table = [["network", "pixels", "parameters", "multiply-adds", "top-1"], ...rows];
  const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i] + 2))).join("");
  return table.map(line).join("\n");
}

interface SummaryFlags {
  readonly inputSize?: number;
  readonly inChans?: number;
  readonly numClasses?: number;
  readonly batchSize: number;
  readonly depth: number;
  readonly columns?: readonly SummaryColumn[];
  readonly featuresOnly: boolean;
}

function columnNames(value: string): SummaryColumn[] {
  const names = value.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !(summaryColumns as readonly string[]).includes(name));
  if (unknown !== undefined) throw new InvalidArgumentError(`there is no column ${unknown}; there are ${summaryColumns.join(", ")}.`);
  return names as SummaryColumn[];
}

const summaryExamples = `
Examples:
  crabro summary glnet_4g --depth 1
  crabro summary hornet_tiny_gf --input-size 384 -b 8
  crabro summary hornet_tiny_7x7 --features-only --columns outputShape,params
`;

export function summaryCommand(): Command {
  return new Command("summary")
    .description("show a network's layers: shapes, parameters, multiply-adds")
    .argument("<model>", "network")
    .option("--input-size <pixels>", "side of the images (default: the network's)", whole(32))
    .option("--in-chans <n>", "channels of the images (default: the network's)", whole(1))
    .option("--num-classes <n>", "classes (default: the network's)", whole(1))
    .option("-b, --batch-size <n>", "images", whole(1), 1)
    .option("--depth <n>", "levels of layers to show", whole(1), 3)
    .option("--columns <names>", `comma-separated, of ${summaryColumns.join(", ")}`, columnNames)
    .option("--features-only", "the backbone, without norm and head", false)
    .addHelpText("after", summaryExamples)
    .action((model: string, flags: SummaryFlags) => {
      console.log(summaryOf(model, flags));
    });
}

export function summaryOf(name: string, { inputSize, batchSize, depth, columns, featuresOnly, inChans, numClasses }: SummaryFlags): string {
  const info = modelInfo(name);
  const options = { inChans, numClasses, meta: true };
  const model = featuresOnly ? createModel(name, { ...options, featuresOnly }) : createModel(name, options);
  const size = inputSize ?? info.inputSize;
  return String(summary(model, [batchSize, inChans ?? info.inChans, size, size], { depth, columns }));
}
