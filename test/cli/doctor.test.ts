/** `crabro devices`, `doctor` and `profile`, and the software adapter by name. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createCpuBackend } from "../../backends/cpu/index.js";
import { main } from "../../cli/commands/program.js";
import { environmentIn } from "../../cli/software.js";
import { device, registerBackend, setDefaultDevice } from "../../index.js";
import { root, source } from "../commands.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-doctor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let output = "";
beforeEach(() => {
  output = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += text;
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  setDefaultDevice(await device("cpu"));
});

describe("crabro doctor", () => {
  it("says PASS of a backend that computes right, and how much was checked", async () => {
    expect(await main(["doctor", "cpu", "--filter", "device|scalar|training"])).toBe(0);
    expect(output).toMatch(/^cpu +PASS {2}\d+ checks {2}\d+\.\d s {2}cpu: kernels printed as JavaScript/);
  });

  it("ends with a table of several devices, and of who must be there", async () => {
    expect(await main(["doctor", "cpu", "gpujs:cpu", "--filter", "device|scalar relu"])).toBe(0);
    const rows = output
      .slice(output.indexOf("\ndevice"))
      .trim()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    expect(rows.map(([name, verdict]) => [name, verdict])).toEqual([
      ["device", "verdict"],
      ["cpu", "PASS"],
      ["gpujs:cpu", "PASS"],
    ]);
    expect(rows[0].slice(2)).toEqual(["passed", "failed", "not offered", "in Node", "in a page"]);
    for (const [, , passed, failed, , where] of rows.slice(1)) {
      expect(Number(passed)).toBeGreaterThan(0);
      expect([failed, where]).toEqual(["0", "required"]);
    }
  });

  it("says FAIL, and which checks failed, of one that computes wrong, and ends with status 1", async () => {
    registerBackend("crooked", () => {
      const backend = createCpuBackend({});
      const run = backend.run.bind(backend);
      // Forgets the last of several launches.
      backend.run = (launches, times) => run(launches.length > 1 ? launches.slice(0, -1) : launches, times);
      return backend;
    });
    const json = join(folder, "doctor.json");
    expect(await main(["doctor", "crooked", "--filter", "device|training", "--json", json])).toBe(1);
    expect(output).toMatch(/^crooked +FAIL {2}\d+ of \d+ checks failed/);
    expect(output).toMatch(/\n {4}device launches of one run see each other's results: /);
    const [diagnosis] = JSON.parse(readFileSync(json, "utf8"));
    expect(diagnosis).toMatchObject({
      device: "crooked",
      verdict: "FAIL",
      failures: expect.arrayContaining([expect.stringMatching(/training/)]),
    });
  });

  it("fails for a device that was named and is not here", async () => {
    expect(await main(["doctor", "abacus"])).toBe(1);
    expect(output).toMatch(/^abacus +FAIL {2}abacus: there is no device of this name/);
  });
});

describe("crabro devices", () => {
  it("lists all, and software adapters by name only", async () => {
    expect(await main(["devices"])).toBe(0);
    expect(output).toMatch(/^cpu +PASS/m);
    expect(output).toMatch(/^webgpu +PASS .*WGSL/m);
    expect(output).toMatch(/^webgpu:software +by name only: crabro devices webgpu:software$/m);
  });

  it("finds the software adapter in a process that did not start in its environment", () => {
    const env = { ...process.env };
    for (const name of ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "LD_LIBRARY_PATH"]) delete env[name];
    const run = spawnSync(process.execPath, [...source("cli/main.ts"), "devices", "webgpu:software"], {
      cwd: root,
      env,
      encoding: "utf8",
    });
    expect(run.stdout).toMatch(/^webgpu:software +PASS .*\(software\)/);
    expect(run.status).toBe(0);
  });

  it("takes the name in every form, and no process more where the environment is there", () => {
    const driver = process.env.VK_DRIVER_FILES;
    expect(environmentIn(["train", "--device", "webgpu:software"])).toBeNull();
    delete process.env.VK_DRIVER_FILES;
    expect(environmentIn(["train", "--device", "webgpu:software"])).toHaveProperty("VK_DRIVER_FILES", driver);
    expect(environmentIn(["train", "--device=webgpu:software"])).toHaveProperty("VK_DRIVER_FILES", driver);
    expect(environmentIn(["train", "--device", "webgpu"])).toBeNull();
    process.env.VK_DRIVER_FILES = driver;
  });
});

describe("crabro profile", () => {
  it("prints each kernel against the roofline, and writes a trace", async () => {
    const trace = join(folder, "trace.json");
    const flags = ["--device", "wasm", "-b", "2", "--steps", "2", "--trace", trace];
    expect(await main(["profile", ...flags])).toBe(0);
    expect(output).toMatch(/^hornet_micro_7x7, forward, 2 steps of 2 × 32 × 32, on wasm/);
    expect(output).toMatch(/the device does .*FLOP\/s and .*B\/s/);
    expect(output).toMatch(/ms +\d+× .*FLOP\/s .*B\/s +\d+ % {2}\w+/);
    const { traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
    expect(traceEvents.filter(({ ph }: { ph: string }) => ph === "X").length % 2).toBe(0);
  });
});
