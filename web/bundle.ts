/** Sources as the modules that a browser loads. */
import { builtinModules } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";

const root = resolve(import.meta.dirname, "..");

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
    ...options,
    plugins: [findBuiltins(builtins), forPages, ...(options.plugins ?? [])],
    write: false,
  });
  if (builtins.length > 0) throw new Error(`a page has no built-in modules of Node: ${builtins.join("; ")}`);
  return new Map((outputFiles ?? []).map(({ path, contents }) => [basename(path), contents]));
}

/** What only Node has a use for is left out. */
const forPages: Plugin = {
  name: "for-pages",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/node\.js$/ }, ({ importer }) => {
      const folder = dirname(importer);
      return folder === join(root, "backends", "webgpu") ? { path: join(folder, "page.ts") } : null;
    });
  },
};

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
