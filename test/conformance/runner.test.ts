/** The fixtures through the runner, and the runner itself: what is wrong must not pass. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../../conformance/disk.js";
import { type Folder, HostTensor } from "../../conformance/folder.js";
import { runModelCase } from "../../conformance/models.js";
import { type ErrorCase, flattenResult, type OpCase, runErrorCase, runOpCase } from "../../conformance/ops.js";
import { type Api, byTable, Missing, outcomeOf, type Refusal } from "../../conformance/outcome.js";
import { type Task, tasksOf } from "../../conformance/tasks.js";
import { wider } from "../../conformance/wider.js";
import { BackendError, InternalError, OpError } from "../../engine/errors.js";
import * as crabro from "../../index.js";

const path = (name: string): string => new URL(`../fixtures/${name}`, import.meta.url).pathname;
const ops = openFolder(path("ops"));
const models = openFolder(path("models"));
const files = openFolder(path("files"));
let cpu: crabro.Device;
beforeAll(async () => {
  cpu = await crabro.device("cpu");
  crabro.setDefaultDevice(cpu);
});

for (const folder of [ops, models, files]) {
  describe(`${folder.kind} on cpu`, () => {
    const all = tasksOf(folder);
    const name = (task: Task): string => (task.family === "errors" ? "calls that must be refused" : task.op);
    for (const group of new Set(all.map(name))) {
      it(group, { timeout: 120_000 }, async () => {
        for (const task of all.filter((each) => name(each) === group)) {
          expect(await task.run(crabro, cpu), task.id).toMatchObject({ status: "passed", message: "" });
        }
      });
    }
  });
}

/** A case of torch.mul with gradients, for the runner's own tests. */
const mul = (ops.index as { cases: OpCase[] }).cases.find((test) => test.op === "torch.mul" && test.grads.length > 0) as OpCase;
const withMul = (replaced: (...args: crabro.Tensor[]) => unknown): Api => ({ ...crabro, mul: replaced });

describe("the runner", () => {
  const run = (api: Api, test = mul) => runOpCase(api, cpu, ops, test);

  it("passes what is right", async () => {
    const outcome = await run(crabro);
    expect(outcome).toMatchObject({ status: "passed", message: "" });
    expect(outcome.error).toBeLessThanOrEqual(1);
  });

  it("fails a wrong value, and says where", async () => {
    const outcome = await run(withMul((a, b) => crabro.mul(a, b).add(0.01)));
    expect(outcome.status).toBe("failed");
    expect(outcome.error).toBeGreaterThan(1);
    expect(outcome.message).toMatch(/^output 0: element \d+ is .*, want .*\(\d+ of \d+ differ\)/);
  });

  it("fails a NaN in place of a number", async () => {
    const outcome = await run(withMul((a, b) => crabro.mul(a, b).add(Number.NaN)));
    expect(outcome).toMatchObject({ status: "failed", error: Number.POSITIVE_INFINITY });
    expect(outcome.message).toContain("is NaN, want");
  });

  it("fails a wrong gradient under a right value", async () => {
    const outcome = await run(withMul((a, b) => crabro.mul(a, b).detach().add(a.sub(a.detach()))));
    expect(outcome.status).toBe("failed");
    expect(outcome.message).toMatch(/gradient of in\.\d/);
    expect(outcome.message).not.toContain("output 0");
  });

  it("fails a missing gradient", async () => {
    const outcome = await run(withMul((a, b) => crabro.mul(a, b.detach())));
    expect(outcome).toMatchObject({ status: "failed", message: "gradient of in.1: there is none" });
  });

  it("fails another shape, another dtype, another number of results", async () => {
    expect((await run(withMul((a, b) => crabro.mul(a, b).unsqueeze(0)))).message).toMatch(/^output 0: shape \[1, .*\], want/);
    expect((await run(withMul((a, b) => crabro.eq(a, b)))).message).toMatch(/^output 0: dtype bool, want float32/);
    expect((await run(withMul((a, b) => [a, b]))).message).toBe("2 results, want 1");
  });

  it("fails a call that throws, and names the error", async () => {
    const broken = withMul(() => {
      throw new TypeError("x is undefined");
    });
    expect(await run(broken)).toMatchObject({ status: "failed", message: "TypeError: x is undefined" });
  });

  it("says what is missing", async () => {
    const { mul: _, ...without } = crabro as Api;
    expect(await run(without)).toEqual({ status: "missing", error: 0, message: "crabro has no mul" });
    expect(await run(crabro, { ...mul, op: "torch.unheard_of" })).toMatchObject({ status: "missing" });
    expect(await runModelCase(cpu, models, { id: "x", kind: "Transformer", file: "x", config: {} })).toMatchObject({ status: "missing" });
  });

  it("wants tied indices to point at equal values", async () => {
    const argmax = (ops.index as { cases: OpCase[] }).cases.find((test) => test.id === "argmax-tied") ?? tiedCase();
    const input = new HostTensor("tied.in.0", [1, 3], "float32", Float32Array.of(2, 2, 1));
    const want = new HostTensor("tied.out.0", [1], "int32", Int32Array.of(0));
    const folder = { tensor: (_: string, name: string) => (name === input.name ? input : want) } as unknown as Folder;
    const answer = (index: number): Api => ({ argmax: () => crabro.tensor(Int32Array.of(index)) });
    expect((await runOpCase(answer(1), cpu, folder, argmax)).status).toBe("passed");
    expect((await runOpCase(answer(2), cpu, folder, argmax)).message).toMatch(/value is 1; want index 0/);
    expect((await runOpCase(answer(1), cpu, folder, { ...argmax, outputs: [{ ...argmax.outputs[0], exact: true }] })).status).toBe(
      "failed",
    );
  });

  it("flattens records and lists of results in order, without nulls", () => {
    const [a, b, c] = [1, 2, 3].map((value) => crabro.tensor([value]));
    expect(flattenResult({ values: a, indices: b, more: null })).toEqual([a, b]);
    expect(flattenResult([a, [b, null], { c }])).toEqual([a, b, c]);
  });
});

function tiedCase(): OpCase {
  return {
    id: "tied",
    op: "torch.argmax",
    family: "reduction",
    file: "",
    args: [{ tensor: "tied.in.0" }],
    kwargs: { dim: 1 },
    outputs: [{ tensor: "tied.out.0", exact: false }],
    cotangents: [],
    grads: [],
  };
}

describe("calls that must be refused", () => {
  const test: ErrorCase = { id: "e", op: "torch.abs", args: [{ shape: [2], dtype: "F32", fill: 1 }], kwargs: {}, kind: "invalid" };
  const run = (abs: (x: crabro.Tensor) => unknown) => runErrorCase({ abs }, cpu, test);
  const throwing = (error: Error) => () => {
    throw error;
  };

  it("pass with an error of ours, when called or when read", async () => {
    expect((await run(throwing(new OpError("abs", "no")))).status).toBe("passed");
    expect((await run(throwing(new BackendError("cpu", "no")))).status).toBe("passed");
    expect((await run(() => Promise.reject(new OpError("abs", "no")))).status).toBe("passed");
  });

  it("fail when accepted, or with any other error", async () => {
    expect(await run((x) => x)).toMatchObject({ status: "failed", message: "was accepted, but must be refused" });
    for (const error of [new TypeError("t"), new ReferenceError("r"), new InternalError("i"), new Error("e")]) {
      expect(await run(throwing(error)), error.name).toMatchObject({ status: "failed" });
    }
  });

  it("may have a documented result where only PyTorch has to refuse them", async () => {
    const limit: ErrorCase = { ...test, op: "torch.maximum", args: [...test.args, 3], kind: "torch_limit" };
    const answer = (maximum: () => unknown) => runErrorCase({ maximum }, cpu, limit);
    expect((await answer(() => crabro.tensor([3, 3]))).status).toBe("passed");
    expect((await answer(throwing(new OpError("maximum", "no")))).status).toBe("passed");
    expect(await answer(() => crabro.tensor([3, 1]))).toMatchObject({
      status: "failed",
      message: "output 0: element 1 is 1, want 3 (1 of 2 differ)",
    });
    expect((await answer(() => crabro.tensor([3]))).status).toBe("failed");
    expect(await runErrorCase(crabro, cpu, { ...test, kind: "torch_limit" })).toMatchObject({
      status: "failed",
      message: "was accepted, and no documented result says what it means",
    });
    const page = readFileSync(new URL("../../docs/semantics.md", import.meta.url), "utf8").replace(/\s+/g, " ");
    for (const { documented } of wider.values()) expect(page).toContain(documented);
  });

  it("are missing where the operation is", async () => {
    expect(await runErrorCase({}, cpu, test)).toMatchObject({ status: "missing", message: "crabro has no abs" });
  });
});

describe("outcomes of errors", () => {
  const reason = "float textures have no NaN";
  const table: readonly Refusal[] = [
    { operation: "torch.add", device: "gpujs", reason, cases: ["add-nan"], message: /cannot represent NaN/ },
  ];
  const judged = (error: unknown, id = "add-nan", device = "gpujs") => byTable(outcomeOf(error), id, device, table);

  it("are refusals only where the table lists case and device, for the reason that it states", () => {
    const error = new BackendError("gpujs", "cannot represent NaN here");
    expect(judged(error)).toEqual({ status: "refused", error: 0, message: reason });
    expect(judged(error, "add")).toMatchObject({ status: "failed", message: "gpujs: cannot represent NaN here" });
    expect(judged(error, "add-nan", "cpu").status).toBe("failed");
    expect(judged(new BackendError("gpujs", "no room")).status).toBe("failed");
    expect(judged(new OpError("x", "cannot represent NaN")).status).toBe("failed");
    expect(judged(new Missing("crabro has no x"), "add").status).toBe("missing");
  });

  it("are failures where the table lists what is not refused", () => {
    const passed = { status: "passed", error: 0.5, message: "" } as const;
    expect(byTable(passed, "add-nan", "gpujs", table)).toMatchObject({ status: "failed", message: expect.stringContaining(reason) });
    expect(byTable(passed, "add", "gpujs", table)).toBe(passed);
  });
});
