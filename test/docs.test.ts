/**
 * The README's programs run. A block is skipped only when `<!-- no-test -->` stands on the last non-empty line before it.
 *
 * Each block becomes a file in an ignored folder and runs in a process of its own; `crabro` resolves to the sources through the
 * `paths` of tsconfig.json.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const readme = join(root, "README.md");
const folder = join(root, ".tmp", "docs");

interface Block {
  readonly line: number;
  readonly code: string;
}

function codeBlocks(markdown: string): Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (!/^```(ts|typescript)\s*$/.test(lines[i])) {
      // Skip other fenced blocks whole: what looks like a fence within them is text.
      if (/^```\S/.test(lines[i])) while (++i < lines.length && lines[i] !== "```");
      continue;
    }
    const start = i + 1;
    while (++i < lines.length && lines[i] !== "```");
    const before = lines.slice(0, start - 1).findLast((line) => line.trim() !== "");
    if (before?.trim() !== "<!-- no-test -->") blocks.push({ line: start + 1, code: lines.slice(start, i).join("\n") });
  }
  return blocks;
}

function run(file: string): Promise<{ code: number; output: string }> {
  const tsx = join(root, "node_modules", "tsx", "dist", "cli.mjs");
  const args = [tsx, "--tsconfig", join(root, "tsconfig.json"), file];
  return new Promise((done) => {
    execFile(process.execPath, args, { cwd: root, timeout: 240_000, env: { ...process.env, NO_COLOR: "1" } }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, output: stdout + stderr });
    });
  });
}

describe("README.md", () => {
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  if (!existsSync(readme)) {
    it("exists", () => expect.fail("README.md is missing: its code blocks are tests, so it has to be written"));
    return;
  }
  const blocks = codeBlocks(readFileSync(readme, "utf8"));

  it("has code to run", () => expect(blocks.length, "no ```ts block in README.md is tested").toBeGreaterThan(0));

  for (const { line, code } of blocks) {
    it(`runs the block at line ${line}`, { timeout: 300_000 }, async () => {
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `readme-${line}.ts`);
      // Blank lines first, so that an error's line is the README's.
      writeFileSync(file, "\n".repeat(line - 1) + code + "\nexport {};\n");
      const result = await run(file);
      expect(result.code, `README.md:${line} failed:\n${result.output}`).toBe(0);
    });
  }
});

describe("the extraction of code blocks", () => {
  it("takes ts blocks, and leaves other languages and marked ones", () => {
    const markdown = [
      "# A",
      "```ts",
      "one();",
      "```",
      "<!-- no-test -->",
      "",
      "```ts",
      "two();",
      "```",
      "```text",
      "```ts",
      "```",
      "```typescript",
      "three();",
      "```",
    ].join("\n");
    expect(codeBlocks(markdown)).toEqual([
      { line: 3, code: "one();" },
      { line: 14, code: "three();" },
    ]);
  });
});
