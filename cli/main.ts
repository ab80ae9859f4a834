#!/usr/bin/env node
/** The command `crabro`. */
import { main } from "./commands/program.js";
import { runAgainFor } from "./software.js";

const argv = process.argv.slice(2);
process.exitCode = (await runAgainFor(argv)) ?? (await main(argv));
