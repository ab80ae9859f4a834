import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { page, pagePath, readResults } from "../../conformance/matrix.js";
import { signatures } from "../../conformance/signatures.js";
import "../../index.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");
const results = readResults();

describe("docs/operators.md", () => {
  it("is what `npm run docs:operators` writes", () => {
    expect(readFileSync(pagePath, "utf8") === page(results), "run npm run docs:operators and commit what it writes").toBe(true);
  });

  it("has results for every function that the table of signatures maps", () => {
    for (const [device, found] of Object.entries(results)) {
      const lost = [...signatures.keys()].filter((op) => !(op in found));
      expect(lost, `run npm run docs:operators -- <cases> ${device}`).toEqual([]);
    }
    expect(Object.keys(results)).toEqual(["cpu", "wasm", "webgpu"]);
  });

  it("knows the cases of the fixtures, and no failure on any device", () => {
    const index = JSON.parse(readFileSync(join(root, "test", "fixtures", "ops", "index.json"), "utf8")) as { cases: { op: string }[] };
    for (const [device, found] of Object.entries(results)) {
      for (const { op } of index.cases) expect(found[op]?.total, `${op} on ${device}`).toBeGreaterThan(0);
      for (const [op, { passed, total, refused, wrong }] of Object.entries(found))
        expect([device, op, passed, refused]).toEqual([device, op, total, wrong]);
    }
  });
});
