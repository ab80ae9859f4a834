/**
 * Who may import whom: `train → models → autograd → engine → backends/backend.ts`; a backend knows the
 * contract, the kernel IR and what backends share in `backends/loops/`; the engine names no backend. Folders not listed here, and the
 * top-level index.ts, import what they need.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Project files (by path from the root) that each layer may import. `*` stands for one or more path segments. */
const contract = ["backends/backend.ts", "engine/kernel/*", "engine/dtype.ts", "engine/errors.ts"];
const layers: Record<string, readonly string[]> = {
  engine: ["engine/*", "backends/backend.ts"],
  autograd: ["autograd/*", "engine/*"],
  models: ["models/*", "autograd/*", "engine/*"],
  train: ["train/*", "models/*", "autograd/*", "engine/*"],
};
/** The package's entries of these layers bring the main entry along, so that each works by itself. */
const entries = ["models/index.ts"];
/** Packages that are a backend's business. */
const devicePackages = ["gpu.js", "webgpu", "fft.js"];

interface Import {
  /** Path from the root, or a package's name. */
  readonly file: string;
  readonly line: number;
  readonly target: string;
  readonly relative: boolean;
}

function sources(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name.split(sep).join("/")}`);
}

/** Comments are blanked (not removed, so that line numbers stay), as examples in them import what they like. */
function withoutComments(text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, " ");
  return text.replace(/\/\*[\s\S]*?\*\//g, blank).replace(/(^|\s)\/\/.*$/gm, blank);
}

/** Static and dynamic imports, re-exports, `import("…")` types and `new URL("./x.ts", import.meta.url)` of workers. */
function importsOf(file: string, source = readFileSync(join(root, file), "utf8")): Import[] {
  const text = withoutComments(source);
  const patterns = [
    /\b(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/g,
    /\bimport\s*["']([^"']+)["']/g,
    /\b(?:import|require|require\.resolve|import\.meta\.resolve)\s*\(\s*["'`]([^"'`]+)["'`]/g,
    /\bnew URL\(\s*["'`]([^"'`]+)["'`]\s*,\s*import\.meta\.url/g,
  ];
  const found: Import[] = [];
  for (const pattern of patterns) {
    for (const match of text.matchAll(pattern)) {
      const specifier = match[1];
      const isRelative = specifier.startsWith(".");
      const target = isRelative ? posix.join(posix.dirname(file), specifier).replace(/\.js$/, ".ts") : specifier;
      found.push({ file, line: text.slice(0, match.index).split("\n").length, target, relative: isRelative });
    }
  }
  return found;
}

function allowed(target: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith("/*") ? target.startsWith(pattern.slice(0, -1)) : target === pattern));
}

function violations(files: readonly string[], patterns: readonly string[]): string[] {
  return files
    .flatMap((file) => importsOf(file))
    .filter(({ file, target, relative: isRelative }) => {
      const entry = entries.includes(file) && target === "index.ts";
      return isRelative && !entry && !allowed(target, patterns);
    })
    .map(({ file, line, target }) => `${file}:${line} imports ${target}`);
}

describe("imports", () => {
  for (const [folder, patterns] of Object.entries(layers)) {
    it(`of ${folder}/ stay within ${patterns.join(", ")}`, () => {
      expect(violations(sources(folder), patterns)).toEqual([]);
    });
  }

  const backendFiles = sources("backends");
  const backends = [...new Set(backendFiles.filter((file) => file.split("/").length > 2).map((file) => file.split("/")[1]))];
  for (const name of backends) {
    it(`of backends/${name}/ stay within itself, backends/loops/, the contract and the kernel IR`, () => {
      const files = backendFiles.filter((file) => file.startsWith(`backends/${name}/`));
      expect(violations(files, [`backends/${name}/*`, "backends/loops/*", ...contract])).toEqual([]);
    });
  }

  it("of the files in backends/ itself (the contract, its conformance suite) name no backend", () => {
    const files = backendFiles.filter((file) => file.split("/").length === 2);
    expect(violations(files, [...files, ...contract])).toEqual([]);
  });

  it("use the packages of a device only inside a backend", () => {
    const found = Object.keys(layers)
      .flatMap(sources)
      .flatMap((file) => importsOf(file))
      .filter(
        ({ target, relative: isRelative }) =>
          !isRelative && devicePackages.some((name) => target === name || target.startsWith(`${name}/`)),
      );
    expect(found.map(({ file, line, target }) => `${file}:${line} imports ${target}`)).toEqual([]);
  });
});

describe("the engine", () => {
  it("names no backend in any string", () => {
    const names = readdirSync(join(root, "backends"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    const pattern = new RegExp(`backends/(?:${names.join("|") || "[^b]"})\\b`);
    const found = sources("engine").flatMap((file) =>
      withoutComments(readFileSync(join(root, file), "utf8"))
        .split("\n")
        .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});

describe("this check", () => {
  it("sees every form of import", () => {
    const source = [
      'import { a } from "./a.js";',
      "import type {\n  B,\n} from '../b.js';",
      'export * from "./c.js";',
      'import "./d.js";',
      'const e = await import("../cpu/e.js");',
      'type F = import("./f.js").F;',
      'new Worker(new URL("./g.ts", import.meta.url));',
      '/** import { h } from "./h.js"; */',
      '// import { i } from "./i.js";',
      'import zod from "zod";',
    ].join("\n");
    const targets = importsOf("backends/wasm/x.ts", source).map((found) => found.target);
    expect(targets.sort()).toEqual([
      "backends/b.ts",
      "backends/cpu/e.ts",
      "backends/wasm/a.ts",
      "backends/wasm/c.ts",
      "backends/wasm/d.ts",
      "backends/wasm/f.ts",
      "backends/wasm/g.ts",
      "zod",
    ]);
  });

  it("tells the allowed from the rest", () => {
    expect(allowed("engine/kernel/ir.ts", contract)).toBe(true);
    expect(allowed("engine/tensor.ts", contract)).toBe(false);
    expect(allowed("backends/cpu/emit.ts", layers.engine)).toBe(false);
  });
});
