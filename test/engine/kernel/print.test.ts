import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { kernelKey } from "../../../engine/kernel/canon.js";
import type { Expr, Kernel } from "../../../engine/kernel/ir.js";
import { printExpr, printKernel } from "../../../engine/kernel/print.js";
import { ExprPool } from "../../../engine/kernel/simplify.js";
import { axisSizes, build, condition, makeAxes, tree } from "./generators.js";
import { concat, lines, matmul, paddedConv, read, softmax, store, write } from "./kernels.js";

describe("kernels as text", () => {
  test("matmul", () => {
    expect(printKernel(matmul())).toBe(
      [
        "matmul_3x4x5 for m∈0..3, n∈0..4",
        "  in0 float32[15], in1 float32[20], out2 float32[12]",
        "  s0 (matmul) = Σ k∈0..5: in0[m*5 + k] * in1[n*5 + k]",
        "  out2[m*4 + n] = s0",
        "",
      ].join("\n"),
    );
  });

  test("guards, inner axes of one name, several stores, templates", () => {
    expect(printKernel(paddedConv(4, 5))).toMatchSnapshot();
    expect(printKernel(softmax())).toMatchSnapshot();
    expect(printKernel(concat(2, 2, 3))).toMatchSnapshot();
    expect(printKernel(lines({ name: "irfft", n: 8 }, 3, [5, 2], [8]))).toMatchSnapshot();
  });

  test("constants tell their dtype, and parentheses keep the order of float operations", () => {
    const pool = new ExprPool();
    const x = pool.load(0, pool.int(0), "float32");
    const f = (value: number): Expr => pool.const(value, "float32");
    expect(printExpr(f(2))).toBe("2.0");
    expect(printExpr(f(-0))).toBe("-0.0");
    expect(printExpr(f(1e-5))).toBe(String(Math.fround(1e-5)));
    expect(printExpr(pool.const(2, "float64"))).toBe("2.0d");
    expect(printExpr(pool.int(2))).toBe("2");
    expect(printExpr(pool.add(x, pool.add(x, f(1))))).toBe("buffer0[0] + (buffer0[0] + 1.0)");
    expect(printExpr(pool.add(pool.add(x, x), f(1)))).toBe("buffer0[0] + buffer0[0] + 1.0");
    expect(printExpr(pool.sub(x, f(-3)))).toBe("buffer0[0] - -3.0");
    expect(printExpr(pool.neg(pool.add(x, x)))).toBe("-(buffer0[0] + buffer0[0])");
    expect(printExpr(pool.div(f(1), pool.mul(x, x)))).toBe("1.0 / (buffer0[0] * buffer0[0])");
    expect(printExpr(pool.where(pool.lt(x, f(0)), f(1), x))).toBe("buffer0[0] < 0.0 ? 1.0 : buffer0[0]");
    expect(printExpr(pool.cast(x, "int32"))).toBe("int32(buffer0[0])");
  });

  test("shared parts are written once", () => {
    const pool = new ExprPool();
    let x = pool.load(0, pool.int(0), "float32");
    for (let i = 0; i < 40; i++) x = pool.mul(pool.exp(x), pool.add(x, pool.const(i, "float32")));
    expect(printExpr(x).length).toBeLessThan(2500);
  });
});

test("text and key do not depend on the order in which a pool made its expressions", () => {
  fc.assert(
    fc.property(tree, condition, fc.array(fc.oneof(tree, condition), { maxLength: 6 }), (value, guard, before) => {
      const kernel = (disturbance: typeof before, reversed: boolean): Kernel => {
        const pool = new ExprPool();
        const axes = makeAxes(pool);
        const leaves = (
          reversed
            ? [...axes]
                .reverse()
                .map((axis) => pool.axis(axis))
                .reverse()
            : axes.map((axis) => pool.axis(axis))
        ) as Expr[];
        for (const other of disturbance) build(pool, other, leaves);
        const made = reversed ? build(pool, guard, leaves) : null;
        const v = build(pool, value, leaves);
        const index = leaves.reduce((at, axis, i) => pool.add(pool.mul(at, pool.int(axisSizes[i])), axis), pool.int(0));
        const g = made ?? build(pool, guard, leaves);
        return { kind: "loops", name: "k", buffers: [write(144, "int32")], axes, stages: [], stores: [store(0, index, v, { guard: g })] };
      };
      for (const text of [printKernel, kernelKey]) expect(text(kernel(before, true))).toBe(text(kernel([], false)));
    }),
    { numRuns: Number(process.env.FUZZ_RUNS ?? 500) },
  );
});

test("kernels that differ anywhere differ in text and key", () => {
  const base = matmul();
  const kernels: readonly Kernel[] = [
    base,
    matmul(3, 4, 6),
    { ...base, name: "other" },
    { ...base, buffers: [read(16), ...base.buffers.slice(1)] },
    { ...base, buffers: [...base.buffers.slice(0, 2), { ...base.buffers[2], access: "readwrite" as const }] },
    { ...base, stages: [{ ...base.stages[0], combine: "max" as const }] },
    { ...base, stages: [{ ...base.stages[0], structure: null }] },
    { ...base, stores: [{ ...base.stores[0], guard: new ExprPool().bool(true) }] },
  ];
  for (const text of [printKernel, kernelKey]) expect(new Set(kernels.map(text)).size).toBe(kernels.length);
});
