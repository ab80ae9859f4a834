/** The comparison with peers: end to end on small work, and what is said of wrong numbers, failures and slowness. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Comparison, difference } from "../../bench/compare.js";
import { fill, sumsOf } from "../../bench/inputs.js";
import type { Entrant } from "../../bench/players.js";
import type { Report } from "../../bench/report.js";
import { shareOfLimit, verdicts } from "../../bench/targets.js";
import { flopsOf, type Task, tasksOf } from "../../bench/workloads.js";
import { createModel, summary } from "../../models/index.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...argv: string[]): { status: number | null; stdout: string; stderr: string; report: () => Report } {
  const out = mkdtempSync(join(folder, "run-"));
  const run = spawnSync(process.execPath, ["--import", "tsx", "bench/main.ts", ...argv, "--out", out], { encoding: "utf8" });
  return { ...run, report: () => JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as Report };
}

/** A contestant that answers from a table, as a program of its own. */
function impostor(name: string, answers: Record<string, object>): string {
  const file = join(folder, name);
  const lines = [
    `#!${process.execPath}`,
    'if (process.argv[2] === "-c") process.exit(0);',
    `const answers = ${JSON.stringify(answers)};`,
    'const say = (message) => console.log("@bench " + JSON.stringify(message));',
    'console.log("chatter");',
    'say({ describe: "an impostor" });',
    'require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {',
    "  const answer = answers[JSON.parse(line).op];",
    "  if (answer !== undefined) say(answer);",
    "});",
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  chmodSync(file, 0o755);
  return file;
}

const entrant = (id: string, answers: Record<string, object>, ours = false): Entrant => ({
  id,
  ours,
  command: [process.execPath, impostor(id, answers)],
  environment: {},
});
const loaded = (sum: number) => ({ sums: [[sum, 10]], losses: [], firstMs: 1, warmMs: 1 });
const task: Task = { workload: "matmul_512", direction: "fwd", work: { kind: "matmul", n: 512 } };

describe("bench", () => {
  it("measures ours and two JavaScript libraries side by side, and writes figures and a chart", () => {
    const { status, stdout, stderr, report } = bench(
      ...["--size", "small", "--only", "mean_1x64x56x56 fwd+bwd,matmul_256 fwd", "--device", "wasm", "cpu"],
      ...["--peer", "tfjs-wasm", "jax-wasm", "--seconds", "0.05", "--threads", "2"],
    );
    expect([status, stderr]).toEqual([0, ""]);
    const found = report();
    expect(found.rows.map((row) => `${row.workload} ${row.direction}`)).toEqual([
      "matmul_256 fwd",
      "matmul_256 fwd+bwd",
      "mean_1x64x56x56 fwd+bwd",
    ]);
    expect(Object.keys(found.contestants)).toEqual(["wasm", "cpu", "tfjs-wasm", "jax-wasm"]);
    for (const row of found.rows) {
      expect(row.cells.map((cell) => [cell.id, cell.status])).toEqual(["wasm", "cpu", "tfjs-wasm", "jax-wasm"].map((id) => [id, "ok"]));
      for (const cell of row.cells) {
        expect(cell.ms).toBeGreaterThan(0);
        expect(cell.samples).toBeGreaterThan(0);
        expect(cell.result?.sums.length).toBe(row.workload.startsWith("mean") || row.direction === "fwd" ? 1 : 2);
      }
    }
    expect(found.roofline?.gigaflops).toBeGreaterThan(0);
    expect(found.roofline?.gigabytes).toBeGreaterThan(0);
    expect(found.verdicts.map((verdict) => verdict.device)).toEqual(["wasm", "wasm", "wasm"]);
    expect(stdout).toMatch(/matmul_256 fwd .*\d/);
    expect(stdout).toMatch(/targets: \d of 3 hold/);
  });

  it("marks rows whose numbers differ as invalid, and fails", () => {
    const python = impostor("python", { load: loaded(123), measure: { samples: [5] }, unload: {} });
    const { status, stdout, stderr, report } = bench(
      ...["--size", "small", "--only", "mean_1x64x56x56", "--device", "cpu", "--peer", "torch"],
      ...["--python", python, "--seconds", "0.05"],
    );
    expect(status).toBe(1);
    expect(stderr).toContain("2 of 2 rows are INVALID");
    expect(stdout).toContain("INVALID  mean_1x64x56x56 fwd  torch: result 1: sum 123.0000 and sum of |x| 10.00000, not ");
    expect(report().rows[0].cells[1]).toMatchObject({ id: "torch", status: "invalid", ms: 5 });
  });

  it("says which option or name is wrong", () => {
    expect(bench("--only", "nothing").stderr).toContain("no row has nothing");
    expect(bench("--peer", "caffe").stderr).toContain("no peer is named caffe");
    expect(bench("--size", "huge").stderr).toContain("expected full or small");
  });
});

describe("a comparison", () => {
  const pace = { seconds: 0.01, rounds: 2, limit: 1 };

  it("goes on when a contestant fails, is too slow or dies", async () => {
    const comparison = new Comparison(
      [
        entrant("ours", { load: loaded(1), measure: { samples: [4, 1, 2] }, unload: {} }, true),
        entrant("fails", { load: { error: "cannot\nat line 3" } }),
        entrant("slow", {}),
        entrant("right", { load: loaded(1.0001), measure: { samples: [3] }, unload: {} }),
        { ...entrant("dies", {}), command: [process.execPath, "-e", "process.exit(3)"] },
      ],
      pace,
    );
    await comparison.open();
    expect([...comparison.absent]).toEqual([["dies", "the process ended (3)"]]);
    for (let round = 0; round < 2; round++) {
      const row = await comparison.row(task);
      expect(row.cells.map(({ id, status, note, ms }) => [id, status, note, ms])).toEqual([
        ["ours", "ok", "", 2],
        ["fails", "none", "cannot", null],
        ["slow", "cut off", "no answer within 1 s", null],
        ["right", "ok", "", 3],
      ]);
    }
    comparison.close();
  });

  it("rejects when one of ours does not start", async () => {
    const comparison = new Comparison([{ ...entrant("x", {}, true), command: [process.execPath, "-e", "process.exit(3)"] }], pace);
    await expect(comparison.open()).rejects.toThrow("x does not start: the process ended (3)");
    comparison.close();
  });
});

describe("figures", () => {
  it("differ by more than rounding", () => {
    const result = (sum: number, absolute: number, ...losses: number[]) => ({ sums: [[sum, absolute] as const], losses });
    expect(difference(result(1, 100), result(1.002, 100.002))).toBeNull();
    expect(difference(result(1, 100), result(1.1, 100))).toMatch(/^result 1: sum 1.000000/);
    expect(difference(result(Number.NaN, 100), result(1, 100))).toMatch(/NaN/);
    expect(difference(result(1, 100, 2.3, 2.2), result(1, 100, 2.3))).toBeNull();
    expect(difference(result(1, 100, 2.3, 2.2), result(1, 100, 2.3, 2.1))).toBe("loss 2 is 2.20000, not 2.10000");
  });

  it("are judged against the better peer whose numbers are right, and the machine's limit", () => {
    const cell = (id: string, ms: number, status: "ok" | "invalid" = "ok") => ({
      ...{ id, ms, status, note: "", samples: 1, spread: 0, firstMs: 1, result: null, work: null, error: null },
    });
    const cells = [cell("wasm", 10), cell("jax-wasm", 30), cell("tfjs-wasm", 12, "invalid"), cell("torch", 1)];
    const row = { workload: "matmul_1024", direction: "fwd" as const, flops: 2 * 1024 ** 3, bytes: 0, cells };
    const roofline = { threads: 2, gigaflops: 400, gigabytes: 10, relaxed: true };
    expect(verdicts(row, "wasm", roofline).map(({ against, wanted, holds }) => [against, wanted, holds])).toEqual([
      ["jax-wasm", 1.5, true],
      ["torch", 0.2, false],
      ["limit", 0.55, false],
    ]);
    expect(shareOfLimit(row, 10, roofline)).toBeCloseTo(0.537, 3);
    expect(shareOfLimit({ ...row, bytes: 2e8 }, 40, roofline)).toBeCloseTo(0.5, 6);
  });

  it("come from inputs that other languages make too", () => {
    expect([...fill(7, 3, 0.5)]).toEqual([0.06817084550857544, 0.18272346258163452, -0.3553835153579712]);
    expect(sumsOf(new Float32Array([1, -2]))).toEqual([-1, 3]);
  });

  it("have one row for each workload and direction", () => {
    const rows = tasksOf("full").map(({ workload, direction }) => `${workload} ${direction}`);
    expect(new Set(rows).size).toBe(rows.length);
    expect(rows).toContain("hornet_tiny_2x3x64x64 step");
  });

  it("count the multiply-adds of networks as their summaries do", () => {
    const tiny = tasksOf("full").find(({ workload }) => workload === "hornet_tiny_1x3x224x224") as Task;
    expect(flopsOf(tiny)).toBe(2 * summary(createModel("hornet_tiny_7x7", { meta: true }), [1, 3, 224, 224]).macs);
  });
});
