/** The net under everything: a random program gives the same numbers fused, unfused, and interpreted. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../index.js";
import { type Program, programs, run, runGradients, show, steps } from "./programs.js";
import kept from "./seeds.json" with { type: "json" };

const ways = ["fused", "unfused", "interpreted", "interpreted unfused"] as const;
let devices: Record<(typeof ways)[number], Device>;

beforeAll(async () => {
  devices = {
    fused: await device("cpu", { verify: true }),
    unfused: await device("cpu", { fuse: false, verify: true }),
    interpreted: await device("cpu", { interpret: true }),
    "interpreted unfused": await device("cpu", { interpret: true, fuse: false }),
  };
});
afterAll(async () => {
  for (const d of Object.values(devices)) await d.close();
});

/** Fused kernels keep intermediate results in double precision and unfused ones round each to float32; nothing else may differ. */
async function agree(program: Program, compute = run, tolerance = 1): Promise<void> {
  const want = await compute(program, devices["interpreted unfused"]);
  for (const way of ["fused", "unfused", "interpreted"] as const) {
    const got = await compute(program, devices[way]);
    expect(got.length).toBe(want.length);
    got.forEach((result, t) => {
      expect(result.shape, `${way}: shape of result ${t}`).toEqual(want[t].shape);
      for (let i = 0; i < result.data.length; i++) {
        const [g, w] = [result.data[i], want[t].data[i]];
        if (!(Math.abs(g - w) <= tolerance * (2e-5 + 1e-4 * Math.abs(w))))
          throw new Error(`${way}: result ${t}, element ${i}: got ${g}, expected ${w}\n${show(program)}`);
      }
    });
  }
}

describe("fused = unfused = interpreted", () => {
  it("for programs that failed once", async () => {
    for (const program of kept as Program[]) {
      await agree(program);
      await agree(program, runGradients, 20);
    }
  });

  it("for each kind of step alone", async () => {
    for (let op = 0; op < steps.length; op++) {
      const leaves = [
        [2, 3, 4, 5],
        [4, 1, 5],
        [6, 4],
      ];
      const single = { op, a: 2, b: 2, p: 1, q: 1 };
      await agree({ leaves, instructions: [single, { ...single, a: 0, b: 0 }, { ...single, a: 2, p: 2, q: 2 }] });
    }
  });

  it("for the gradients of random programs", async () => {
    // Gradients of chains of exp and division multiply the rounding of what they pass through.
    await fc.assert(
      fc.asyncProperty(programs, async (program) => agree(program, runGradients, 20)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 150) / 2 },
    );
  });

  it("for random programs", async () => {
    const runs = Number(process.env.FUZZ_RUNS ?? 150);
    await fc.assert(
      fc.asyncProperty(programs, async (program) => agree(program)),
      { numRuns: runs },
    );
  });
});
