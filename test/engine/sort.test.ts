/** Sorting against a plain sort, for lines short (counted by a kernel) and long (sorted on the host). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LONGEST_COUNTED } from "../../engine/ops/sort.js";
import { argsort, compile, type Device, device, explain, gradcheck, gradgradcheck, sort, type Tensor, tensor, topk } from "../../index.js";

/** Values with many ties. */
const tied = (n: number, seed = 1): number[] => Array.from({ length: n }, (_, i) => Math.round(4 * Math.sin(i * 12.9 + seed * 7.1)));
const order = (line: readonly number[], descending = false): number[] =>
  line.map((_, i) => i).sort((a, b) => (descending ? line[b] - line[a] : line[a] - line[b]));

describe.each([
  ["counted", 60],
  ["on the host", LONGEST_COUNTED + 44],
])("lines that are %s", (_, n) => {
  it("are sorted, equal elements in their order", async () => {
    const line = tied(n);
    for (const descending of [false, true]) {
      const { values, indices } = sort(tensor(line), { descending });
      const want = order(line, descending);
      expect(await indices.tolist()).toEqual(want);
      expect(await values.tolist()).toEqual(want.map((i) => line[i]));
      expect(await argsort(tensor(line, { dtype: "int32" }), { descending }).tolist()).toEqual(want);
    }
  });

  it("may lie along any dim", async () => {
    const [a, b] = [tied(n, 1), tied(n, 2)];
    const x = tensor(
      a.map((v, i) => [v, b[i]]),
      { dtype: "int32" },
    );
    const { values, indices } = sort(x, { dim: 0 });
    expect(await indices.mT.tolist()).toEqual([order(a), order(b)]);
    expect(values.dtype).toBe("int32");
  });

  it("have NaN as the largest", async () => {
    const line = [...tied(n - 4), Number.NaN, Number.POSITIVE_INFINITY, Number.NaN, Number.NEGATIVE_INFINITY];
    const up = (await sort(tensor(line)).indices.data()).slice(-3);
    const down = (await sort(tensor(line), { descending: true }).indices.data()).slice(0, 3);
    expect([Array.from(up), Array.from(down)]).toEqual([
      [n - 3, n - 4, n - 2],
      [n - 4, n - 2, n - 3],
    ]);
  });

  it("give the first k", async () => {
    const line = tied(n);
    const { values, indices } = topk(tensor(line), 7);
    expect(await indices.tolist()).toEqual(order(line, true).slice(0, 7));
    expect(await values.tolist()).toEqual(
      order(line, true)
        .slice(0, 7)
        .map((i) => line[i]),
    );
    expect(await topk(tensor(line), 3, { largest: false }).indices.tolist()).toEqual(order(line).slice(0, 3));
  });

  it("have gradients, and gradients of gradients", async () => {
    const x = tensor(
      Float64Array.from({ length: 2 * n }, (_, i) => Math.sin(i * i)),
      { shape: [2, n] },
    );
    const smooth = (f: (x: Tensor) => Tensor) => (v: Tensor) => f(v).pow(3);
    for (const f of [smooth((v) => sort(v).values), smooth((v) => topk(v, 5, { dim: 1 }).values)]) {
      await gradcheck(f, [x]);
      await gradgradcheck(f, [x]);
    }
  });

  it("are sorted anew in a compiled function", async () => {
    const step = compile((x: Tensor) => sort(x).values.mul(2));
    for (const seed of [1, 2, 3]) {
      const line = tied(n, seed);
      expect(await (await step(tensor(line))).tolist()).toEqual([...line].sort((a, b) => a - b).map((v) => 2 * v));
    }
  });
});

describe("sorting", () => {
  it("takes rank 0, empty tensors, booleans", async () => {
    expect(await sort(tensor(3)).indices.tolist()).toBe(0);
    expect(await sort(tensor(3)).values.tolist()).toBe(3);
    expect((await sort(tensor([], { shape: [0, 3] })).values.data()).length).toBe(0);
    expect(await sort(tensor([true, false, true])).values.tolist()).toEqual([false, true, true]);
    expect(topk(tensor([1, 2]), 0).values.shape).toEqual([0]);
  });

  it("says what is wrong", () => {
    expect(() => topk(tensor([1, 2]), 3)).toThrow("topk: k = 3 is out of range: dim -1 of [2] has 2 elements, so k is 0 to 2");
    expect(() => sort(tensor([1]), { dim: 1 })).toThrow("sort");
    expect(() => argsort(tensor([1]), { reverse: true } as object)).toThrow("argsort: no option is called reverse");
  });
});

describe("the same order on every way through the engine", () => {
  const open: Device[] = [];
  beforeAll(async () => {
    open.push(await device("cpu", { fuse: false, verify: true }), await device("cpu", { interpret: true }));
  });
  afterAll(async () => {
    for (const d of open) await d.close();
  });
  it("for ties and NaN", async () => {
    const line = [...tied(40), Number.NaN, 1, Number.NaN];
    const want = await sort(tensor(line)).indices.tolist();
    for (const d of open) expect(await sort(tensor(line, { device: d })).indices.tolist()).toEqual(want);
  });
  it("shows the call of the host only for long lines", async () => {
    const text = async (n: number): Promise<string> => String(await explain(sort(tensor(tied(n))).values));
    expect(await text(30)).toContain("rank");
    expect(await text(LONGEST_COUNTED + 1)).not.toContain("rank");
  });
});
