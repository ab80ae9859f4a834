#!/usr/bin/env node
/** The command `crabro`. */
import { main } from "./commands/program.js";

process.exitCode = await main(process.argv.slice(2));
