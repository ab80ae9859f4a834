/** The command line as a whole. What a user did wrong is one line on stderr and status 2; a defect shows its stack and has status 1. */
import { Command, CommanderError } from "commander";
import { debugLevel } from "../../engine/debug.js";
import { BackendError, OpError } from "../../engine/errors.js";
import { Interrupted } from "../training/interrupt.js";
import { version } from "../version.js";
import { benchCommand } from "./bench.js";
import { convertCommand } from "./convert.js";
import { dataCommand } from "./data.js";
import { devicesCommand } from "./devices.js";
import { doctorCommand } from "./doctor.js";
import { evalCommand } from "./eval.js";
import { explainCommand } from "./explain.js";
import { hyphenated } from "./flags.js";
import { modelsCommand, summaryCommand } from "./models.js";
import { predictCommand } from "./predict.js";
import { profileCommand } from "./profile.js";
import { raceCommand } from "./race.js";
import { trainCommand } from "./train.js";
import { visualizeCommand } from "./visualize.js";

/** The message for what the user can mend, or null for a defect. */
function message(error: unknown): string | null {
  if (error instanceof OpError) return error.message.startsWith(`${error.op}: `) ? error.message.slice(error.op.length + 2) : error.message;
  if (error instanceof BackendError) return error.message;
  if (error instanceof CommanderError) return error.message.replace(/^error: /, "").replace(/\n+\(?/g, " (");
  const { code, syscall } = error as NodeJS.ErrnoException;
  return error instanceof Error && typeof code === "string" && typeof syscall === "string" ? error.message : null;
}

/** Runs the command; returns its exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("crabro")
    .description("A tensor engine with autograd, and the networks it trains.")
    .version(version())
    .enablePositionalOptions();
  let status = 0;
  const setStatus = (found: number): void => {
    status = found;
  };
  const commands = [
    trainCommand(),
    evalCommand(),
    predictCommand(),
    dataCommand(),
    explainCommand(),
    convertCommand(),
    visualizeCommand(),
    modelsCommand(),
    summaryCommand(),
    profileCommand(),
    devicesCommand(),
    benchCommand(setStatus),
    raceCommand(setStatus),
    doctorCommand(setStatus),
  ];
  for (const command of commands) program.addCommand(command);
  // Errors are printed below, once, for all of them alike.
  const all = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)];
  for (const command of all) command.exitOverride().configureOutput({ outputError: () => undefined });
  try {
    if (argv.length === 0) program.help();
    await program.parseAsync(hyphenated(argv), { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof Interrupted) {
      console.error(`crabro: ${error.message}`);
      return error.status;
    }
    const text = message(error);
    console.error(text === null || debugLevel() > 0 ? error : `crabro: ${text.replaceAll("\n", " ")}`);
    return text === null ? 1 : 2;
  }
}
