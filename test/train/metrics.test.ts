import { describe, expect, it } from "vitest";
import { tensor } from "../../index.js";
import { Average, topkCorrect } from "../../train/metrics.js";

describe("topkCorrect", () => {
  const count = async (logits: number[][], target: number[], ks: number[]): Promise<number[]> => [
    ...(await topkCorrect(tensor(logits), tensor(target, { dtype: "int32" }), ks).data()),
  ];

  it("counts targets among the largest", async () => {
    const logits = [
      [3, 1, 2],
      [3, 1, 2],
      [3, 1, 2],
      [-1, -2, -0.5],
    ];
    expect(await count(logits, [0, 1, 2, 2], [1, 2, 3])).toEqual([2, 3, 4]);
  });

  it("ranks equal logits by class", async () => {
    const same = [
      [1, 1, 1],
      [1, 1, 1],
      [1, 1, 1],
    ];
    expect(await count(same, [0, 1, 2], [1, 2])).toEqual([1, 2]);
  });

  it("takes NaN for wrong", async () => {
    expect(await count([[Number.NaN, Number.NaN]], [0], [1])).toEqual([0]);
    expect(await count([[2, Number.NaN]], [0], [1])).toEqual([0]);
  });

  it("refuses other shapes", () => {
    expect(() => topkCorrect(tensor([1, 2]), tensor([0], { dtype: "int32" }), [1])).toThrow(
      "expected logits [N, classes] and target [N]; got [2] and [1]",
    );
  });
});

describe("Average", () => {
  it("weighs by counts", () => {
    const average = new Average();
    expect(average.mean).toBeNaN();
    average.add(1, 3);
    average.add(5);
    expect([average.mean, average.last, average.count]).toEqual([2, 5, 4]);
  });
});
