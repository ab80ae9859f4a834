import { describe, expect, it } from "vitest";
import { compile, hostCall, type Tensor, type TypedArray, tensor } from "../../index.js";

/** The order of the elements, and how many were negative. */
const order = ([x]: readonly TypedArray[]): TypedArray[] => {
  const indices = Array.from(x, (_, i) => i).sort((a, b) => x[a] - x[b]);
  return [Int32Array.from(indices), Int32Array.of(x.filter((v) => v < 0).length)];
};
const sorted = (x: Tensor): Tensor[] =>
  hostCall(
    order,
    [x],
    [
      { shape: x.shape, dtype: "int32" },
      { shape: [], dtype: "int32" },
    ],
    { name: "order" },
  );

describe("hostCall", () => {
  it("runs on the host in the middle of a graph", async () => {
    const [indices, negative] = sorted(tensor([3, -1, 2]).mul(2));
    expect(await indices.add(negative).tolist()).toEqual([2, 3, 1]);
    expect(indices.requiresGrad).toBe(false);
  });

  it("keeps two calls in one plan apart, and one call's results together", async () => {
    const [a] = sorted(tensor([3, 1, 2]));
    const [b, count] = sorted(tensor([-1, -2, 0]));
    expect(await a.mul(10).add(b).add(count.mul(100)).tolist()).toEqual([211, 220, 202]);
  });

  it("may wait, and may be replayed", async () => {
    let calls = 0;
    const step = compile((x: Tensor) => {
      const [y] = hostCall(
        async ([values]) => {
          calls++;
          return [values.map((v) => v + 1)];
        },
        [x.mul(2)],
        [{ shape: x.shape, dtype: "float32" }],
      );
      return y.mul(10);
    });
    expect(await (await step(tensor([1, 2]))).tolist()).toEqual([30, 50]);
    expect(await (await step(tensor([3, 4]))).tolist()).toEqual([70, 90]);
    expect([calls, step.traces()]).toEqual([2, 1]);
  });

  it("says what is wrong with the results, and passes errors on", async () => {
    const short = hostCall(() => [new Float32Array(1)], [tensor([1, 2])], [{ shape: [2], dtype: "float32" }], { name: "short" });
    await expect(short[0].data()).rejects.toThrow("short: output 0 of the host function has 1 elements; announced were 2");
    const none = hostCall(() => [], [tensor([1])], [{ shape: [1], dtype: "float32" }], { name: "none" });
    await expect(none[0].data()).rejects.toThrow("none: the host function gave 0 outputs; 1 were announced");
    const broken = hostCall(
      () => {
        throw new Error("no luck");
      },
      [tensor([1])],
      [{ shape: [1], dtype: "float32" }],
    );
    await expect(broken[0].data()).rejects.toThrow("no luck");
  });
});
