/** First and second derivatives of composed functions, in float64. */
import { describe, expect, it } from "vitest";
import { byDefault, compositions, exempt } from "../../conformance/compositions.js";
import * as functional from "../../engine/functional/index.js";
import { gradcheck, gradgradcheck } from "../../index.js";

describe("composed functions", () => {
  const known = [...Object.keys(compositions), ...Object.values(exempt).flat()];
  const others = Object.keys(functional).filter((name) => !known.includes(name));

  it("of the list and of the exceptions are all there", () => {
    expect(known.filter((name) => !(name in functional))).toEqual([]);
  });

  // What stands in no list is tried on tensors [3, 4]; a function that wants others needs a line in conformance/compositions.ts.
  it.each([...Object.entries(compositions), ...others.map((name) => [name, byDefault(name)] as const)])(
    "%s",
    async (_, [fn, ...inputs]) => {
      await gradcheck(fn, inputs);
      await gradgradcheck(fn, inputs);
    },
  );
});
