/** The net under everything: a random program gives the same numbers fused, unfused, and interpreted. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../engine/graph.js";
import { type Device, device, opTable } from "../../index.js";
import { type Agreement, agree } from "./agree.js";
import { build, lossOf, type Program, programs, run, runGradients, singles } from "./programs.js";
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
const forward: Agreement = { compute: run, atol: 2e-5, rtol: 1e-4 };
/** Gradients of chains of exp and division multiply the rounding of what they pass through. */
const backward: Agreement = { compute: runGradients, atol: 4e-4, rtol: 2e-3 };

const others = ["fused", "unfused", "interpreted"] as const;

async function allAgree(program: Program, how: Agreement, among: readonly (typeof ways)[number][] = others): Promise<void> {
  for (const way of among) await agree(program, devices["interpreted unfused"], devices[way], how);
}

describe("fused = unfused = interpreted", () => {
  it("for programs that failed once", async () => {
    for (const program of kept as Program[]) {
      await allAgree(program, forward);
      await allAgree(program, backward);
    }
  });

  it("for each kind of step alone", async () => {
    for (const program of singles) await allAgree(program, forward, ["fused", "unfused"]);
  });

  it("for the gradients of each kind of step alone", async () => {
    for (const program of singles) await allAgree(program, backward, ["fused"]);
  });

  it("for the gradients of random programs", async () => {
    await fc.assert(
      fc.asyncProperty(programs, async (program) => allAgree(program, backward)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 150) / 2 },
    );
  });

  it("for random programs", async () => {
    const runs = Number(process.env.FUZZ_RUNS ?? 150);
    await fc.assert(
      fc.asyncProperty(programs, async (program) => allAgree(program, forward)),
      { numRuns: runs },
    );
  });
});

describe("the steps", () => {
  it("draw every record of the table", () => {
    const drawn = new Set<string>();
    const seen = new Set<Node>();
    const visit = (node: Node): void => {
      if (seen.has(node)) return;
      seen.add(node);
      drawn.add(node.op.name);
      node.inputs.forEach(visit);
    };
    for (const program of singles) {
      const made = build(program, devices.fused, true);
      for (const t of made) visit(t.node);
      lossOf(made, devices.fused)?.backward();
      for (const { grad } of made) if (grad !== null) visit(grad.node);
    }
    expect([...opTable.keys()].filter((name) => !drawn.has(name))).toEqual([]);
  });
});
