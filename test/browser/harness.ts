/**
 * Pages in a real browser: bundled sources, served on localhost, opened in the headless Chromium of `@sparticuz/chromium`.
 *
 * A page's module sets `globalThis.run = async (input) => output`; `runPage` calls that with data and returns what it gives.
 */
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { unpackChromium } from "../../backends/webgpu/software.js";
import type { Files } from "../../web/bundle.js";
import { serve } from "../../web/server.js";

/** Headless Chromium with WebGPU and WebGL on a software driver; unpacked at the first call. */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  const wanted = ["chromium", "libvk_swiftshader.so", "vk_swiftshader_icd.json", "lib/libnss3.so"];
  const folder = unpackChromium("chromium", wanted, (archive, write) => {
    for (const file of ["chromium.br", "swiftshader.tar.br", "al2023.tar.br"]) {
      for (const { name, data } of archive(file)) write(name, data);
    }
  });
  const { LD_LIBRARY_PATH, ...env } = process.env as Record<string, string>;
  return chromium.launch({
    executablePath: join(folder, "chromium"),
    args: ["--no-sandbox", "--no-zygote", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--enable-unsafe-webgpu", ...args],
    // The browser's own libraries, for machines without them.
    env: { ...env, LD_LIBRARY_PATH: [join(folder, "lib"), LD_LIBRARY_PATH].filter(Boolean).join(":") },
  });
}

export interface PageOptions {
  /** Everything that the page loads; `bundle` makes it. */
  readonly files: Files;
  /** The module that sets `globalThis.run`. */
  readonly main: string;
  readonly isolated?: boolean;
  readonly seconds?: number;
}

/** Opens a page, calls its `run` with `input`, and returns the result; both pass through JSON. Throws what the page throws. */
export async function runPage<Input, Output>(browser: Browser, options: PageOptions, input: Input): Promise<Output> {
  const { files, main, isolated, seconds = 60 } = options;
  const html = `<!doctype html><meta charset="utf-8"><title>crabro</title><script type="module" src="./${main}"></script>`;
  const served = await serve(new Map([...files, ["index.html", new TextEncoder().encode(html)]]), { isolated });
  const page = await browser.newPage();
  page.setDefaultTimeout(1000 * seconds);
  try {
    const crashed = new Promise<never>((_, reject) => {
      page.on("pageerror", reject);
      page.on("crash", () => reject(new Error("the page crashed")));
    });
    const result = (async () => {
      await page.goto(served.url);
      await page.waitForFunction("typeof globalThis.run === 'function'");
      return (await page.evaluate(`globalThis.run(${JSON.stringify(input)})`)) as Output;
    })();
    return await Promise.race([result, crashed]);
  } finally {
    await page.close();
    await served.close();
  }
}
