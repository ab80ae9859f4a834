import fc from "fast-check";
import * as vitest from "vitest";
import { runBackendTests } from "../../backends/conformance.js";
import { gelu } from "../../backends/conformance-kernels.js";
import { openDevice } from "../../backends/webgpu/adapter.js";
import { createWebgpuBackend } from "../../backends/webgpu/index.js";
import { Pipelines } from "../../backends/webgpu/pipelines.js";
import { openFolder } from "../../conformance/disk.js";
import { tasksOf } from "../../conformance/tasks.js";
import * as crabro from "../../index.js";
import { type Device, defaultDevice, device, setDefaultDevice } from "../../index.js";
import { type Program, programs, run, show } from "../fuzz/programs.js";
import { skip } from "./webgpu-skip.js";

const { afterAll, beforeAll, describe, expect, it } = vitest;

runBackendTests({ name: "webgpu", create: () => createWebgpuBackend(), skip }, vitest);

describe("webgpu", () => {
  let webgpu: Device;
  beforeAll(async () => {
    webgpu = await device("webgpu", { verify: true });
  });
  afterAll(() => webgpu.close());

  it("says what it runs on", () => {
    expect(webgpu.describe()).toMatch(/^webgpu: .*WGSL, on \S/);
  });

  it("quotes the line of a shader that does not compile", async () => {
    const { device: gpu } = await openDevice({});
    const kernel = { ...gelu(4), name: "broken" };
    const source = "@compute @workgroup_size(1)\nfn main() {\n  let x = nothing;\n}\n";
    const error = await new Pipelines(gpu).get(kernel, source).catch((caught: Error) => caught);
    expect(error).toMatchObject({ name: "BackendError", message: expect.stringMatching(/broken.*nothing.*in line 3: let x = nothing;/s) });
    gpu.destroy();
  });

  it("agrees with cpu on random programs", async () => {
    const cpu = await device("cpu", { interpret: true, fuse: false });
    const agree = async (program: Program): Promise<void> => {
      const want = await run(program, cpu);
      const got = await run(program, webgpu);
      got.forEach((result, t) => {
        expect(result.shape).toEqual(want[t].shape);
        for (let i = 0; i < result.data.length; i++) {
          const [g, w] = [result.data[i], want[t].data[i]];
          if (!(Math.abs(g - w) <= 1e-4 + 5e-4 * Math.abs(w)))
            throw new Error(`result ${t}, element ${i}: got ${g}, expected ${w}\n${show(program)}`);
        }
      });
    };
    await fc.assert(fc.asyncProperty(programs, agree), { numRuns: Number(process.env.FUZZ_RUNS ?? 40), seed: 20 });
    await cpu.close();
  });

  // A case of each operation, and the parts of the micro networks; whole networks take the software adapter too long, and all cases
  // are for `npm run conformance -- --device webgpu`.
  const wholeNetworks = new Set(["HorNet", "trajectory"]);
  for (const name of ["ops", "models"]) {
    const folder = openFolder(new URL(`../fixtures/${name}`, import.meta.url).pathname);
    const tasks = tasksOf(folder).filter((task) => task.family !== "errors" && !wholeNetworks.has(task.op));
    const first = [...new Map([...tasks].reverse().map((task) => [task.op, task])).values()].reverse();
    for (const family of new Set(first.map((task) => task.family))) {
      it(`agrees with PyTorch on ${name}: ${family}`, { timeout: 240_000 }, async () => {
        const before = defaultDevice();
        setDefaultDevice(webgpu);
        for (const task of first.filter((each) => each.family === family)) {
          expect(await task.run(crabro, webgpu), task.id).toMatchObject({ status: "passed", message: "" });
        }
        setDefaultDevice(before);
      });
    }
  }
});

describe('device("auto")', () => {
  it("takes no software adapter, and says what it passed over", async () => {
    const best = await device("auto");
    if (best.name !== "webgpu") expect(best.describe()).toMatch(/\(not on webgpu: .+\)$/);
    else expect(best.describe()).not.toContain("(software)");
    await best.close();
  });
});
