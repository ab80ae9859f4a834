import { beforeEach, describe, expect, it } from "vitest";
import {
  bernoulli,
  compile,
  device,
  dropout,
  dropPath,
  full,
  Generator,
  hostNormal,
  hostPermutation,
  hostUniform,
  manualSeed,
  ones,
  rand,
  randint,
  randn,
  randperm,
  type Tensor,
  tensor,
  truncNormal,
  uniform,
} from "../../index.js";

beforeEach(() => {
  manualSeed(42);
});

const flat = async (x: Tensor): Promise<number[]> => Array.from(await x.data());
const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

describe("draws", () => {
  it("repeat from a seed, differ from draw to draw, and are the host's", async () => {
    const [a, b] = [await flat(rand([2, 50])), await flat(rand([2, 50]))];
    expect(a).not.toEqual(b);
    manualSeed(42);
    expect(await flat(rand([100]))).toEqual(a);
    expect(await flat(rand([100]))).toEqual(b);
    const own = new Generator(42);
    expect([...hostUniform(own, 100)]).toEqual(a);
    expect(own.counter).toBe(1);
    manualSeed(43);
    expect(await flat(rand([100]))).not.toEqual(a);
    expect(() => manualSeed(-1)).toThrow("the seed is a whole number from 0 to 2^53 − 1; got -1");
  });

  it("are the same however they are computed", async () => {
    const plain = await flat(rand([64]));
    for (const options of [{ fuse: false }, { interpret: true }]) {
      const dev = await device("cpu", options);
      expect(await flat(rand([64], { generator: new Generator(42), device: dev }))).toEqual(plain);
    }
  });

  it("keep to large seeds", async () => {
    const [low, high] = [new Generator(7), new Generator(7 + 2 ** 32)];
    expect([...hostUniform(low, 4)]).not.toEqual([...hostUniform(high, 4)]);
  });

  it("have the right distributions", async () => {
    const u = await flat(uniform([4000], { low: -1, high: 3 }));
    expect(Math.min(...u)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...u)).toBeLessThan(3);
    expect(mean(u)).toBeCloseTo(1, 1);
    const z = await flat(randn([10_000]));
    expect(mean(z)).toBeCloseTo(0, 1);
    expect(mean(z.map((v) => v * v))).toBeCloseTo(1, 1);
    expect(mean(z.map((v) => v ** 4))).toBeGreaterThan(2.7);
    const counts = new Map<number, number>();
    for (const k of await flat(randint(-2, 3, [5000]))) counts.set(k, (counts.get(k) ?? 0) + 1);
    expect([...counts.keys()].sort((p, q) => p - q)).toEqual([-2, -1, 0, 1, 2]);
    for (const count of counts.values()) expect(count).toBeGreaterThan(850);
    expect(mean(await flat(bernoulli(full([5000], 0.3))))).toBeCloseTo(0.3, 1);
  });

  it("shuffle", async () => {
    const order = await flat(randperm(100));
    expect([...order].sort((p, q) => p - q)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(order).toEqual([...hostPermutation(new Generator(42), 100)]);
    expect(order.slice(0, 10)).not.toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("initialise", () => {
    const generator = new Generator(1);
    const cut = truncNormal(generator, 3000, { std: 0.5, a: -0.5, b: 1 });
    expect(Math.min(...cut)).toBeGreaterThanOrEqual(-0.5);
    expect(Math.max(...cut)).toBeLessThanOrEqual(1);
    expect(() => truncNormal(generator, 3, { a: 9, b: 10 })).toThrow("holds next to nothing");
    expect(mean([...hostNormal(generator, 5000)])).toBeCloseTo(0, 1);
  });

  it("are new in each replay of a compiled function, and follow the seed", async () => {
    const step = compile(() => rand([8]).add(0));
    const first = await flat(await step());
    const second = await flat(await step());
    expect(second).not.toEqual(first);
    manualSeed(42);
    expect(await flat(await step())).toEqual(first);
    expect(await flat(rand([8]))).toEqual(second);
    manualSeed(9);
    const other = await flat(await step());
    expect(other).toEqual([...hostUniform(new Generator(9), 8)]);
    expect(step.traces()).toBe(1);
  });
});

describe("dropout", () => {
  it("keeps the mean, whole samples or not", async () => {
    const x = ones([2000, 2]);
    const kept = await flat(dropout(x, { p: 0.25 }));
    expect(new Set(kept)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    expect(mean(kept)).toBeCloseTo(1, 1);
    const paths = (await dropPath(x, 0.5).tolist()) as number[][];
    expect(paths.every(([a, b]) => a === b)).toBe(true);
    expect(mean(paths.flat())).toBeCloseTo(1, 1);
    expect(dropPath(x, 0.5, { training: false })).toBe(x);
    expect(() => dropout(x, { p: 1.5 })).toThrow("dropout: p is 1.5; expected a probability, 0 to 1");
    expect(await flat(dropout(x, { p: 1 }).sum())).toEqual([0]);
  });

  it("gives the gradient to what it kept", async () => {
    const x = tensor(new Float32Array(100).fill(1), { requiresGrad: true });
    const y = dropout(x, { p: 0.5 });
    y.sum().backward();
    const [slope, value] = await Promise.all([(x.grad as Tensor).data(), y.data()]);
    expect([...slope]).toEqual([...value]);
  });
});
