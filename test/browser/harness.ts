/**
 * Pages in a real browser: sources bundled for it, served on localhost, opened in the headless Chromium of `@sparticuz/chromium`.
 *
 * A page's module sets `globalThis.run = async (input) => output`; `runPage` calls that with data and returns what it gives.
 */
import { createServer } from "node:http";
import { builtinModules } from "node:module";
import { basename, join, resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { type Browser, chromium } from "playwright-core";
import { unpackChromium } from "../../backends/webgpu/software.js";

const root = resolve(import.meta.dirname, "../..");

/** Names of files as the server knows them, and their contents. */
export type Files = ReadonlyMap<string, Uint8Array>;

/**
 * Bundles entries (paths from the root) as ES modules for a browser: `test/browser/x.ts` becomes `x.js`, what they share becomes chunks.
 * Throws, naming the file that imports it, where a built-in module of Node is among what they need.
 */
export async function bundle(entries: readonly string[], options: BuildOptions = {}): Promise<Files> {
  const builtins: string[] = [];
  const { outputFiles } = await build({
    entryPoints: entries.map((entry) => join(root, entry)),
    entryNames: "[name]",
    absWorkingDir: root,
    outdir: root,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "chrome126",
    logLevel: "error",
    plugins: [findBuiltins(builtins)],
    ...options,
    write: false,
  });
  if (builtins.length > 0) throw new Error(`a page has no built-in modules of Node: ${builtins.join("; ")}`);
  return new Map((outputFiles ?? []).map(({ path, contents }) => [basename(path), contents]));
}

/** Also what stands behind `try`, which esbuild would let pass. */
const findBuiltins = (found: string[]): Plugin => ({
  name: "find-builtins",
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ path, importer }) => {
      if (!path.startsWith("node:") && !builtinModules.includes(path)) return null;
      found.push(`${importer.slice(root.length + 1)} imports ${path}`);
      return { path, external: true };
    });
  },
});

export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves files on localhost, and at `/` a page that loads `main`. Isolated pages may share memory between threads. */
export async function serve(files: Files, main: string, isolated = false): Promise<Served> {
  const page = `<!doctype html><meta charset="utf-8"><title>crabro</title><script type="module" src="./${main}"></script>`;
  const types: Record<string, string> = { js: "text/javascript", json: "application/json", wasm: "application/wasm" };
  const server = createServer((request, response) => {
    const name = new URL(request.url ?? "/", "http://localhost").pathname.slice(1);
    const body = name === "" ? page : files.get(name);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    const type = name === "" ? "text/html" : (types[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream");
    response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type });
    response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    url: `http://localhost:${address.port}/`,
    close: () =>
      new Promise((done, fail) => {
        server.close((error) => (error ? fail(error) : done()));
        server.closeAllConnections();
      }),
  };
}

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
  const served = await serve(files, main, isolated);
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
