/** Every kind of step of the random programs, and so every record of the table, on every backend: values and gradients against cpu. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../index.js";
import { type Agreement, agree } from "./agree.js";
import { type Program, programs, run, runGradients, singles, steps } from "./programs.js";

/** float32 on both sides; functions of reals differ by a few units of the last place, and long chains multiply that. */
const forward: Agreement = { compute: run, atol: 1e-4, rtol: 5e-4 };
const backward: Agreement = { compute: runGradients, atol: 2e-3, rtol: 1e-2 };

/** Steps that a device cannot represent, with what it says of them. */
interface Refusal {
  readonly step: string;
  readonly reason: RegExp;
}
const wideIntegers: readonly Refusal[] = [{ step: "record random", reason: /32-bit words are beyond the integers/ }];

const uses = ({ step }: Refusal, { instructions }: Program): boolean => instructions.some(({ op }) => steps[op % steps.length][0] === step);

describe.each<readonly [name: string, runs: number, refused: readonly Refusal[]]>([
  ["wasm", 60, []],
  ["webgpu", 10, []],
  ["gpujs:cpu", 10, wideIntegers],
  ["gpujs:webasm", 10, wideIntegers],
  ["gpujs:webgpu", 10, wideIntegers],
])("%s agrees with cpu", (name, runs, refused) => {
  let cpu: Device;
  let other: Device;
  const possible = (program: Program): Program => ({
    ...program,
    instructions: program.instructions.filter(
      (instruction) => !refused.some((each) => uses(each, { leaves: [], instructions: [instruction] })),
    ),
  });
  const random = programs.map(possible);
  beforeAll(async () => {
    cpu = await device("cpu");
    other = await device(name, { verify: true });
  });
  afterAll(async () => {
    await cpu.close();
    await other.close();
  });

  it("on each kind of step", async () => {
    for (const program of singles.map(possible)) await agree(program, cpu, other, forward);
  });

  it("on the gradients of each kind of step", async () => {
    for (const program of singles.map(possible)) await agree(program, cpu, other, backward);
  });

  it("and refuses what it cannot represent", async () => {
    for (const each of refused) {
      const program = singles.find((single) => uses(each, single));
      if (program === undefined) throw new Error(`no program has the step "${each.step}"`);
      await expect(run(program, other)).rejects.toThrow(each.reason);
    }
  });

  it("on random programs", async () => {
    await fc.assert(
      fc.asyncProperty(random, (program) => agree(program, cpu, other, forward)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? runs) },
    );
  });

  it("on the gradients of random programs", async () => {
    await fc.assert(
      fc.asyncProperty(random, (program) => agree(program, cpu, other, backward)),
      { numRuns: Math.ceil(Number(process.env.FUZZ_RUNS ?? runs) / 2) },
    );
  });
});
