/** The examples in the docstrings of models/ run, and every public layer and network has one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = join(root, ".tmp", "examples");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Documented {
  /** The file, and what the docstring is of. */
  readonly place: string;
  readonly isLayer: boolean;
  readonly examples: readonly string[];
}

function documentedIn(file: string): Documented[] {
  const text = readFileSync(join(root, file), "utf8");
  const exported = /(?:\/\*\*((?:(?!\*\/)[\s\S])*?)\*\/\n)?export (?:async )?(class|function|const) (\w+)(?:<[^{]*?>)?( extends \w+)?/g;
  return [...text.matchAll(exported)].map(([, doc = "", kind, name, base]) => ({
    place: `${file}: ${name}`,
    isLayer: kind === "class" && base !== undefined && name !== "Parameter",
    examples: [...doc.replaceAll(/^ \* ?/gm, "").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code),
  }));
}

const files = ["models", "models/nn"].flatMap((path) =>
  readdirSync(join(root, path))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${path}/${name}`),
);
const documented = files.flatMap(documentedIn);

describe("docstrings of models/", () => {
  it("give an example of every layer and network", () => {
    const layers = documented.filter(({ isLayer }) => isLayer);
    expect(layers.length).toBeGreaterThan(30);
    expect(layers.filter(({ examples }) => examples.length === 0).map(({ place }) => place)).toEqual([]);
  });

  it("hold examples that run", { timeout: 120_000 }, () => {
    mkdirSync(folder, { recursive: true });
    const examples = documented.flatMap(({ place, examples: codes }) => codes.map((code) => ({ place, code })));
    examples.forEach(({ code }, i) => {
      writeFileSync(join(folder, `example-${i}.ts`), code);
    });
    const runner = `
      const failures = [];
      for (let i = 0; i < ${examples.length}; i++)
        await import("./example-" + i + ".ts").catch((error) => failures.push([i, String(error?.stack ?? error)]));
      console.log(JSON.stringify(failures));
    `;
    writeFileSync(join(folder, "all.mts"), runner);
    const tsx = join(root, "node_modules", "tsx", "dist", "cli.mjs");
    const output = execFileSync(process.execPath, [tsx, "--tsconfig", join(root, "tsconfig.json"), join(folder, "all.mts")], {
      cwd: root,
      encoding: "utf8",
    });
    const failures = JSON.parse(output.trim().split("\n").at(-1) as string) as [number, string][];
    expect(failures.map(([i, why]) => `${examples[i].place}: ${why}`)).toEqual([]);
  });
});
