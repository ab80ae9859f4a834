#!/usr/bin/env node
/** The command `crabro`. */
import { main } from "./commands/program.js";
import { environmentIn, runAgain } from "./software.js";

const argv = process.argv.slice(2);
const env = environmentIn(argv);
process.exitCode = await (env === null ? main(argv) : runAgain(env));
