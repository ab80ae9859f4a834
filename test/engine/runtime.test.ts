/** Versions, pending effects, the plan cache, compiled functions, and the memory of loops. */
import { afterEach, describe, expect, it } from "vitest";
import {
  add,
  compile,
  type Device,
  device,
  gather,
  hostCall,
  hostScalar,
  matmul,
  memory,
  mul,
  noGrad,
  onStep,
  realize,
  sum,
  type Tensor,
  tensor,
} from "../../index.js";

const open: Device[] = [];
async function cpu(options = {}): Promise<Device> {
  const d = await device("cpu", { verify: true, ...options });
  open.push(d);
  return d;
}
afterEach(async () => {
  for (const d of open.splice(0)) await d.close();
});

describe("reading", () => {
  it("computes what is awaited, and reads of one microtask as one plan", async () => {
    const d = await cpu();
    const x = tensor([1, 2, 3], { device: d });
    const [a, b] = await Promise.all([x.mul(2).data(), x.add(1).data()]);
    expect([...a]).toEqual([2, 4, 6]);
    expect([...b]).toEqual([2, 3, 4]);
    expect(d.planCache().misses).toBe(1);
  });

  it("leaves no buffer behind", async () => {
    const d = await cpu();
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { device: d },
    );
    expect(await x.matmul(x).tolist()).toEqual([
      [7, 10],
      [15, 22],
    ]);
    expect(memory(d).liveBuffers).toBe(0);
  });

  it("gives copies: changing what was read changes no tensor", async () => {
    const x = tensor([1, 2], { device: await cpu() });
    const y = x.add(1);
    (await y.data())[0] = 99;
    expect([...(await y.data())]).toEqual([2, 3]);
  });

  it("handles rank 0, empty tensors and tensors read twice", async () => {
    const d = await cpu();
    expect(await tensor(3, { device: d }).mul(2).item()).toBe(6);
    const empty = tensor(new Float32Array(0), { shape: [0, 3], device: d });
    expect(await empty.add(1).tolist()).toEqual([]);
    expect(await empty.sum().item()).toBe(0);
    expect(await empty.sum({ dim: 0 }).tolist()).toEqual([0, 0, 0]);
    const y = tensor([1, 2], { device: d }).exp();
    const first = await y.data();
    expect(await y.data()).toEqual(first);
  });

  it("console.log shows and computes nothing", async () => {
    const d = await cpu();
    expect(String(tensor([1, 2], { device: d }).add(1))).toContain("lazy");
    expect(d.planCache().misses).toBe(0);
  });
});

describe("assign", () => {
  it("gives the handle a new version, and leaves what was built before alone", async () => {
    const d = await cpu();
    const p = tensor([1, 2], { device: d });
    const before = p.mul(10);
    p.assign(p.add(1));
    const after = p.mul(10);
    expect([...(await after.data())]).toEqual([20, 30]);
    expect([...(await before.data())]).toEqual([10, 20]);
    expect([...(await p.data())]).toEqual([2, 3]);
  });

  it("is carried out by any read on the device", async () => {
    const d = await cpu();
    const p = tensor([1], { device: d });
    for (let step = 0; step < 50; step++) {
      p.assign(p.add(1));
      await tensor(0, { device: d }).add(step).item();
      expect(p.node.value?.kind).toBe("device");
    }
    expect(await p.item()).toBe(51);
    expect(memory(d).liveBuffers).toBeLessThanOrEqual(2);
  });

  it("keeps exactly one earlier version: an older read names the remedy", async () => {
    const d = await cpu();
    const p = tensor([1, 2], { device: d });
    const step = async (): Promise<void> => {
      p.assign(p.add(1));
      await p.data();
    };
    await step();
    const old = p.mul(2);
    await step();
    expect([...(await old.data())]).toEqual([4, 6]);
    await step();
    const older = p.mul(2);
    await step();
    await step();
    await expect(older.data()).rejects.toThrow(/realize\(a, b\)/);
  });

  it("checks shape and dtype", async () => {
    const p = tensor([1, 2], { device: await cpu() });
    expect(() => p.assign(tensor([1, 2, 3], { device: p.device }))).toThrow(/assign: cannot assign float32 \[3\]/);
  });

  it("flushes by itself when nothing is ever read", async () => {
    const d = await cpu();
    const p = tensor([0], { device: d });
    for (let step = 0; step < 30_000; step++) p.assign(p.add(1));
    expect(await p.item()).toBe(30_000);
  });
});

describe("indices computed on the device", () => {
  it("are checked when read, and a bad one changes no parameter", async () => {
    const d = await cpu();
    const p = tensor([1, 2, 3], { device: d });
    const index = tensor([0, 5], { dtype: "int32", device: d });
    const good = gather(p, 0, index.mul(0));
    expect(await good.tolist()).toEqual([1, 1]);
    const bad = gather(p, 0, index.add(1));
    p.assign(p.add(bad.sum()));
    await expect(bad.data()).rejects.toThrow(/out of range for a dim of size 3/);
    expect(await p.tolist()).toEqual([1, 2, 3]);
  });
});

describe("indices computed in a compiled function", () => {
  it("reject the call, and change no parameter", async () => {
    const d = await cpu();
    const p = tensor([1, 2, 3], { device: d });
    const step = compile((index: Tensor) => {
      const picked = gather(p, 0, index.add(1));
      p.assign(p.add(picked.sum()));
      return picked;
    });
    expect(await (await step(tensor([0, 1], { dtype: "int32", device: d }))).tolist()).toEqual([2, 3]);
    expect(await p.tolist()).toEqual([6, 7, 8]);
    await expect(step(tensor([0, 2], { dtype: "int32", device: d }))).rejects.toThrow(/out of range for a dim of size 3/);
    expect(await p.tolist()).toEqual([6, 7, 8]);
  });
});

describe("compile", () => {
  it("goes on from state that was still to be computed when it was traced", async () => {
    const d = await cpu();
    for (const grows of [true, false]) {
      const made = tensor([1, 2], { device: d }).mul(2).detach();
      const state = grows ? made.requiresGrad_() : made;
      const twice = state.mul(2).detach();
      const step = compile(
        () => {
          const sum = state.detach().add(twice);
          state.assign(state.detach().add(1));
          return sum;
        },
        { device: d },
      );
      const sums: number[][] = [];
      for (let i = 0; i < 3; i++) sums.push([...(await (await step()).data())]);
      expect(sums).toEqual([
        [6, 12],
        [7, 13],
        [8, 14],
      ]);
      expect([...(await state.data())]).toEqual([5, 7]);
    }
  });

  it("traces once a signature and replays", async () => {
    const d = await cpu();
    let calls = 0;
    const f = compile((x: Tensor, k: number) => {
      calls++;
      return x.mul(k).sum();
    });
    for (const k of [1, 2, 3]) expect(await (await f(tensor([1, 2], { device: d }), k)).item()).toBe(3 * k);
    expect(calls).toBe(1);
    expect(await (await f(tensor([1, 2, 3], { device: d }), 2)).item()).toBe(12);
    expect(calls).toBe(2);
  });

  it("updates in place, reads host scalars anew, and sees assignments made outside", async () => {
    const d = await cpu();
    const p = tensor([0, 0], { device: d });
    let rate = 1;
    let steps = 0;
    const step = compile(
      (x: Tensor) => {
        onStep(() => {
          steps++;
        });
        const lr = hostScalar(() => rate, { device: d });
        const count = hostScalar(() => steps, { device: d });
        p.assign(p.add(x.mul(lr)).add(count));
        return { total: p.sum() };
      },
      { device: d },
    );
    const x = tensor([1, 2], { device: d });
    expect(await (await step(x)).total.item()).toBe(3 + 2);
    rate = 10;
    expect(await (await step(x)).total.item()).toBe(5 + 30 + 4);
    p.assign(p.mul(0));
    expect(await (await step(x)).total.item()).toBe(30 + 6);
    expect(steps).toBe(3);
    const bytes = memory(d).liveBytes;
    for (let i = 0; i < 20; i++) await step(x);
    expect(memory(d).liveBytes).toBeLessThanOrEqual(bytes + 64);
  });

  it("keeps outputs until the second-next call", async () => {
    const d = await cpu();
    const f = compile((x: Tensor) => x.add(1));
    const a = await f(tensor([1], { device: d }));
    const b = await f(tensor([2], { device: d }));
    expect(await a.item()).toBe(2);
    await f(tensor([3], { device: d }));
    await f(tensor([4], { device: d }));
    await expect(b.item()).rejects.toThrow(/compiled call/);
  });

  it("refuses what it cannot keep", async () => {
    const d = await cpu();
    await expect(compile(() => 3)()).rejects.toThrow(/return tensors/);
    await expect(compile(async (x: Tensor) => x as unknown as Tensor)(tensor([1], { device: d }))).rejects.toThrow(/async/);
  });
});

describe("hostCall", () => {
  it("splits a plan and caches it", async () => {
    const d = await cpu();
    const run = (value: number): Promise<ArrayLike<number>> => {
      const x = tensor([value, 2], { device: d }).mul(2);
      const [doubled] = hostCall(([data]) => [data.slice().reverse()], [x], [{ shape: [2], dtype: "float32" }], { name: "reverse" });
      return add(doubled, 1).data();
    };
    expect([...Array.from(await run(1))]).toEqual([5, 3]);
    expect([...Array.from(await run(4))]).toEqual([5, 9]);
    expect(d.planCache()).toMatchObject({ misses: 1, hits: 1 });
  });
});

describe("loops without dispose", () => {
  async function train(
    read: (loss: Tensor, metric: Tensor, backward: () => void) => Promise<void>,
  ): Promise<{ early: number; late: number; weights: number[] }> {
    const d = await cpu();
    const w = tensor(
      [
        [0.5, -0.5],
        [0.25, 1],
      ],
      { device: d, requiresGrad: true },
    );
    let early = 0;
    for (let step = 0; step < 60; step++) {
      const x = tensor(
        [
          [1, step % 3],
          [0.5, 2],
        ],
        { device: d },
      );
      const out = matmul(x, w).tanh();
      const loss = sum(mul(out, out));
      const metric = out.detach().abs().sum();
      const backward = (): void => {
        loss.backward();
        noGrad(() => w.assign(w.sub((w.grad as Tensor).mul(0.01))));
        w.grad = null;
      };
      await read(loss, metric, backward);
      if (step === 10) early = memory(d).liveBytes;
    }
    await realize(w);
    return { early, late: memory(d).liveBytes, weights: Array.from(await w.data()) };
  }

  it("grow in no way, whenever a metric is read, and end with the same weights", async () => {
    const after = await train(async (loss, metric, backward) => {
      backward();
      await loss.item();
      await metric.item();
    });
    const before = await train(async (loss, metric, backward) => {
      await metric.item();
      await loss.item();
      backward();
      await loss.item();
    });
    const never = await train(async (loss, _, backward) => {
      backward();
      await loss.item();
    });
    const nothing = await train(async (_loss, _metric, backward) => backward());
    for (const run of [after, before, never]) expect(run.late).toBe(run.early);
    expect(nothing.late).toBeLessThanOrEqual(after.late);
    for (const run of [before, never, nothing]) {
      run.weights.forEach((value, i) => expect(value).toBeCloseTo(after.weights[i], 6));
    }
  });
});
