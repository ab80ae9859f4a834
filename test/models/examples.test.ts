/** The docstrings of models/: every exported layer and network has a whole one, and their examples run. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import * as models from "../../models/index.js";
import { nn } from "../../models/index.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = join(root, ".tmp", "examples");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Documented {
  /** The file, and what the docstring is of. */
  readonly place: string;
  readonly name: string;
  /** The docstring without its examples. */
  readonly text: string;
  readonly examples: readonly string[];
}

function documentedIn(file: string): Documented[] {
  const source = readFileSync(join(root, file), "utf8");
  const exported = /(?:\/\*\*((?:(?!\*\/)[\s\S])*?)\*\/\n)?export (?:async )?(?:class|function|const) (\w+)/g;
  return [...source.matchAll(exported)].map(([, comment = "", name]) => {
    const doc = comment.replaceAll(/^ ?\* ?/gm, "");
    return {
      place: `${file}: ${name}`,
      name,
      text: doc.replaceAll(/```ts\n[\s\S]*?```/g, ""),
      examples: [...doc.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code),
    };
  });
}

const files = ["models", "models/nn", "models/detection"].flatMap((path) =>
  readdirSync(join(root, path))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${path}/${name}`),
);
const documented = files.flatMap(documentedIn);

const isLayer = (value: unknown): boolean => typeof value === "function" && value.prototype instanceof nn.Module;
/** What the package exports, not what the files happen to hold. */
const layers = [models, nn].flatMap((space) => Object.entries(space).flatMap(([name, value]) => (isLayer(value) ? [name] : [])));
const functions = [
  ...["createModel", "createBackbone", "listModels", "modelInfo", "loadPretrained", "adaptState"],
  ...["summary", "activations", "nonOverlappedPatchEmbeddings", "overlappedPatchEmbeddings"],
];

function docOf(name: string): Documented {
  const found = documented.filter((doc) => doc.name === name && doc.text !== "");
  if (found.length !== 1) throw new Error(`${name} has ${found.length} docstrings in ${files.join(", ")}`);
  return found[0];
}
/** The names whose docstring lacks something. */
const without = (names: readonly string[], has: (doc: Documented) => boolean): string[] => names.filter((name) => !has(docOf(name)));

describe("docstrings of models/", () => {
  it("say of every exported layer and network its shapes, what it throws and where it comes from, with an example", () => {
    expect(layers.length).toBeGreaterThan(30);
    expect(without(layers, ({ name, examples }) => examples.some((code) => code.includes(name)))).toEqual([]);
    expect(without(layers, ({ text }) => /→|\bshapes?\b/.test(text))).toEqual([]);
    expect(without(layers, ({ text }) => /\b[Tt]hrows\b/.test(text))).toEqual([]);
    expect(without(layers, ({ text }) => /\bReference:/.test(text))).toEqual([]);
  });

  it("explain every option", () => {
    const fields = files.flatMap((file) => {
      const source = readFileSync(join(root, file), "utf8");
      return [...source.matchAll(/export interface (\w*Options)\b[^{]*\{\n([\s\S]*?)\n\}/g)].flatMap(([, name, body]) => {
        const lines = body.split("\n");
        return lines.flatMap((line, i) => {
          const field = /^ {2}readonly (\w+)\??:/.exec(line)?.[1];
          return field === undefined ? [] : [{ place: `${name}.${field}`, explained: lines[i - 1]?.trimEnd().endsWith("*/") === true }];
        });
      });
    });
    expect(fields.length).toBeGreaterThan(50);
    expect(fields.filter(({ explained }) => !explained).map(({ place }) => place)).toEqual([]);
  });

  it("show how networks are named, loaded and looked into", () => {
    expect(without(functions, ({ name, examples }) => examples.some((code) => code.includes(name)))).toEqual([]);
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

  it("need no more imports than they show: a network can be built and run with crabro/models alone", { timeout: 60_000 }, () => {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "alone.mts");
    writeFileSync(
      file,
      `import { createModel, summary } from "crabro/models";
       console.log(summary(createModel("hornet_micro_7x7"), [1, 1, 32, 32]).params);`,
    );
    const tsx = join(root, "node_modules", "tsx", "dist", "cli.mjs");
    const options = { cwd: root, encoding: "utf8" } as const;
    expect(Number(execFileSync(process.execPath, [tsx, "--tsconfig", join(root, "tsconfig.json"), file], options))).toBeGreaterThan(10_000);
  });
});
