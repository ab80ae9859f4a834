import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fill, fillEntry, fillRule, fillValue, fnv1a32 } from "../../conformance/fill.js";

interface KnownAnswers {
  /** name, index, scale, offset, float32 bits */
  readonly values: readonly (readonly [string, number, number, number, number])[];
  readonly hashes: readonly (readonly [string, number])[];
}

const known = JSON.parse(readFileSync(new URL("../fixtures/fill.json", import.meta.url), "utf8")) as KnownAnswers;
const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];

describe("the fill", () => {
  it("hashes names as published", () => {
    for (const [text, hash] of known.hashes) expect(fnv1a32(text), text).toBe(hash);
  });

  it("gives the published values, to the bit", () => {
    expect(known.values.length).toBeGreaterThan(50);
    for (const [name, index, scale, offset, want] of known.values) {
      expect(bits(fillValue(fnv1a32(name), index, scale, offset)), `${name}[${index}]`).toBe(want);
    }
  });

  it("counts elements in row-major order", () => {
    const values = fill("input", [2, 2]);
    expect(values.length).toBe(4);
    expect(values[3]).toBe(fillValue(fnv1a32("input"), 3, 1, 0));
    expect(fill("input", []).length).toBe(1);
  });

  it("follows the first rule that matches", () => {
    expect(fillRule("bn.num_batches_tracked", [])).toBeNull();
    expect(fillEntry("bn.num_batches_tracked", [])).toEqual(Float32Array.of(0));
    expect(fillRule("bn.running_var", [3])).toEqual({ scale: 0.25, offset: 1 });
    expect(fillRule("a.complex_weight", [2, 3, 4, 2])).toEqual({ scale: 0.5, offset: 0 });
    expect(fillRule("stages.0.0.gamma2", [3])).toEqual({ scale: 0.2, offset: 0.5 });
    expect(fillRule("ls1.gamma", [1, 3, 1, 1])).toEqual({ scale: 0.2, offset: 0.5 });
    expect(fillEntry("slot_scale", [])).toEqual(Float32Array.of(5));
    expect(fillRule("mha.in_proj_bias", [9])).toEqual({ scale: 0.1, offset: 0 });
    expect(fillRule("blocks.0.pos_conv.weight", [3, 1, 3, 3])).toEqual({ scale: 0.1, offset: 0 });
    expect(fillRule("norm.weight", [3])).toEqual({ scale: 0.2, offset: 1 });
    expect(fillRule("head.weight", [10, 3])).toEqual({ scale: 1, offset: 0 });
    expect(() => fillRule("something", [3])).toThrow(/no rule for something of rank 1/);
  });
});
