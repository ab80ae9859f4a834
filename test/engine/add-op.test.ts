/** "How to add an op" of CONTRIBUTING.md, carried out: the page's own code, with what it promises. */
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { numbers } from "../../engine/dtype.js";
import { mul, sigmoid } from "../../engine/functional/index.js";
import { elementwiseSpec } from "../../engine/ops/check.js";
import { defineOp } from "../../engine/ops/record.js";
import { apply, type Tensor } from "../../engine/tensor.js";
import { explain, gradcheck, gradgradcheck, opTable, tensor } from "../../index.js";

/** x · sigmoid(1.702 x), elementwise: the quick approximation of GELU. Shape and dtype of x. Reference: Hendrycks and Gimpel (2016), eq. 2. */
function quickGelu(x: Tensor): Tensor {
  return mul(x, sigmoid(mul(x, 1.702)));
}

const cubeOp = defineOp({
  name: "cube",
  doc: "x³.",
  reference: "torch.pow(x, 3)",
  infer: (inputs) => elementwiseSpec("cube", inputs, numbers),
  lower: { kind: "elementwise", expr: (pool, [x]) => pool.mul(pool.mul(x, x), x) },
  grad: ({ inputs: [x], grad }) => [mul(grad, mul(mul(x, x), 3))],
  samples: [{ shapes: [[2, 3]] }, { shapes: [[]] }, { shapes: [[0, 3]] }],
});
const cube = (x: Tensor): Tensor => apply(cubeOp, [x]);

const values = [-1.5, -0.2, 0, 0.7, 2];
const x = tensor(Float64Array.from(values));

describe("the page", () => {
  /** Code without comments, spaces and trailing commas: a page may break its lines as it likes. */
  const bare = (code: string): string =>
    code
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/\/\/.*$/gm, "")
      .replace(/\bexport /g, "")
      .replace(/\s+/g, "")
      .replace(/,(?=[)\]}])/g, "");

  it("shows the code that runs here", () => {
    const here = fileURLToPath(import.meta.url);
    const page = readFileSync(join(resolve(dirname(here), "..", ".."), "CONTRIBUTING.md"), "utf8");
    const section = page.slice(page.indexOf("## How to add an op"), page.indexOf("## How to add a backend"));
    const blocks = [...section.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => bare(code));
    expect(blocks).toHaveLength(2);
    const source = bare(readFileSync(here, "utf8"));
    for (const block of blocks) expect(source).toContain(block);
  });
});

describe.each([
  ["a composed function", quickGelu, (v: number) => v / (1 + Math.exp(-1.702 * v)), ["mul", "sigmoid", "mul"]],
  ["a record", cube, (v: number) => v ** 3, ["cube"]],
] as const)("%s", (_, fn, want, ops) => {
  it("has the right values", async () => {
    const got = await fn(tensor(values)).data();
    values.forEach((v, i) => {
      expect(got[i]).toBeCloseTo(want(v), 5);
    });
    expect((await fn(tensor([], { shape: [0, 3] })).data()).length).toBe(0);
  });

  it("has a gradient, and a gradient of the gradient", async () => {
    await gradcheck(fn, [x]);
    await gradgradcheck(fn, [x]);
  });

  it("joins the kernel of what is around it", async () => {
    const { kernels } = await explain(fn(tensor(values).add(2)).mul(3).sum());
    expect(kernels).toHaveLength(1);
    expect([...kernels[0].ops].sort()).toEqual([...new Set(["add", ...ops, "mul", "sum"])].sort());
  });
});

describe("the record", () => {
  it("stands in the table, and says what it refuses", () => {
    expect(opTable.get("cube")?.doc).toBe("x³.");
    expect(() => cube(tensor([true]))).toThrow("cube: is not defined for bool");
  });

  it("has samples that its gradient holds for", async () => {
    for (const { shapes } of cubeOp.samples) {
      if (shapes[0].includes(0)) continue;
      const n = shapes[0].reduce((a, b) => a * b, 1);
      const sample = tensor(
        Float64Array.from({ length: n }, (_, i) => Math.cos(i)),
        { shape: shapes[0] },
      );
      await gradcheck(cube, [sample]);
      await gradgradcheck(cube, [sample]);
    }
  });
});
