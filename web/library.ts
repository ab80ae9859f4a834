/** The library as one ES module for pages: `crabro/browser`. */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Plugin } from "esbuild";
import ts from "typescript";
import { bundle } from "./bundle.js";

/**
 * `browser.ts` and all that it needs as one ES module, of which bundlers keep what is used; gpu.js stays a package. What only tests and
 * documents read in the records of operations is left out.
 */
export async function buildLibrary(): Promise<Uint8Array> {
  const files = await bundle(["browser.ts"], { splitting: false, external: ["gpu.js"], plugins: [withoutNotes, fflateAsValue] });
  const [library, ...others] = files.values();
  if (others.length > 0) throw new Error(`the library is to be one file; it is ${[...files.keys()].join(", ")}`);
  return new TextEncoder().encode(withPureValues(new TextDecoder().decode(library)));
}

const parse = (text: string): ts.SourceFile => ts.createSourceFile("source.ts", text, ts.ScriptTarget.ES2022, true);

/** Properties of an operation's record that no computation reads, and what stands in their place. */
const notes: ReadonlyMap<string, string> = new Map([
  ["doc", '""'],
  ["reference", '""'],
  ["samples", "[]"],
]);

const withoutNotes: Plugin = {
  name: "without-notes",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]engine[\\/]ops[\\/][^\\/]+\.ts$/ }, ({ path }) => ({
      contents: stripNotes(readFileSync(path, "utf8")),
      loader: "ts",
    }));
  },
};

/** fflate computes tables as it is loaded, which no bundler would leave out: all that is used of it is computed at once, as one value. */
const fflateAsValue: Plugin = {
  name: "fflate-as-value",
  setup({ esbuild, onLoad }) {
    onLoad({ filter: /[\\/]fflate[\\/]esm[\\/]browser\.js$/ }, async ({ path }) => {
      const stdin = { contents: `export { inflateSync } from ${JSON.stringify(path)};`, resolveDir: dirname(path) };
      const { outputFiles } = await esbuild.build({
        stdin,
        bundle: true,
        format: "iife",
        globalName: "fflate",
        target: "chrome126",
        write: false,
      });
      return { contents: `${outputFiles[0].text}export const inflateSync = fflate.inflateSync;` };
    });
  },
};

/** A file of operations without the notes in its records. */
export function stripNotes(text: string): string {
  const file = parse(text);
  let out = "";
  let done = 0;
  const visit = (node: ts.Node): void => {
    const put = ts.isPropertyAssignment(node) ? notes.get(node.name.getText(file)) : undefined;
    if (put === undefined) {
      ts.forEachChild(node, visit);
      return;
    }
    const { initializer } = node as ts.PropertyAssignment;
    out += text.slice(done, initializer.getStart(file)) + put;
    done = initializer.end;
  };
  visit(file);
  return out + text.slice(done);
}

/**
 * Says of the first values of variables that to compute them has no effect: bundlers cannot know it of most calls, and leave them out then where
 * the variable is not used. It holds as nothing happens by importing the sources (`sideEffects` in package.json says so of whole files).
 */
export function withPureValues(bundled: string): string {
  // `import * as x` is written as a call that fills an object.
  const filled = /var (\w+) = \{\};\n__export\(\1, (\{[^{}]*\})\);/g;
  const text = bundled
    .replace(filled, "var $1 = __filled($2);")
    .replace(/^var __export = /m, "var __filled = (all) => { const made = {}; __export(made, all); return made; };\nvar __export = ");
  const file = parse(text);
  let out = "";
  let done = 0;
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name) || initializer === undefined || !computes(initializer)) continue;
      const start = initializer.getStart(file);
      const value = text.slice(start, initializer.end);
      // A class without a name takes that of its variable.
      const body = ts.isClassExpression(initializer) ? `{ var ${name.text} = ${value}; return ${name.text}; }` : `(${value})`;
      out += `${text.slice(done, start)}/* @__PURE__ */ (() => ${body})()`;
      done = initializer.end;
    }
  }
  return out + text.slice(done);
}

/** Whether more than literals, functions and names stands in an expression. */
function computes(e: ts.Expression): boolean {
  if (ts.isArrayLiteralExpression(e)) return e.elements.some(computes);
  if (ts.isObjectLiteralExpression(e)) return e.properties.some(propertyComputes);
  if (ts.isClassExpression(e))
    return e.heritageClauses !== undefined || e.members.some(({ name }) => name !== undefined && isComputed(name));
  if (ts.isPrefixUnaryExpression(e)) return computes(e.operand);
  const called = ts.isCallExpression(e) || ts.isNewExpression(e);
  if (called && e.getFullText().trimStart().startsWith("/* @__PURE__ */")) return e.arguments?.some(computes) ?? false;
  const { NullKeyword, TrueKeyword, FalseKeyword } = ts.SyntaxKind;
  const plain = [NullKeyword, TrueKeyword, FalseKeyword].includes(e.kind);
  return !(plain || ts.isLiteralExpression(e) || ts.isIdentifier(e) || ts.isArrowFunction(e) || ts.isFunctionExpression(e));
}

const isComputed = (name: ts.PropertyName): boolean => ts.isComputedPropertyName(name);

function propertyComputes(one: ts.ObjectLiteralElementLike): boolean {
  if (ts.isSpreadAssignment(one)) return true;
  if (ts.isShorthandPropertyAssignment(one)) return false;
  return isComputed(one.name) || (ts.isPropertyAssignment(one) && computes(one.initializer));
}
