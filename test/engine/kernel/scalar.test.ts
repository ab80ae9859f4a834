import { describe, expect, test } from "vitest";
import type { DType } from "../../../engine/dtype.js";
import { erf } from "../../../engine/kernel/erf.js";
import type { ScalarFn } from "../../../engine/kernel/ir.js";
import { castValue, evaluate, identityOf, threefry2x32 } from "../../../engine/kernel/scalar.js";

const int = (fn: ScalarFn, ...args: number[]): number => evaluate(fn, args, "int32", "int32");
const float = (fn: ScalarFn, ...args: number[]): number => evaluate(fn, args, "float32", "float32");
const min = -(2 ** 31);
const max = 2 ** 31 - 1;

describe("int32", () => {
  test("wraps", () => {
    expect(int("add", max, 1)).toBe(min);
    expect(int("sub", min, 1)).toBe(max);
    expect(int("mul", 65536, 65537)).toBe(65536);
    expect(int("mul", 123456789, 987654321)).toBe(-67153019);
    expect(int("neg", min)).toBe(min);
    expect(int("abs", min)).toBe(min);
    expect(Object.is(int("neg", 0), 0)).toBe(true);
  });

  test("floor division and its remainder are Python's", () => {
    for (const [a, b, q, r] of [
      [7, 3, 2, 1],
      [-7, 3, -3, 2],
      [7, -3, -3, -2],
      [-7, -3, 2, -1],
      [-6, 3, -2, 0],
      [5, 0, 0, 0],
      [min, -1, min, 0],
      [max, min, -1, -1],
    ]) {
      expect(int("idiv", a, b)).toBe(q);
      expect(int("mod", a, b)).toBe(r);
    }
  });

  test("bits", () => {
    expect(int("shr", -1, 28)).toBe(15);
    expect(int("shr", -1, 0)).toBe(-1);
    expect(int("shl", 3, 31)).toBe(min);
    expect([int("bitAnd", 12, 10), int("bitOr", 12, 10), int("bitXor", 12, 10)]).toEqual([8, 14, 6]);
  });
});

describe("floats", () => {
  test("round half to even, keeping the sign of zero", () => {
    const given = [0.5, 1.5, 2.5, -0.5, -1.5, -0.2, 2.4999999, 4503599627370497.5, 1e300];
    expect(given.map((x) => evaluate("round", [x], "float64", "float64"))).toEqual([0, 2, 2, -0, -2, -0, 2, 4503599627370498, 1e300]);
    expect(float("round", Number.NaN)).toBeNaN();
    expect(float("round", -0)).toBe(-0);
  });

  test("jump where the float32 number does, that the double stands for", () => {
    const tenth = 1 / Math.fround(0.1);
    expect([tenth, float("floor", tenth), float("trunc", -tenth)]).toEqual([9.99999985098839, 10, -10]);
    expect([float("ceil", 2 + 1e-12), float("round", 2.5 + 1e-12)]).toEqual([2, 2]);
    expect(evaluate("floor", [tenth], "float64", "float64")).toBe(9);
  });

  test("NaN and infinities", () => {
    expect(float("max", Number.NaN, 1)).toBeNaN();
    expect(float("min", 1, Number.NaN)).toBeNaN();
    expect(float("pow", 1, Number.NaN)).toBe(1);
    expect(float("pow", -1, Infinity)).toBe(1);
    expect(float("pow", Number.NaN, 0)).toBe(1);
    expect(float("div", 1, -0)).toBe(-Infinity);
    // PyTorch's sign of NaN is 0.
    expect(float("sign", Number.NaN)).toBe(0);
    expect(evaluate("ne", [Number.NaN, Number.NaN], "bool", "float32")).toBe(1);
    expect(evaluate("ge", [Number.NaN, 0], "bool", "float32")).toBe(0);
    expect(evaluate("isNaN", [Number.NaN], "bool", "float32")).toBe(1);
  });

  test("casts truncate and saturate", () => {
    const cases: [number, DType, number][] = [
      [1.9, "int32", 1],
      [-1.9, "int32", -1],
      [-0.5, "int32", 0],
      [1e20, "int32", max],
      [-Infinity, "int32", min],
      [Number.NaN, "int32", 0],
      [Number.NaN, "bool", 1],
      [-0, "bool", 0],
      [0.5, "bool", 1],
      [2 ** 24 + 1, "float32", 2 ** 24],
    ];
    for (const [value, to, expected] of cases) expect(castValue(value, to)).toBe(expected);
  });

  test("erf to the last digit but one", () => {
    // Python's math.erf
    for (const [x, y] of [
      [1e-10, 1.1283791670955126e-10],
      [0.1, 0.1124629160182849],
      [0.5, 0.5204998778130465],
      [0.84, 0.7651427114549946],
      [1, 0.8427007929497149],
      [1.5, 0.9661051464753108],
      [2, 0.9953222650189527],
      [2.86, 0.9999475988269556],
      [3.5, 0.9999992569016276],
      [5, 0.9999999999984626],
      [5.9, 0.9999999999999999],
    ]) {
      expect(Math.abs(erf(x) - y) / y).toBeLessThan(2.3e-16);
      expect(erf(-x)).toBe(-erf(x));
    }
    expect([erf(-0), erf(0), erf(Infinity), erf(-Infinity), erf(7)]).toEqual([-0, 0, 1, -1, 1]);
    expect(erf(Number.NaN)).toBeNaN();
  });
});

test("threefry's known answers (Random123)", () => {
  const hex = (words: readonly number[]): string[] => words.map((word) => (word >>> 0).toString(16).padStart(8, "0"));
  expect(hex(threefry2x32(0, 0, 0, 0))).toEqual(["6b200159", "99ba4efe"]);
  expect(hex(threefry2x32(-1, -1, -1, -1))).toEqual(["1cb996fc", "bb002be7"]);
  expect(hex(threefry2x32(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3))).toEqual(["c4923a9c", "483df7a0"]);
  expect(evaluate("threefry", [0, 0, 0, 0], "int32", "int32")).toBe(0x6b200159);
});

test("identities of reductions", () => {
  expect([identityOf("add", "float32"), identityOf("mul", "int32")]).toEqual([0, 1]);
  expect([identityOf("max", "float32"), identityOf("max", "int32"), identityOf("max", "bool")]).toEqual([-Infinity, min, 0]);
  expect([identityOf("min", "float64"), identityOf("min", "int32"), identityOf("min", "bool")]).toEqual([Infinity, max, 1]);
});
