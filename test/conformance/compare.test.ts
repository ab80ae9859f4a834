import { describe, expect, it } from "vitest";
import { compareElements, compareNorm, summarise, Verdict, within } from "../../conformance/compare.js";
import { HostTensor } from "../../conformance/folder.js";
import { compareTied } from "../../conformance/ties.js";

const floats = (...values: number[]) => Float32Array.from(values);

describe("compareElements", () => {
  it("measures in units of atol + rtol |want|", () => {
    expect(compareElements(floats(1.5), floats(1), 0.25, 0.25).error).toBe(1);
    expect(compareElements(floats(2), floats(1), 0.25, 0.25)).toEqual({ error: 2, message: "element 0 is 2, want 1 (1 of 1 differ)" });
  });

  it("names the worst element and counts the bad ones", () => {
    expect(compareElements(floats(1, 9, 3, 5), floats(1, 2, 3, 4), 0, 0.5).message).toBe("element 1 is 9, want 2 (2 of 4 differ)");
  });

  it("lets NaN match only NaN, and infinities only themselves", () => {
    const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
    for (const got of special) {
      for (const want of special) {
        expect(compareElements(floats(got), floats(want), 1, 1).error, `${got} for ${want}`).toBe(
          Object.is(got, want) ? 0 : Number.POSITIVE_INFINITY,
        );
      }
    }
  });

  it("wants equality where both tolerances are 0", () => {
    expect(compareElements(Int32Array.of(3), Int32Array.of(3), 0, 0).error).toBe(0);
    expect(compareElements(Int32Array.of(4), Int32Array.of(3), 0, 0).error).toBe(Number.POSITIVE_INFINITY);
  });

  it("takes empty results", () => {
    expect(compareElements(floats(), floats(), 0, 0)).toEqual({ error: 0, message: "" });
  });
});

describe("norms and summaries", () => {
  it("compare the norm of the difference with a bound", () => {
    expect(compareNorm(floats(3, 4), floats(0, 0), 5)).toEqual({ error: 1, message: "" });
    expect(compareNorm(floats(3, 4), floats(0, 0), 4).message).toBe("the norm of the difference is 5.00, allowed 4.00");
    expect(compareNorm(floats(Number.NaN), floats(0), 4).error).toBe(Number.POSITIVE_INFINITY);
  });

  it("reduce a tensor to norm, sum, and dot product with a probe", () => {
    expect(summarise(floats(3, 4), floats(1, -1))).toEqual([5, 7, -1]);
  });

  it("accept a bound of 0 for exactly 0", () => {
    expect(within(0, 0, "it").error).toBe(0);
    expect(within(1e-30, 0, "it").error).toBe(Number.POSITIVE_INFINITY);
  });

  it("gather in a verdict: the worst error and the first messages", () => {
    const verdict = new Verdict();
    verdict.add("a", { error: 0.5, message: "" });
    for (const name of ["b", "c", "d", "e"]) verdict.add(name, { error: 3, message: "off" });
    expect(verdict.error).toBe(3);
    expect(verdict.message).toBe("b: off; c: off; d: off; and 1 more");
  });
});

describe("compareTied", () => {
  const input = new HostTensor("x", [2, 3], "float32", floats(5, 5, 1, 2, 7, 7));
  const check = (name: string, dim: unknown, got: number[], shape: number[], want: number[]) =>
    compareTied(name, input, dim, { data: Int32Array.from(got), shape }, Int32Array.from(want)).message;

  it("takes any index of an equal value", () => {
    expect(check("argmax", 1, [1, 2], [2], [0, 1])).toBe("");
    expect(check("argmax", 1, [1, 2], [2, 1], [0, 1])).toBe("");
    expect(check("argmax", undefined, [5], [], [4])).toBe("");
    expect(check("max", 0, [0, 1, 1], [3], [0, 1, 1])).toBe("");
    expect(check("sort", undefined, [2, 1, 0, 0, 2, 1], [2, 3], [2, 0, 1, 0, 1, 2])).toBe("");
    expect(check("topk", -1, [1, 0, 2, 1], [2, 2], [0, 1, 1, 2])).toBe("");
  });

  it("refuses an index of another value, out of range, or twice", () => {
    expect(check("argmax", 1, [2, 2], [2], [0, 1])).toMatch(/element 0 is index 2, where the value is 1; want index 0/);
    expect(check("argmax", 1, [1, 3], [2], [0, 1])).toMatch(/out of range/);
    expect(check("argmax", 1, [-1, 1], [2], [0, 1])).toMatch(/out of range/);
    expect(check("topk", -1, [1, 1, 2, 1], [2, 2], [0, 1, 1, 2])).toMatch(/index 1 is there twice/);
    expect(check("conv2d", 1, [0], [1], [0])).toMatch(/no rule for conv2d/);
  });

  it("knows flat places in pooled planes", () => {
    const planes = new HostTensor("x", [1, 2, 2, 2], "float32", floats(9, 9, 1, 1, 3, 4, 4, 4));
    const pooled = (got: number[]) =>
      compareTied("maxPool2d", planes, undefined, { data: Int32Array.from(got), shape: [1, 2, 1, 1] }, Int32Array.of(0, 1)).message;
    expect(pooled([1, 3])).toBe("");
    expect(pooled([2, 1])).toMatch(/value is 1/);
  });
});
