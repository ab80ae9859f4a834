/** `crabro bench`: our devices on the same work, from the command line and in its parts. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { type Cell, errorOf, type Row } from "../../bench/compare.js";
import { probeOf } from "../../bench/inputs.js";
import type { Report } from "../../bench/report.js";
import { charts, showDevices } from "../../bench/side-by-side.js";
import { main } from "../../cli/commands/program.js";
import { source } from "../commands.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-side-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const crabro = (...argv: string[]) => spawnSync(process.execPath, [...source("cli/main.ts"), "bench", ...argv], { encoding: "utf8" });

describe("crabro bench", () => {
  it("runs the same work on devices of every kind, holds them against cpu, and writes figures and charts", () => {
    const flags = ["--devices", "wasm,gpujs:cpu", "--only", "matmul_256 fwd,chain", "--seconds", "0.02", "--threads", "2", "--out", folder];
    const { status, stdout, stderr } = crabro(...flags);
    expect([status, stderr]).toEqual([0, ""]);
    const report = JSON.parse(readFileSync(join(folder, "devices.json"), "utf8")) as Report;
    expect(Object.keys(report.contestants)).toEqual(["cpu", "wasm", "gpujs:cpu"]);
    expect(report.rows.map(({ workload, direction }) => `${workload} ${direction}`)).toEqual([
      ...["matmul_256 fwd", "matmul_256 fwd+bwd", "chain_1x256x56x56 fwd", "chain_1x256x56x56 fwd+bwd"],
    ]);
    for (const { cells } of report.rows) {
      expect(cells.map(({ id, status: each }) => [id, each])).toEqual(["cpu", "wasm", "gpujs:cpu"].map((id) => [id, "ok"]));
      expect(cells[0].error).toBeNull();
      for (const cell of cells.slice(1)) expect(cell.error).toBeLessThan(1e-5);
      for (const { ms, work } of cells) {
        expect(ms).toBeGreaterThan(0);
        expect(work?.launches).toBeGreaterThan(0);
        expect(work?.bytes).toBeGreaterThan(0);
      }
    }
    // 256 × 256 sums of 256 products: two operations each, whoever runs them.
    for (const { work } of report.rows[0].cells) expect(work?.flops).toBe(2 * 256 ** 3);
    expect(stdout).toMatch(/^ +gpujs:cpu( +[\d.e-]+){6} +\d+ +\d\.\de[+-]\d+$/m);
    expect(readFileSync(join(folder, "devices.svg"), "utf8").match(/<svg /g)).toHaveLength(7);
  });

  it("says which work there is, and what is wrong with what it is told", async () => {
    const out = vi.spyOn(process.stdout, "write").mockImplementation(() => true);
    const errors = vi.spyOn(console, "error").mockImplementation(() => {});
    try {
      expect(await main(["bench", "--list"])).toBe(0);
      expect(out.mock.calls.join("")).toMatch(/^gnconv_1x64x28x28 fwd\+bwd$/m);
      expect(await main(["bench", "--only", "nothing"])).toBe(2);
      expect(errors.mock.calls).toEqual([["crabro: no work has nothing in its name; --list shows what there is"]]);
    } finally {
      out.mockRestore();
      errors.mockRestore();
    }
    const absent = crabro("--devices", "abacus", "--only", "matmul_256", "--out", folder);
    expect(absent.status).toBe(2);
    expect(absent.stderr).toMatch(/^crabro: abacus does not start: abacus: there is no device of this name/);
  });
});

describe("the error of a device", () => {
  const result = (probes: number[][], losses: number[] = []) => ({ sums: [], losses, probes });

  it("is the largest distance, relative to the largest value of each result", () => {
    expect(
      errorOf(
        result([
          [1, 2],
          [100, 0],
        ]),
        result([
          [1, 2.5],
          [101, 0],
        ]),
      ),
    ).toBeCloseTo(0.2);
    expect(errorOf(result([[0, 1e-9]]), result([[0, 0]]))).toBe(1e-9);
    expect(errorOf(result([], [2, 1]), result([], [2, 1.1, 0.9]))).toBeCloseTo(0.05);
    expect(errorOf(result([[Number.NaN]]), result([[1]]))).toBeNaN();
    expect(errorOf(result([]), result([]))).toBeNull();
  });

  it("is taken from elements at even distances", () => {
    expect(probeOf(Float32Array.of(3, 4))).toEqual([3, 4]);
    const probe = probeOf(Float32Array.from({ length: 10_000 }, (_, i) => i));
    expect([probe.length, probe[0], probe[4095]]).toEqual([4096, 0, 9997]);
  });
});

describe("the table and the charts", () => {
  const cell = (id: string, more: Partial<Cell> = {}): Cell => ({
    ...{ id, status: "ok", note: "", ms: 2, samples: 3, spread: 0, firstMs: 5, result: null },
    ...{ work: { launches: 4, flops: 6e6, bytes: 8e6 }, error: null, ...more },
  });
  const row: Row = {
    ...{ workload: "work", direction: "fwd", flops: 0, bytes: 0 },
    cells: [cell("cpu"), cell("<wasm>", { ms: 1, error: 0.001 }), cell("gone", { status: "none", note: "no room", ms: null, work: null })],
  };
  const report: Report = {
    machine: { processor: "a processor", cores: 2, node: "v1", platform: "p" },
    ...{ size: "small", threads: 1, contestants: { cpu: "cpu", "<wasm>": "fast", gone: "gone" }, ours: ["cpu", "<wasm>", "gone"] },
    ...{ absent: {}, roofline: null, rows: [row], verdicts: [], leftOut: [] },
  };

  it("show time, rates, bytes, launches and error", () => {
    const lines = showDevices(report, "cpu").split("\n");
    const cells = lines.filter((line) => /^(work fwd)? +(cpu|<wasm>|gone) /.test(line)).map((line) => line.trim().split(/ {2,}/));
    expect(cells).toEqual([
      ["work fwd", "cpu", "2.00", "1.00", "500", "3.00", "8.00", "4.00", "4", "reference"],
      ["<wasm>", "1.00", "2.00", "1000", "6.00", "8.00", "8.00", "4", "1.0e-3"],
      ["gone", "–", "–", "–", "–", "–", "–", "–", "NONE"],
    ]);
    expect(lines.at(-1)).toBe("none  work fwd  gone: no room");
  });

  it("leave out what nothing is known of, and escape names", () => {
    const svg = charts(report);
    expect(svg.match(/<svg /g)).toHaveLength(7);
    expect(svg).toContain("&#60;wasm&#62;: 6.000 GFLOP/s");
    const without = { ...report, rows: [{ ...row, cells: row.cells.map((each) => ({ ...each, error: null, work: null })) }] };
    expect(charts(without).match(/<svg /g)).toHaveLength(3);
  });
});
