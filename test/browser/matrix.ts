/**
 * `npm run conformance:browser`: reference cases on every device of a page, in the headless Chromium of the tests. The devices are those that a
 * page must have; with `--device`, those named.
 */
import { resolve } from "node:path";
import { Command } from "commander";
import { regex } from "../../cli/commands/flags.js";
import { count, textReport, totals } from "../../conformance/report.js";
import { requiredDevices } from "../../conformance/required.js";
import type { CaseResult } from "../../conformance/supervise.js";
import { runInPage } from "./cases.js";
import { launchBrowser } from "./harness.js";

interface Flags {
  readonly cases: string;
  readonly device: readonly string[];
  readonly filter?: RegExp;
}

const program = new Command("conformance:browser")
  .description("Runs reference cases in a page, on each of its devices, and compares the results.")
  .requiredOption("--cases <folder>", "folder with an index.json")
  .option("--device <names...>", "devices of the page", [...requiredDevices.page])
  .option("--filter <regex>", "only cases whose id or operation matches", regex)
  .addHelpText("after", "\nExit status: 0 all passed or refused by design, 1 something failed or is missing.");
const { cases, device: devices, filter } = program.parse().opts<Flags>();

const browser = await launchBrowser();
const all: CaseResult[] = [];
try {
  for (const device of devices) {
    const run = await runInPage(browser, {
      folder: resolve(cases),
      device,
      select: ({ id, op }) => filter === undefined || filter.test(id) || filter.test(op),
      onChunk: (done, total) => {
        if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${device}: ${done} of ${total}`);
      },
    });
    console.log(`${textReport(run, "family")}\n`);
    all.push(...run.results);
  }
} finally {
  await browser.close();
}
console.log(`${totals(all)} on ${devices.length} devices`);
const { failed, missing } = count(all);
process.exitCode = failed + missing > 0 || all.length === 0 ? 1 : 0;
