import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Environment } from "../../../engine/kernel/interpret.js";
import type { Expr, ScalarFn } from "../../../engine/kernel/ir.js";
import { evaluate } from "../../../engine/kernel/scalar.js";
import { affine, axesOf, conjuncts, ExprPool, mixedRadix } from "../../../engine/kernel/simplify.js";
import { axisSizes, build, condition, makeAxes, meaning, points, show, tree } from "./generators.js";

const scalar = (fn: ScalarFn, a: number, b: number): number => evaluate(fn, [a, b], "int32", "int32");

describe("random integer expressions", () => {
  const runs = { numRuns: Number(process.env.FUZZ_RUNS ?? 500) };

  test("mean the same after simplification, and stay within their bounds", () => {
    fc.assert(
      fc.property(fc.oneof(tree, condition), (node) => {
        const pool = new ExprPool();
        const axes = makeAxes(pool);
        const e = build(
          pool,
          node,
          axes.map((axis) => pool.axis(axis)),
        );
        const environment = new Environment([]);
        for (const at of points(axisSizes)) {
          for (const [i, axis] of axes.entries()) environment.set(axis, at[i]);
          const value = environment.evaluate(e);
          const expected = meaning(node, at, scalar);
          if (value !== expected) throw new Error(`${show(node)} at ${at} is ${expected}; got ${value}`);
          if (value < e.lo || value > e.hi) throw new Error(`${show(node)} at ${at} is ${value}, outside of ${e.lo} … ${e.hi}`);
        }
      }),
      runs,
    );
  });

  test("mean the same after substitution", () => {
    fc.assert(
      fc.property(tree, fc.array(tree, { minLength: axisSizes.length, maxLength: axisSizes.length }), (node, replacements) => {
        const pool = new ExprPool();
        const inner = makeAxes(pool);
        const outer = makeAxes(pool);
        const leaves = outer.map((axis) => pool.axis(axis));
        // Replacements stay within the axis they replace, as the bounds of the expression rely on it.
        const map = new Map(inner.map((axis, i) => [axis, pool.mod(build(pool, replacements[i], leaves), pool.int(axis.size))] as const));
        const e = build(
          pool,
          node,
          inner.map((axis) => pool.axis(axis)),
        );
        const substituted = pool.substitute(e, map);
        const environment = new Environment([]);
        for (const at of points(axisSizes)) {
          for (const [i, axis] of outer.entries()) environment.set(axis, at[i]);
          const inside = inner.map((axis) => environment.evaluate(map.get(axis) as Expr));
          const value = environment.evaluate(substituted);
          const expected = meaning(node, inside, scalar);
          if (value !== expected) throw new Error(`${show(node)} at ${inside} is ${expected}; got ${value}`);
        }
      }),
      runs,
    );
  });
});

test("all axes of a substitution are replaced at once", () => {
  const pool = new ExprPool();
  const [i, j] = ["i", "j"].map((name) => pool.newAxis(name, 4));
  const [a, b] = [pool.axis(i), pool.axis(j)];
  // The first operand becomes the axis j itself.
  const e = pool.load(0, pool.add(pool.idiv(pool.add(a, pool.mul(b, pool.int(4))), pool.int(4)), pool.mul(a, pool.int(4))), "float32");
  const swapped = pool.substitute(
    e,
    new Map([
      [i, b],
      [j, a],
    ]),
  );
  expect(swapped).toBe(pool.load(0, pool.add(a, pool.mul(b, pool.int(4))), "float32"));
});

describe("rules", () => {
  const pool = new ExprPool();
  const i = pool.axis(pool.newAxis("i", 10));
  const j = pool.axis(pool.newAxis("j", 4));
  const unknown = pool.load(0, i, "int32");
  const x = pool.load(1, i, "float32");
  const y = pool.load(2, i, "float32");
  const f = (value: number): Expr => pool.const(value, "float32");
  const int = (value: number): Expr => pool.int(value);

  test("equal expressions are the same object", () => {
    expect(pool.add(i, j)).toBe(pool.add(j, i));
    expect(pool.sub(pool.add(i, j), j)).toBe(i);
    expect(pool.mul(pool.add(i, int(3)), int(2))).toBe(pool.add(pool.mul(i, int(2)), int(6)));
    expect(pool.axis(pool.newAxis("one", 1))).toBe(int(0));
    expect(pool.const(-0, "float32")).not.toBe(f(0));
    expect(pool.const(Number.NaN, "float32")).toBe(f(Number.NaN));
    expect(pool.const(0.1, "float32")).toMatchObject({ value: Math.fround(0.1) });
  });

  test("quotients and remainders", () => {
    const sum = pool.add(pool.mul(i, int(4)), j);
    expect(pool.idiv(sum, int(4))).toBe(i);
    expect(pool.mod(sum, int(4))).toBe(j);
    expect(pool.idiv(sum, int(8))).toBe(pool.idiv(i, int(2)));
    expect(pool.mod(sum, int(8))).toBe(pool.add(pool.mul(pool.mod(i, int(2)), int(4)), j));
    expect(pool.idiv(pool.idiv(i, int(2)), int(3))).toBe(pool.idiv(i, int(6)));
    expect(pool.mod(pool.mod(i, int(6)), int(3))).toBe(pool.mod(i, int(3)));
    expect(pool.idiv(pool.mod(i, int(6)), int(2))).toBe(pool.mod(pool.idiv(i, int(2)), int(3)));
    expect(pool.add(pool.mul(pool.idiv(i, int(3)), int(3)), pool.mod(i, int(3)))).toBe(i);
    expect(pool.idiv(i, int(10))).toBe(int(0));
    expect(pool.mod(i, int(10))).toBe(i);
    // Nothing is known of a loaded number: 4x + j may wrap.
    expect(pool.idiv(pool.add(pool.mul(unknown, int(4)), j), int(4))).toMatchObject({ fn: "idiv" });
    // Numerators are brought to where truncation is flooring.
    const negative = pool.idiv(pool.sub(i, int(5)), int(3));
    expect(affine(negative)?.terms[0].factor).toMatchObject({ fn: "idiv", args: [{ lo: 1, hi: 10 }, int(3)] });
  });

  test("comparisons", () => {
    expect(pool.lt(i, int(10))).toBe(pool.bool(true));
    expect(pool.gt(pool.add(i, j), int(12))).toBe(pool.bool(false));
    expect(pool.lt(pool.mul(i, int(3)), int(7))).toBe(pool.lt(i, int(3)));
    expect(pool.le(int(2), i)).toBe(pool.ge(i, int(2)));
    expect(pool.lt(pool.add(pool.mul(i, int(4)), j), int(8))).toBe(pool.lt(i, int(2)));
    expect(pool.lt(pool.idiv(i, int(3)), int(2))).toBe(pool.lt(i, int(6)));
    expect(pool.eq(pool.mul(i, int(2)), int(3))).toBe(pool.bool(false));
    expect(pool.not(pool.lt(i, j))).toBe(pool.ge(i, j));
    expect(pool.lt(unknown, pool.int(5))).toMatchObject({ fn: "lt" });
    expect(pool.min(i, int(20))).toBe(i);
    expect(pool.max(pool.min(unknown, int(7)), int(0))).toMatchObject({ lo: 0, hi: 7 });
  });

  test("conditions", () => {
    const a = pool.lt(i, int(5));
    const b = pool.ge(j, int(1));
    expect(pool.and(a, pool.bool(true))).toBe(a);
    expect(pool.and(a, b, a)).toBe(pool.and(b, a));
    expect(pool.and(a, pool.lt(i, int(3)))).toBe(pool.lt(i, int(3)));
    expect(pool.and(a, pool.not(a))).toBe(pool.bool(false));
    expect(pool.or(a, pool.not(a))).toBe(pool.bool(true));
    expect(pool.and(pool.lt(i, int(3)), pool.ge(i, int(3)))).toBe(pool.bool(false));
    expect(conjuncts(pool.and(a, b))).toEqual([a, b]);
    const nan = pool.lt(x, y);
    expect(pool.not(nan)).toMatchObject({ fn: "not" });
    expect(pool.not(pool.not(nan))).toBe(nan);
    expect(pool.not(pool.eq(x, y))).toBe(pool.ne(x, y));
  });

  test("choices", () => {
    const a = pool.lt(i, int(5));
    expect(pool.where(a, x, x)).toBe(x);
    expect(pool.where(pool.not(pool.lt(x, y)), x, y)).toBe(pool.where(pool.lt(x, y), y, x));
    expect(pool.where(a, x, f(0))).toBe(pool.load(1, i, "float32", a));
    expect(pool.where(a, f(0), x)).toBe(pool.load(1, i, "float32", pool.not(a)));
    expect(pool.where(a, x, f(-0))).toMatchObject({ fn: "where" });
    expect(pool.where(a, pool.add(x, y), f(0))).toMatchObject({ fn: "where" });
    expect(pool.where(a, pool.where(a, x, y), f(1))).toBe(pool.where(a, x, f(1)));
  });

  test("floats keep what IEEE can tell apart", () => {
    expect(pool.mul(x, f(1))).toBe(x);
    expect(pool.div(x, f(4))).toBe(pool.mul(x, f(0.25)));
    expect(pool.div(x, f(3))).toMatchObject({ fn: "div" });
    expect(pool.sub(x, f(0))).toBe(x);
    expect(pool.add(x, f(-0))).toBe(x);
    expect(pool.add(x, f(0))).toMatchObject({ fn: "add" });
    expect(pool.mul(x, f(0))).toMatchObject({ fn: "mul" });
    expect(pool.add(x, pool.neg(y))).toBe(pool.sub(x, y));
    expect(pool.add(f(0.1), f(0.2))).toMatchObject({ value: Math.fround(Math.fround(0.1) + Math.fround(0.2)) });
    expect(pool.call("pow", [x, f(2)])).toBe(pool.mul(x, x));
    expect(pool.cast(pool.cast(pool.lt(x, y), "int32"), "float32")).toBe(pool.cast(pool.lt(x, y), "float32"));
    expect(pool.cast(x, "float32")).toBe(x);
  });

  test("rewriting", () => {
    const axis = pool.newAxis("k", 8);
    const k = pool.axis(axis);
    const gathered = pool.load(3, pool.load(4, k, "int32"), "float32");
    const guard = pool.lt(k, int(3));
    expect(pool.withGuard(gathered, guard)).toBe(pool.load(3, pool.load(4, k, "int32", guard), "float32", guard));
    expect(pool.withGuard(gathered, pool.bool(true))).toBe(gathered);
    expect(pool.withGuard(gathered, pool.bool(false))).toBe(f(0));
    expect(pool.substitute(gathered, new Map([[axis, int(2)]]))).toBe(pool.load(3, pool.load(4, int(2), "int32"), "float32"));
    const [a, b] = [pool.newAxis("a", 4), pool.newAxis("b", 4)];
    const difference = pool.sub(pool.mul(pool.axis(a), int(4)), pool.axis(b));
    const swapped = pool.substitute(
      difference,
      new Map([
        [a, pool.axis(b)],
        [b, pool.axis(a)],
      ]),
    );
    expect(swapped).toBe(pool.sub(pool.mul(pool.axis(b), int(4)), pool.axis(a)));
    const value = pool.ref(7, [k, int(1)], "float32");
    const inlined = pool.rewrite(pool.mul(value, value), (e) => (e.op === "ref" ? pool.add(x, f(1)) : null));
    expect(inlined).toBe(pool.mul(pool.add(x, f(1)), pool.add(x, f(1))));
    expect([...axesOf(pool.mul(gathered, x))].map((a) => a.name).sort()).toEqual(["i", "k"]);
  });

  test("mixed radix", () => {
    const [a, b] = [pool.newAxis("a", 3), pool.newAxis("b", 5)];
    const at = (s: number, t: number, c = 0): Expr =>
      pool.add(pool.add(pool.mul(pool.axis(a), int(s)), pool.mul(pool.axis(b), int(t))), int(c));
    expect(mixedRadix(at(5, 1))).toEqual([a, b]);
    expect(mixedRadix(at(1, 3))).toEqual([b, a]);
    expect(mixedRadix(at(0, 1))).toEqual([b]);
    expect(mixedRadix(at(0, 0))).toEqual([]);
    expect(mixedRadix(at(5, 1, 1))).toBeNull();
    expect(mixedRadix(at(6, 1))).toBeNull();
    expect(mixedRadix(at(0, 2))).toBeNull();
  });
});
