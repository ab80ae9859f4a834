/** `crabro race` from the command line, and what it draws. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Lane } from "../../cli/race/race.js";
import { distanceOf, laneLine, racePage, raceTable, sparkline, speedOf } from "../../cli/race/show.js";
import { source } from "../commands.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-race-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const crabro = (...argv: string[]) => spawnSync(process.execPath, [...source("cli/main.ts"), "race", ...argv], { encoding: "utf8" });

describe("a race", () => {
  it("trains alike on devices of every kind, one after the other, and says which is faster", () => {
    const [json, html] = [join(folder, "race.json"), join(folder, "race.html")];
    const flags = ["--devices", "wasm,gpujs:webasm", "--steps", "3", "-b", "2", "--json", json, "--html", html];
    const { status, stdout, stderr } = crabro(...flags);
    expect([status, stderr]).toEqual([0, ""]);
    const { lanes } = JSON.parse(readFileSync(json, "utf8")) as { lanes: (Lane & { imagesPerSecond: number; offBy: number | null })[] };
    expect(lanes.map(({ device, state }) => [device, state])).toEqual(["wasm", "gpujs:webasm"].map((name) => [name, "done"]));
    for (const lane of lanes) {
      expect(lane.losses).toHaveLength(3);
      expect(lane.imagesPerSecond).toBeGreaterThan(0);
      expect(lane.accuracy).toBe(lanes[0].accuracy);
      expect(lane.description).toContain(lane.device.split(":")[0]);
    }
    expect(lanes[0].offBy).toBeNull();
    for (const { offBy } of lanes.slice(1)) expect(offBy).toBeLessThan(1e-3);
    expect(stdout).toMatch(/^wasm +[▁▂▃▄▅▆▇█]{3} {2}loss \d\.\d{4} {2}step 3\/3 {2}\S+ images\/s$/m);
    expect(stdout).toMatch(/^gpujs:webasm +\S+ +\S+ +\S+ +\d\.\d{4} +\d\.\de-\d+ +\S+ %$/m);
    expect(readFileSync(html, "utf8").match(/<svg/g)).toHaveLength(2);
  });

  it("goes on where a device does not open or a process ends, all at once, and fails", () => {
    const { status, stdout } = crabro("--devices", "abacus,cpu", "--steps", "1", "-b", "2", "--together");
    expect(status).toBe(1);
    expect(stdout).toMatch(/^abacus {2}failed: .*there is no device of this name/m);
    expect(stdout).toMatch(/^cpu .*step 1\/1/m);
  });

  it("says which option is wrong", () => {
    const { status, stderr } = crabro("--devices", "cpu,cpu");
    expect(status).toBe(2);
    expect(stderr).toMatch(/^crabro: .*expected names of devices, separated by commas, each once/);
  });
});

describe("what a race shows", () => {
  const lane = (device: string, more: Partial<Lane> = {}): Lane => ({
    ...{ device, description: `${device}: here`, losses: [4, 2, 1, 0.5], seconds: [5, 6, 7, 8], rates: [1, 2, 30, 10] },
    ...{ accuracy: 50, state: "done", reason: "", ...more },
  });
  const failed: Partial<Lane> = { losses: [], seconds: [], rates: [], accuracy: null, state: "failed", reason: "no\nroom" };
  const lanes = [lane("cpu"), lane("wasm", { losses: [4, 2, 1.25, 0.5], rates: [1, 1, 60, 80] }), lane("a <b>", failed)];

  it("is a curve of as many columns as fit, each the mean of its steps", () => {
    expect(sparkline([4, 2, 1, 0], 4, 8)).toBe("█▅▃▁    ");
    expect(
      sparkline(
        Array.from({ length: 48 }, (_, i) => (i < 24 ? 8 : 0)),
        8,
        48,
      ),
    ).toBe("█".repeat(12) + "▁".repeat(12));
    expect(sparkline([Number.NaN], 4, 1)).toBe("?");
  });

  it("tells speeds without the steps that compile, and distances from the first", () => {
    expect(lanes.map(speedOf)).toEqual([30, 80, null]);
    expect(lanes.map((each) => distanceOf(each, lanes))).toEqual([null, 0.25, null]);
    expect(
      raceTable(lanes)
        .split("\n")
        .map((line) => line.split(/ {2,}/).slice(0, 3)),
    ).toEqual([
      ["device", "images/s", "×"],
      ["wasm", "80.0", "2.67"],
      ["cpu", "30.0", "1.00"],
      ["a <b>", "–", "–"],
    ]);
    expect(laneLine(lanes[2], lanes, 4)).toBe("a <b>  failed: no room");
  });

  it("escapes what it puts into the page", () => {
    const page = racePage("steps < 5", lanes);
    expect(page).toContain("a &lt;b&gt;");
    expect(page).toContain("<title>steps &lt; 5</title>");
    expect(page).not.toContain("a <b>");
  });
});
