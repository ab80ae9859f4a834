#!/usr/bin/env node
/** The command `crabro`. */
import { constants } from "node:os";
import { setFlagsFromString } from "node:v8";
import { main } from "./commands/program.js";
import { environmentIn, runAgain } from "./software.js";

// Whoever reads along may have seen enough, as in `crabro models | head`: that is no defect, and the rest is not wanted.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(128 + constants.signals.SIGPIPE);
});

// A run begins with much code that runs once, to plan and compile: V8 is to optimise later than it does by itself.
setFlagsFromString("--interrupt-budget=500000");
const argv = process.argv.slice(2);
const env = environmentIn(argv);
process.exitCode = await (env === null ? main(argv) : runAgain(env));
