/** The comparison of HorFPN: what counts as made, what the page says of it, and what is missing. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { costOf } from "../../bench/horfpn/cost.js";
import { chartOf, documentOf } from "../../bench/horfpn/document.js";
import { addResult, median, type Result, readResults, runsOf, spreadOf, timeOf } from "../../bench/horfpn/results.js";
import { flagsOf, titleOf, type Variant, variants } from "../../bench/horfpn/variants.js";

const spawn = (...argv: string[]) => spawnSync(process.execPath, ["--import", "tsx", ...argv], { encoding: "utf8" });
const crabro = (...argv: string[]) => spawn("cli/main.ts", ...argv);
const folder = mkdtempSync(join(tmpdir(), "crabro-horfpn-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const [fpn, horfpn] = variants;
const around = { threads: 2, load: 0.1, machine: "a machine", date: "2025-01-01" };

const run = (variant: Variant, seed: number, ap50: number, more: Partial<Result> = {}): Result =>
  ({
    kind: "run",
    ...variant,
    seed,
    flags: flagsOf(variant),
    epochs: [10, ap50].map((value) => ({
      test_box_ap50: value,
      test_box_ap: value / 2,
      test_mask_ap50: value - 5,
      test_mask_ap: value / 3,
    })),
    seconds: 300,
    ...around,
    ...more,
  }) as Result;

describe("results", () => {
  it("count once a seed, and only with the flags of today", () => {
    const path = join(folder, "raw.jsonl");
    expect(readResults(path)).toEqual([]);
    const all = [run(fpn, 1, 50), run(fpn, 0, 40), run(fpn, 1, 60), run(fpn, 2, 99, { flags: ["--epochs", "100"] })];
    for (const result of all) addResult(path, result);
    const read = readResults(path);
    expect(read).toEqual(all);
    expect(runsOf(read, fpn, flagsOf(fpn)).map(({ seed, epochs }) => [seed, epochs[1].test_box_ap50])).toEqual([
      [0, 40],
      [1, 60],
    ]);
    expect(runsOf(read, horfpn, flagsOf(horfpn))).toEqual([]);
    expect(timeOf(read, fpn, flagsOf(fpn))).toBeNull();
    writeFileSync(path, `${readFileSync(path, "utf8")}{"kind"`);
    expect(() => readResults(path)).toThrow(`${path}, line 5: `);
  });

  it("have mean, deviation and median", () => {
    expect(spreadOf([1, 3])).toEqual({ mean: 2, deviation: Math.SQRT2 });
    expect(spreadOf([4])).toEqual({ mean: 4, deviation: null });
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
  });
});

describe("the page", () => {
  const costs = new Map(variants.map((variant) => [titleOf(variant), { parameters: 1234, multiplyAdds: 5.6e7 }]));
  it("says what was measured, what it gains, and what is missing", () => {
    const time = (variant: Variant, milliseconds: readonly number[]): Result => ({
      kind: "time",
      ...variant,
      flags: flagsOf(variant),
      milliseconds,
      ...around,
    });
    const results = [
      run(fpn, 0, 40),
      run(fpn, 1, 44),
      run(horfpn, 1, 50),
      run(horfpn, 0, 44),
      time(fpn, [200, 100, 300]),
      time(horfpn, [250]),
    ];
    const text = documentOf({ results, costs, seeds: 3, flags: flagsOf });
    expect(text).toContain("| `fpn` | 2 | 42.00 ± 2.83 | 21.00 ± 1.41 | 37.00 ± 2.83 | 14.00 ± 0.94 | 1,234 | 56 M | 200 |");
    expect(text).toContain("| `horfpn_gf` | 0 | – | – | – | – | 1,234 | 56 M | – |");
    expect(text).toContain("- `horfpn_7x7` against `fpn`, over 2 seeds: box AP50 +5.00 (± 1.41), box AP +2.50 (± 0.71)");
    expect(text).toContain("a step takes 1.25 times as long.");
    expect(text).toContain("**Not complete:** of the runs, `fpn` has 2 of 3, `horfpn_7x7` has 2 of 3, `horfpn_gf` has 0 of 3.");
    expect(text).toContain("**Not complete:** of the runs, `uper` has 0 of 3");
    expect(text).not.toMatch(/NaN|undefined/);
    const chart = chartOf("detect", { results, costs, seeds: 3, flags: flagsOf });
    expect(chart.match(/class="line/g)).toHaveLength(2);
    expect(chart).toMatch(/^<svg xmlns=/);
  });
});

describe("npm run horfpn", () => {
  it("makes what is missing, once, and the page from it", () => {
    const dir = (name: string): string => join(folder, name);
    const made = crabro("data", "digits-scenes", "--to", dir("scenes"), "--train", "8", "--val", "4");
    expect(made.status).toBe(0);
    const backbone = [
      "--dataset",
      "synthetic",
      "--in-chans",
      "3",
      "--train-limit",
      "16",
      "--val-limit",
      "16",
      "-b",
      "16",
      "--device",
      "wasm",
    ];
    expect(crabro("train", ...backbone, "--output", dir("backbone")).status).toBe(0);
    const files = [
      "--data",
      dir("scenes"),
      "--work",
      dir("work"),
      "--docs",
      dir("docs"),
      "--backbone",
      dir("backbone/model_best.safetensors"),
    ];
    const flags = ["--trial", "--seeds", "1", "--only", "segment/horfpn_7x7", "--threads", "1", ...files];
    const first = spawn("bench/horfpn/main.ts", ...flags);
    expect([first.status, first.stderr]).toEqual([0, ""]);
    const [result] = readResults(dir("docs/horfpn.jsonl"));
    expect(result).toMatchObject({
      kind: "run",
      task: "segment",
      name: "horfpn_7x7",
      seed: 0,
      epochs: [{ test_miou: expect.any(Number) }],
    });
    expect(readFileSync(dir("docs/horfpn.md"), "utf8")).toMatch(/\| `horfpn_7x7` \| 1 \| \d+\.\d\d \|/);
    const again = spawn("bench/horfpn/main.ts", ...flags);
    expect(again.stdout).toContain("[1/1] segment/horfpn_7x7, seed 0: there already");
    expect(readResults(dir("docs/horfpn.jsonl"))).toHaveLength(1);
    const wrong = spawn("bench/horfpn/main.ts", ...flags, "--only", "fpm");
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining("there is no fpm; there are detect/fpn, ")]);
  });
});

describe("costs", () => {
  it("are counted from networks without values: HorFPN has more parameters than the plain head where it widens, and fewer multiply-adds", () => {
    const [uper, head] = variants.filter(({ task }) => task === "segment").map(costOf);
    expect(head.multiplyAdds).toBeLessThan(uper.multiplyAdds);
    const [plain, seven, gf] = variants.filter(({ task }) => task === "detect").map(costOf);
    expect(new Set([plain.parameters, seven.parameters, gf.parameters]).size).toBe(3);
    expect(Math.min(plain.multiplyAdds, seven.multiplyAdds, gf.multiplyAdds)).toBeGreaterThan(1e6);
  });
});
