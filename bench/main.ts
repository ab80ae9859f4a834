/** `npm run bench`: what things cost on this machine, here and in other libraries. `npm run bench -- --help` lists what there is. */
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { benchCommand } from "../cli/commands/bench.js";
import { whole } from "../cli/commands/flags.js";
import { OpError } from "../engine/errors.js";
import { kernelsCommand } from "./cpu-kernels.js";
import { microCommand } from "./micro.js";
import { peersCommand } from "./peers.js";
import { measureRoofline } from "./roofline.js";
import { startCommand } from "./start.js";
import { stepsCommand } from "./steps.js";

const roofline = new Command("roofline")
  .description("multiply-adds and memory bandwidth that WebAssembly reaches on this machine")
  .option("--threads <n>", "threads at once", whole(1), availableParallelism())
  .action(async ({ threads }: { readonly threads: number }) => {
    const { gigaflops, gigabytes, relaxed } = await measureRoofline(threads);
    const kind = relaxed ? "fused multiply-adds" : "multiplications and additions";
    console.log(`${threads} threads: ${gigaflops.toFixed(1)} GFLOP/s of ${kind}, ${gigabytes.toFixed(1)} GB/s read and written`);
  });

const devices = benchCommand((status) => {
  process.exitCode = status;
}).name("devices");

const commands = [peersCommand(), devices, stepsCommand(), microCommand(), kernelsCommand(), startCommand(), roofline];
const [first] = process.argv.slice(2);
const program = new Command("bench").description("Measures training steps, kernels and whole networks, ours and those of other libraries.");
for (const command of commands) program.addCommand(command);
// Without the name of a command, `peers`; its help is everyone's.
const named = first === "help" || commands.some((command) => command.name() === first);
try {
  await program.parseAsync([...process.argv.slice(0, 2), ...(named ? [] : ["peers"]), ...process.argv.slice(2)]);
} catch (error) {
  if (!(error instanceof InvalidArgumentError || error instanceof OpError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
