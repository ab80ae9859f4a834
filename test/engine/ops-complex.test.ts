/** Complex functions against complex arithmetic on the host, and their gradients against differences. */
import { describe, expect, it } from "vitest";
import * as c from "../../index.js";

type Z = readonly [number, number];
type Fn = (...args: unknown[]) => c.Tensor;

const zs: Z[] = [
  [1.2, 0.7],
  [-0.8, 1.5],
  [-2.1, -0.4],
  [0.3, -1.9],
  [0.5, 0.1],
  [-0.5, 0.25],
];
const ws: Z[] = [
  [0.4, -1.1],
  [1.3, 0.2],
  [-0.6, 0.9],
  [2, 0.1],
  [-0.3, -0.7],
  [1, 1],
];
const pairs = (list: readonly Z[]): c.Tensor => c.tensor(list, { dtype: "float64" });
const fns = c.complexFunctions as unknown as Readonly<Record<string, Fn>>;

const add = (a: Z, b: Z): Z => [a[0] + b[0], a[1] + b[1]];
const mul = (a: Z, b: Z): Z => [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]];
const scale = (a: Z, k: number): Z => [a[0] * k, a[1] * k];
const inv = (a: Z): Z => scale([a[0], -a[1]], 1 / (a[0] ** 2 + a[1] ** 2));
const exp = ([x, y]: Z): Z => scale([Math.cos(y), Math.sin(y)], Math.exp(x));
const log = (a: Z): Z => [Math.log(Math.hypot(...a)), Math.atan2(a[1], a[0])];
const sinh = (a: Z): Z => scale(add(exp(a), scale(exp(scale(a, -1)), -1)), 0.5);
const cosh = (a: Z): Z => scale(add(exp(a), exp(scale(a, -1))), 0.5);
const sin = (a: Z): Z => mul([0, -1], sinh(mul([0, 1], a)));
const cos = (a: Z): Z => cosh(mul([0, 1], a));

const reference: Readonly<Record<string, (a: Z) => Z>> = {
  exp,
  log,
  sinh,
  cosh,
  sin,
  cos,
  tan: (a) => mul(sin(a), inv(cos(a))),
  tanh: (a) => mul(sinh(a), inv(cosh(a))),
  sqrt: (a) => exp(scale(log(a), 0.5)),
  rsqrt: (a) => exp(scale(log(a), -0.5)),
  reciprocal: inv,
  square: (a) => mul(a, a),
  sigmoid: (a) => inv(add([1, 0], exp(scale(a, -1)))),
  expm1: (a) => add(exp(a), [-1, 0]),
  log1p: (a) => log(add(a, [1, 0])),
  sign: (a) => scale(a, 1 / Math.hypot(...a)),
  neg: (a) => scale(a, -1),
  conj: ([x, y]) => [x, -y],
};

async function expectClose(got: c.Tensor, want: readonly Z[]): Promise<void> {
  const data = await got.data();
  want.flat().forEach((value, i) => {
    expect(data[i]).toBeCloseTo(value, 10);
  });
}

describe("complex functions", () => {
  it.each(Object.entries(reference))("%s", async (name, fn) => {
    await expectClose(fns[name](pairs(zs)), zs.map(fn));
    await c.gradcheck((z: c.Tensor) => fns[name](z), [pairs(zs)]);
    await c.gradgradcheck((z: c.Tensor) => fns[name](z), [pairs(zs)]);
  });

  it.each<[string, (a: Z, b: Z) => Z]>([
    ["add", add],
    ["mul", mul],
    ["div", (a, b) => mul(a, inv(b))],
    ["pow", (a, b) => exp(mul(b, log(a)))],
  ])("%s", async (name, fn) => {
    await expectClose(
      fns[name](pairs(zs), pairs(ws)),
      zs.map((z, i) => fn(z, ws[i])),
    );
    await c.gradcheck((z: c.Tensor, w: c.Tensor) => fns[name](z, w), [pairs(zs), pairs(ws)]);
    await c.gradgradcheck((z: c.Tensor, w: c.Tensor) => fns[name](z, w), [pairs(zs), pairs(ws)]);
  });

  it("prod, along a dim and of all", async () => {
    await expectClose(fns.prod(pairs(zs)), [zs.reduce(mul)]);
    await expectClose(fns.prod(pairs(zs).reshape([2, 3, 2]), { dim: 1 }), [zs.slice(0, 3).reduce(mul), zs.slice(3).reduce(mul)]);
    await expectClose(fns.prod(c.zeros([0, 2], { dtype: "float64" })), [[1, 0]]);
  });

  it("abs, angle and norms are real", async () => {
    const z = pairs(zs);
    expect(Array.from(await fns.abs(z).data())[0]).toBeCloseTo(Math.hypot(1.2, 0.7));
    expect(fns.std(z).shape).toEqual([]);
    expect(await fns.norm(z).item()).toBeCloseTo(Math.hypot(...zs.flat()));
  });

  it("movement counts dims without the pairs", async () => {
    const z = fns.reshape(pairs(zs), [2, 3]);
    expect(z.shape).toEqual([2, 3, 2]);
    expect(fns.transpose(z, 0, -1).shape).toEqual([3, 2, 2]);
    expect(fns.sum(z, { dim: -1 }).shape).toEqual([2, 2]);
    expect(await fns.getItem(z, [1, -1]).tolist()).toEqual([-0.5, 0.25]);
    expect(await fns.pad(c.tensor([[1, 2]]), [0, 1], { value: 3 }).tolist()).toEqual([
      [1, 2],
      [3, 0],
    ]);
  });
});
