/** `npm run bench`: what a training step costs here. `--quick` measures for a shorter time, `--json FILE` writes the figures. */
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { measureSteps } from "./steps.js";

const program = new Command("bench")
  .description("Measures training steps of the micro HorNet on this machine's default device.")
  .option("--quick", "measure for a short time")
  .option("--json <file>", "write the figures")
  .parse();
const { quick, json } = program.opts<{ quick?: boolean; json?: string }>();

const figures = await measureSteps(quick ? 2 : 10);
for (const f of figures) {
  console.log(
    `${f.name.padEnd(12)} ${f.milliseconds.toFixed(1).padStart(8)} ms a step (±${f.margin.toFixed(1)} %, ${f.samples} samples)  ` +
      `${f.kernels} kernels ${f.kernelMilliseconds.toFixed(1)} ms at ${f.gigaflops.toFixed(2)} GFLOP/s, host ${f.hostMilliseconds.toFixed(1)} ms`,
  );
}
if (json !== undefined) await writeFile(json, `${JSON.stringify({ node: process.version, figures }, null, 2)}\n`);
