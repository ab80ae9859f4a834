/** The command for machines with a GPU, tried on the software adapter. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleGpu } from "../../bench/gpu/build.js";
import type { Report } from "../../bench/gpu/report.js";
import { kernelWorkloads, stepWorkloads } from "../../bench/gpu/workloads.js";

const root = resolve(import.meta.dirname, "../..");
// What a bare machine has: the bundle, the package webgpu, and a few files of the repository.
const bare = mkdtempSync(join(tmpdir(), "crabro-gpu-"));
afterAll(() => rmSync(bare, { recursive: true }));
beforeAll(async () => {
  await bundleGpu(join(bare, "dist/gpu.js"));
  mkdirSync(join(bare, "node_modules/@sparticuz"), { recursive: true });
  for (const name of ["webgpu", "debug", "ms", "@sparticuz/chromium"])
    symlinkSync(join(root, "node_modules", name), join(bare, "node_modules", name));
  cpSync(join(root, "bench/gpu/torch_peer.py"), join(bare, "bench/gpu/torch_peer.py"));
});

function gpu(...flags: string[]): { readonly status: number | null; readonly output: string; readonly report: Report } {
  const json = join(bare, "report.json");
  const env = { ...process.env };
  for (const name of ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "LD_LIBRARY_PATH"]) delete env[name];
  const run = spawnSync(process.execPath, [join(bare, "dist/gpu.js"), "--json", json, ...flags], {
    cwd: bare,
    env,
    encoding: "utf8",
    timeout: 200_000,
  });
  return { status: run.status, output: run.stdout + run.stderr, report: JSON.parse(readFileSync(json, "utf8")) as Report };
}

describe("npm run gpu", () => {
  it("measures every workload, the roofline and memory, by one command", () => {
    const { status, output, report } = gpu("--software", "--only", "roofline", "kernels", "memory", "torch", "--python", "no-such-python");
    expect(status, output).toBe(0);
    expect(report.device).toMatch(/WGSL.*\(software\)/);
    const { bytesPerSecond = 0, flopsPerSecond = 0, matmulFlopsPerSecond = 0 } = report.roofline ?? {};
    for (const rate of [bytesPerSecond, flopsPerSecond, matmulFlopsPerSecond]) expect(rate).toBeGreaterThan(1e6);
    const rows = report.rows.filter((row) => row.part === "kernels");
    expect(rows.map((row) => row.name)).toEqual(kernelWorkloads("software").map((work) => work.name));
    for (const { name, milliseconds, share } of rows) {
      expect(milliseconds, name).toBeGreaterThan(0);
      expect(share, name).toBeGreaterThan(0);
    }
    expect(report.memory).toMatchObject({ laterPlans: expect.any(Number), steps: 12 });
    expect(output).toMatch(/PyTorch +not measured: no-such-python has no PyTorch/);
    expect(output).toMatch(/conformance +not measured/);
    expect(output).toMatch(/hornet_micro_7x7 32 px, batch 2, training step +not measured/);
  });

  it("says of each figure that it was not measured where there is no GPU", () => {
    const { status, output, report } = gpu("--quick");
    if (status === 0) return expect(report.device).not.toContain("(software)");
    expect(status).toBe(2);
    expect(report.device).toMatch(/^none: webgpu: /);
    for (const { name } of [...kernelWorkloads("quick"), ...stepWorkloads("quick")]) expect(output).toContain(name);
    expect(report.rows.every((row) => row.milliseconds === null)).toBe(true);
    expect(output.match(/not measured/g)?.length).toBeGreaterThan(report.rows.length);
  });
});
