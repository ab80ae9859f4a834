/** Whatever the package exports says what it is: `npm run docs:api` makes the reference of that. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import manifest from "../package.json" with { type: "json" };

const root = resolve(import.meta.dirname, "..");

/** The sources of everything in the map of exports. */
const entries = Object.values(manifest.exports).flatMap((target) => {
  if (typeof target === "string") return [];
  const source = target.types.replace("./dist/", "").replace(/\.d\.ts$/, ".ts");
  if (!source.includes("*")) return [join(root, source)];
  const backends = readdirSync(join(root, "backends"), { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && entry.name !== "loops",
  );
  return backends.map(({ name }) => join(root, source.replace("*", name)));
});

/** Options are documented member by member. */
const isOptions = (name: string): boolean => /Options$/.test(name);

function undocumented(): string[] {
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile).config, ts.sys, root);
  const program = ts.createProgram(entries, options);
  const checker = program.getTypeChecker();
  const seen = new Set<ts.Symbol>();
  const found = new Set<string>();
  const visit = (module: ts.Symbol): void => {
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      if (seen.has(symbol)) continue;
      seen.add(symbol);
      if (symbol.flags & ts.SymbolFlags.ValueModule) visit(symbol);
      else if (!isOptions(exported.name) && symbol.getDocumentationComment(checker).length === 0)
        found.add(`${symbol.declarations?.[0]?.getSourceFile().fileName.slice(root.length + 1)}: ${exported.name}`);
    }
  };
  for (const entry of entries) {
    const file = program.getSourceFile(entry);
    const module = file && checker.getSymbolAtLocation(file);
    if (module) visit(module);
  }
  expect(seen.size).toBeGreaterThan(500);
  return [...found].sort();
}

describe("what the package exports", () => {
  it("is documented", () => {
    expect(undocumented()).toEqual([]);
  });

  it("is documented in Markdown that shows it all: text after `[n, 4]:` would be taken for an address, and vanish", () => {
    const sources = ["engine", "autograd", "models", "train", "backends"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts"))
        .map((name) => join(folder, name)),
    );
    const hidden = sources.filter((name) => /^\s*(\/\*\*|\*) \[[^\]]*\]: /m.test(readFileSync(join(root, name), "utf8")));
    expect(hidden).toEqual([]);
  });
});
