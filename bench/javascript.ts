/** The sources as JavaScript, in the same folders: for processes whose start is measured, or that start too often to compile each time. */
import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "..");
const folders = ["engine", "autograd", "backends", "models", "train", "web", "cli", "conformance", "bench"];

/** Fills the folder anew; it has to be inside of this one, so that packages are found. */
export async function writeJavaScript(outdir: string): Promise<void> {
  rmSync(outdir, { recursive: true, force: true });
  const files = folders.flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, String(file))));
  const sources = ["index.ts", ...files].filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
  const entryPoints = sources.map((file) => join(root, file));
  await build({ entryPoints, outdir, outbase: root, format: "esm", platform: "node", target: "es2022", logLevel: "error" });
  copyFileSync(join(root, "package.json"), join(outdir, "package.json"));
}
