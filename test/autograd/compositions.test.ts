/** First and second derivatives of composed functions, in float64. */
import { describe, expect, it } from "vitest";
import { compositions, exempt } from "../../conformance/compositions.js";
import * as functional from "../../engine/functional/index.js";
import { gradcheck, gradgradcheck } from "../../index.js";

describe("composed functions", () => {
  it("all stand in the list, or among the exceptions", () => {
    const known = [...Object.keys(compositions), ...Object.values(exempt).flat()];
    expect(Object.keys(functional).filter((name) => !known.includes(name))).toEqual([]);
    expect(known.filter((name) => !(name in functional))).toEqual([]);
  });

  it.each(Object.entries(compositions))("%s", async (_, [fn, ...inputs]) => {
    await gradcheck(fn, inputs, { fullBelow: 6, directions: 2 });
    await gradgradcheck(fn, inputs, { fullBelow: 6, directions: 2 });
  });
});
