import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { root, source } from "../commands.js";

const fixtures = join(root, "test", "fixtures");
const scratch = mkdtempSync(join(tmpdir(), "crabro-conformance-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function conformance(...args: string[]): Promise<Result> {
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined };
  return new Promise((done) => {
    execFile(
      process.execPath,
      [...source("cli/conformance.ts"), ...args],
      { cwd: root, env, timeout: 120_000 },
      (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

describe("npm run conformance", { timeout: 120_000 }, () => {
  it("reports a run as text and as JSON", async () => {
    const json = join(scratch, "ops.json");
    const result = await conformance(
      "--cases",
      join(fixtures, "ops"),
      "--device",
      "cpu",
      "--filter",
      "^torch\\.(exp|sum)$",
      "--json",
      json,
    );
    expect(result.stderr).toBe("");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/operation or kind +passed +failed +missing +refused +worst/);
    expect(result.stdout).toMatch(/^torch\.exp +\d+ +· +· +· /m);
    const report = JSON.parse(readFileSync(json, "utf8"));
    expect(report).toMatchObject({
      device: "cpu",
      total: report.cases.length,
      passed: report.cases.length,
      failed: 0,
      missing: 0,
      refused: 0,
    });
    expect(result.stdout).toContain(`${report.total} passed, 0 failed, 0 missing, 0 refused (${report.total} cases on cpu)`);
    for (const { id, op, status, error, tolerance } of report.cases) {
      expect({ id: typeof id, error: typeof error, status, tolerance }).toEqual({
        id: "string",
        error: "number",
        status: "passed",
        tolerance: 1,
      });
      expect(["torch.exp", "torch.sum"]).toContain(op);
    }
  });

  it("counts what is missing, names it, and exits with 1", async () => {
    const folder = join(scratch, "unknown");
    cpSync(join(fixtures, "models"), folder, { recursive: true });
    rmSync(join(folder, "manifests"), { recursive: true });
    const { cases } = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
    const unknown = { id: "capsules", kind: "CapsuleNet", file: "capsules.safetensors", config: {} };
    writeFileSync(join(folder, "index.json"), JSON.stringify({ cases: [cases[0], unknown] }));
    const json = join(scratch, "unknown.json");
    const result = await conformance("--cases", folder, "--json", json);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/missing:\n {2}CapsuleNet: models has no CapsuleNet \(1 case\)/);
    expect(JSON.parse(readFileSync(json, "utf8"))).toMatchObject({ total: 2, passed: 1, failed: 0, missing: 1 });
  });

  it("shows a failure in a line, and exits with 1", async () => {
    const folder = join(scratch, "wrong");
    cpSync(join(fixtures, "ops"), folder, { recursive: true });
    const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
    const test = index.cases.findLast((entry: { op: string }) => entry.op === "torch.exp");
    test.outputs[0].tensor = test.args[0].tensor; // exp(x) is not x
    writeFileSync(join(folder, "index.json"), JSON.stringify({ cases: [test] }));
    rmSync(join(folder, "errors.json"));
    const result = await conformance("--cases", folder, "--fuse", "false");
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(new RegExp(`^  ${test.id} \\(torch\\.exp\\): output 0: element \\d+ is .*allowed\\]$`, "m"));
    expect(result.stdout).toContain("0 passed, 1 failed, 0 missing, 0 refused (1 case on cpu)");
  });

  it("fails a case that takes too long, and goes on with the next", async () => {
    const json = join(scratch, "late.json");
    const result = await conformance("--cases", join(fixtures, "models"), "--filter", "^layernorm_c", "--timeout", "0.001", "--json", json);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/layernorm_cf \(LayerNorm\): no result within 0\.001 s/);
    expect(JSON.parse(readFileSync(json, "utf8"))).toMatchObject({ total: 2, passed: 0, failed: 2 });
  });

  const wrong: readonly [name: string, args: readonly string[], message: RegExp][] = [
    ["no folder", [], /^error: required option '--cases <folder>' not specified\n$/],
    ["a folder that is not there", ["--cases", join(scratch, "nowhere")], /^error: there is no folder .*nowhere\n$/],
    ["a folder without an index", ["--cases", join(root, "conformance")], /^error: .*conformance has no index\.json, so .*\n$/],
    ["an unknown device", ["--cases", join(fixtures, "ops"), "--device", "abacus"], /^error: device abacus: .*known are .*cpu.*\n$/],
    ["an unknown flag", ["--cases", join(fixtures, "ops"), "--frobnicate"], /^error: unknown option '--frobnicate'\n$/],
    [
      "a bad expression",
      ["--cases", join(fixtures, "ops"), "--filter", "("],
      /^error: option '--filter <regex>' argument '\(' is invalid\..*\n$/,
    ],
    [
      "a bad truth value",
      ["--cases", join(fixtures, "ops"), "--fuse", "maybe"],
      /^error: option '--fuse <boolean>' .*Expected true or false\.\n$/,
    ],
    [
      "a report where no folder is",
      ["--cases", join(fixtures, "ops"), "--json", join(scratch, "no", "x.json")],
      /^error: cannot write .*x\.json: its folder is not there\n$/,
    ],
    ["a filter that leaves nothing", ["--cases", join(fixtures, "ops"), "--filter", "^$"], /^error: no case of .* is selected\n$/],
  ];
  for (const [name, args, message] of wrong) {
    it(`refuses ${name} in one line, with exit status 2`, async () => {
      const result = await conformance(...args);
      expect(result.stderr).toMatch(message);
      expect(result.stdout).toBe("");
      expect(result.code).toBe(2);
    });
  }

  it("explains itself", async () => {
    const result = await conformance("--help");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/--cases <folder>[\s\S]*--device <name>[\s\S]*--json <file>[\s\S]*Exit status/);
  });
});
