/** Every kind of step of the random programs, and so every record of the table, on every backend: values and gradients against cpu. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Device, device } from "../../index.js";
import { type Agreement, agree } from "./agree.js";
import { programs, run, runGradients, singles } from "./programs.js";

/** float32 on both sides; functions of reals differ by a few units of the last place, and long chains multiply that. */
const forward: Agreement = { compute: run, atol: 1e-4, rtol: 5e-4 };
const backward: Agreement = { compute: runGradients, atol: 2e-3, rtol: 1e-2 };

describe.each([
  ["wasm", 60],
  ["webgpu", 10],
] as const)("%s agrees with cpu", (name, runs) => {
  let cpu: Device;
  let other: Device;
  beforeAll(async () => {
    cpu = await device("cpu");
    other = await device(name, { verify: true });
  });
  afterAll(async () => {
    await cpu.close();
    await other.close();
  });

  it("on each kind of step", async () => {
    for (const program of singles) await agree(program, cpu, other, forward);
  });

  it("on the gradients of each kind of step", async () => {
    for (const program of singles) await agree(program, cpu, other, backward);
  });

  it("on random programs", async () => {
    await fc.assert(
      fc.asyncProperty(programs, (program) => agree(program, cpu, other, forward)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? runs) },
    );
  });

  it("on the gradients of random programs", async () => {
    await fc.assert(
      fc.asyncProperty(programs, (program) => agree(program, cpu, other, backward)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? runs) / 2 },
    );
  });
});
