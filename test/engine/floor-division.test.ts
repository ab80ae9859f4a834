/** Division of floats with remainder, on every backend: values of PyTorch 1.13 at the edges, and the exact arithmetic of the host elsewhere. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

const { tensor } = c;
const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
/** a, b, floorDivide, remainder, fmod */
const edges: readonly (readonly number[])[] = [
  [7.5, 2, 3, 1.5, 1.5],
  [-7.5, 2, -4, 0.5, -1.5],
  [7.5, -2, -4, -0.5, 1.5],
  [-7.5, -2, 3, -1.5, -1.5],
  [1, 0.1, 9, Math.fround(0.1) - 1.4901161193847656e-8, Math.fround(0.1) - 1.4901161193847656e-8],
  [-6, 2, -3, -0, -0],
  [0.5, 2, 0, 0.5, 0.5],
  [-0.5, 2, -1, 1.5, -0.5],
  [-0.5, -2, 0, -0.5, -0.5],
  [0, 2, 0, 0, 0],
  [-0, 2, -0, -0, -0],
  [0, -2, -0, 0, 0],
  [1, inf, 0, 1, 1],
  [-1, inf, -1, inf, -1],
  [1, -inf, -1, -inf, 1],
  [3, 0, inf, nan, nan],
  [-3, 0, -inf, nan, nan],
  [0, 0, nan, nan, nan],
  [inf, 2, nan, nan, nan],
  [nan, 2, nan, nan, nan],
  [2, nan, nan, nan, nan],
];
const column = (i: number): number[] => edges.map((row) => Math.fround(row[i]));
const values = async (x: c.Tensor): Promise<number[]> => Array.from(await x.data());

describe.each(["cpu", "wasm", "webgpu", "gpujs:webasm"])("on %s, division with remainder", (name) => {
  it("is PyTorch's at the edges", async () => {
    const device = await c.device(name);
    const [a, b] = [tensor(column(0), { device }), tensor(column(1), { device })];
    expect(await values(c.floorDivide(a, b))).toEqual(column(2));
    expect(await values(c.remainder(a, b))).toEqual(column(3));
    expect(await values(c.fmod(a, b))).toEqual(column(4));
    expect(await values(c.floorDivide(tensor([1, -1, 0.35], { device }), 0.1))).toEqual([9, -10, 3]);
    expect(await values(c.remainder(tensor([7.5, -7.5], { device }), -2))).toEqual([-0.5, -1.5]);
    expect(await values(c.floorDivide(7, tensor([2, -2], { device })))).toEqual([3, -4]);
    const [ones, tenths] = [tensor([1, -1, 3], { device }), tensor([0.1, 0.1, 0.3], { device })];
    expect(await values(c.div(ones, tenths, { roundingMode: "trunc" }))).toEqual([10, -10, 10]);
    expect(await values(c.floor(c.div(ones, tenths)))).toEqual([10, -10, 10]);
    await device.close();
  });

  it("leaves what is left exactly", async () => {
    const device = await c.device(name);
    const number = fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e30), max: Math.fround(1e30) });
    const pairs = fc.sample(fc.tuple(number, number), { numRuns: 200, seed: 7 });
    // Numbers so small that a device may take them for 0 are not in it.
    const normal = pairs.filter(([a, b]) => Math.abs(b) > 1e-30 && (Math.abs(a % b) > 1e-37 || a % b === 0) && Math.abs(a) > 1e-37);
    expect(normal.length).toBeGreaterThan(20);
    const [a, b] = [0, 1].map((i) =>
      tensor(
        normal.map((pair) => pair[i]),
        { device },
      ),
    );
    expect(await values(c.fmod(a, b))).toEqual(normal.map(([x, y]) => x % y));
    await device.close();
  });
});

it("the gradient of a remainder to the divisor is minus the quotient", async () => {
  const slopes = async (f: (a: c.Tensor, b: c.Tensor) => c.Tensor): Promise<number[][]> => {
    const [a, b] = [tensor([7.5, -7.5], { requiresGrad: true }), tensor([2, 2], { requiresGrad: true })];
    f(a, b).sum().backward();
    return [await values(a.grad as c.Tensor), await values(b.grad as c.Tensor)];
  };
  expect(await slopes(c.remainder)).toEqual([
    [1, 1],
    [-3, 4],
  ]);
  expect(await slopes(c.fmod)).toEqual([
    [1, 1],
    [-3, 3],
  ]);
});
