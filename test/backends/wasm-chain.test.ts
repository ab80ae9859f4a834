/** Chains: attention and its gradients row by row, against the plain kernels of `cpu`, the interpreter, and other numbers of threads. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectAgreement } from "../../backends/conformance-kit.js";
import type { ChainKernel } from "../../engine/kernel/ir.js";
import { verifyKernel } from "../../engine/kernel/verify.js";
import {
  type Device,
  device,
  explain,
  Generator,
  hostUniform,
  layerNorm,
  linear,
  realize,
  scaledDotProductAttention,
  softmax,
  type Tensor,
  tensor,
} from "../../index.js";

interface Shape {
  readonly batch: readonly number[];
  readonly l: number;
  readonly s: number;
  readonly e: number;
  readonly ev: number;
  readonly causal: boolean;
  /** "rows": some rows see nothing. */
  readonly mask: "none" | "bool" | "float" | "rows";
}

const numel = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

function numbers(seed: number, shape: readonly number[]): Float32Array {
  return Float32Array.from(hostUniform(new Generator(seed), numel(shape)), (u) => 4 * u - 2);
}

/** Queries, keys, values and the gradient of the result. */
function inputsOn(on: Device, { batch, l, s, e, ev }: Shape): readonly [Tensor, Tensor, Tensor, Tensor] {
  const make = (seed: number, ...shape: number[]): Tensor =>
    tensor(numbers(seed, [...batch, ...shape]), { shape: [...batch, ...shape], device: on });
  return [make(1, l, e).requiresGrad_(), make(2, s, e).requiresGrad_(), make(3, s, ev).requiresGrad_(), make(4, l, ev)];
}

function maskOn(on: Device, { l, s, mask }: Shape): Tensor | null {
  if (mask === "none") return null;
  const values = tensor(numbers(5, [l, s]), { shape: [l, s], device: on });
  if (mask === "float") return values;
  const none = (row: number): boolean => mask === "rows" && row % 3 === 1;
  const own = tensor(
    Float32Array.from({ length: l * s }, (_, i) => (none(Math.floor(i / s)) ? -9 : i % s === 0 ? 9 : 0)),
    { shape: [l, s], device: on },
  );
  return values.add(own).gt(0);
}

/** The result, and the gradients to queries, keys and values. */
async function attended(on: Device, shape: Shape): Promise<readonly ArrayLike<number>[]> {
  const [q, k, v, gradient] = inputsOn(on, shape);
  const y = scaledDotProductAttention(q, k, v, { isCausal: shape.causal, attnMask: maskOn(on, shape) });
  y.backward({ gradient });
  return Promise.all([y, ...[q, k, v].map((x) => x.grad as Tensor)].map((t) => t.data()));
}

function expectNear(got: readonly ArrayLike<number>[], want: readonly ArrayLike<number>[]): void {
  got.forEach((values, i) => {
    const most = Math.max(1, ...Array.from(want[i]).filter(Number.isFinite).map(Math.abs));
    expect(values.length).toBe(want[i].length);
    for (let at = 0; at < values.length; at++) {
      if (Number.isNaN(want[i][at])) expect(values[at]).toBeNaN();
      else expect(Math.abs(values[at] - want[i][at])).toBeLessThanOrEqual(4e-6 * most);
    }
  });
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  batch: fc.constantFrom([], [2], [4], [2, 3], [1, 5]),
  l: fc.integer({ min: 2, max: 70 }),
  s: fc.integer({ min: 2, max: 90 }),
  e: fc.integer({ min: 1, max: 19 }),
  ev: fc.integer({ min: 1, max: 19 }),
  causal: fc.boolean(),
  mask: fc.constantFrom("none", "bool", "float", "rows"),
});

/** The chains that a device compiles while something runs. */
async function chainsOf(on: Device, run: () => Promise<unknown>): Promise<readonly ChainKernel[]> {
  const { backend } = on;
  const compile = backend.compile.bind(backend);
  const found: ChainKernel[] = [];
  backend.compile = (kernel) => {
    if (kernel.kind === "chain") found.push(kernel);
    return compile(kernel);
  };
  await run();
  backend.compile = compile;
  return found;
}

const ragged: Shape = { batch: [2, 3], l: 37, s: 53, e: 7, ev: 5, causal: false, mask: "none" };

describe("attention on wasm", () => {
  it("is that of cpu for any shape and mask, and so are its gradients", async () => {
    const [cpu, wasm] = [await device("cpu"), await device("wasm", { threads: 1 })];
    const check = async (shape: Shape): Promise<void> => expectNear(await attended(wasm, shape), await attended(cpu, shape));
    await check({ ...ragged, mask: "rows" });
    await check({ ...ragged, l: 1 });
    await fc.assert(fc.asyncProperty(shapes, check), { numRuns: 10, seed: 7 });
  }, 60_000);

  it("is one kernel, and one for all gradients, in which no scores have a buffer", async () => {
    const wasm = await device("wasm", { threads: 1 });
    const [q, k, v, gradient] = inputsOn(wasm, ragged);
    const y = scaledDotProductAttention(q, k, v);
    const forward = await explain(y);
    expect(forward.kernels.map(({ name }) => name)).toEqual(["chain_2x3x37_matmul_mul_amax_sub_exp_sum_div_matmul"]);
    expect(forward.memory.temporaryBytes).toBe(0);
    expect(forward.boundaries).toEqual([]);
    const [{ ir, source }] = forward.kernels;
    expect(ir).toContain("for n∈0..2, c∈0..3, h∈0..37");
    expect(ir).toContain("for each point: row4 float32[53], row5 float32[53]");
    expect(ir).toContain("row4[w] = s0 * ");
    expect(await source()).toContain("(module");
    y.backward({ gradient });
    const backward = await explain([q, k, v].map((x) => x.grad as Tensor));
    expect(backward.kernels).toHaveLength(1);
    expect(backward.memory.temporaryBytes).toBe(0);
    expect(backward.kernels[0].ir.match(/, summed along h/g)).toHaveLength(2);
  });

  it("fits where its scores do not", async () => {
    // Eight heads of 1024 × 1024 scores, or one of 2900 × 2900, are 32 MiB; so much is neither allocated nor written to anywhere.
    for (const [batch, length] of [
      [[2, 4], 1024],
      [[], 2900],
    ] as const) {
      const shape: Shape = { ...ragged, batch, l: length, s: length, e: 4, ev: 4 };
      const wasm = await device("wasm", { threads: 2, maxBytes: 5 << 20 });
      const got = await attended(wasm, shape);
      expect(got[0]).toHaveLength(numel(batch) * length * 4);
      const plain = await device("wasm", { threads: 2, maxBytes: 5 << 20, fuse: false });
      await expect(attended(plain, shape)).rejects.toThrow(/allowed/);
    }
  }, 30_000);

  it("gives the same bits on one, two and three threads", async () => {
    for (const shape of [ragged, { ...ragged, l: 150, s: 140, batch: [5], causal: true }, { ...ragged, l: 390, batch: [] }]) {
      const all = [];
      for (const threads of [1, 2, 3]) all.push(await attended(await device("wasm", { threads, callerCycles: 1 }), shape));
      expect(all[1]).toEqual(all[0]);
      expect(all[2]).toEqual(all[0]);
    }
  }, 30_000);

  it("has gradients that are its slopes", async () => {
    const wasm = await device("wasm", { threads: 1 });
    const shape: Shape = { ...ragged, batch: [4], l: 9, s: 14, e: 3, ev: 4, mask: "float" };
    const [, ...gradients] = await attended(wasm, shape);
    const attnMask = maskOn(wasm, shape);
    const inputs = inputsOn(wasm, shape).map((x) => x.detach());
    /** Of all results, each weighted as `attended` does. */
    const total = async (moved: number, by: number): Promise<number> => {
      const [q, k, v] = inputs.map((x, i) =>
        i === moved ? x.add(tensor(numbers(9 + i, x.shape), { shape: x.shape, device: wasm }), { alpha: by }) : x,
      );
      const [y, weights] = await Promise.all([scaledDotProductAttention(q, k, v, { attnMask }).data(), inputs[3].data()]);
      return Array.from(y).reduce((sum, value, i) => sum + value * weights[i], 0);
    };
    for (const [i, gradient] of gradients.entries()) {
      const direction = numbers(9 + i, inputs[i].shape);
      const slope = Array.from(gradient).reduce((sum, value, at) => sum + value * direction[at], 0);
      const step = 2 ** -8;
      expect(((await total(i, step)) - (await total(i, -step))) / (2 * step)).toBeCloseTo(slope, 1);
      expect(Math.abs(slope)).toBeGreaterThan(1);
    }
  });

  it("takes keys and values that all sequences share", async () => {
    const run = async (on: Device): Promise<readonly ArrayLike<number>[]> => {
      const [q, , , gradient] = inputsOn(on, ragged);
      const [, k, v] = inputsOn(on, { ...ragged, batch: [3] });
      const y = scaledDotProductAttention(q, k, v);
      y.backward({ gradient });
      return Promise.all([y, ...[q, k, v].map((x) => x.grad as Tensor)].map((t) => t.data()));
    };
    expectNear(await run(await device("wasm", { threads: 1 })), await run(await device("cpu")));
  });

  it("keeps what is asked for beside the result, and what others read", async () => {
    const [cpu, wasm] = [await device("cpu"), await device("wasm", { threads: 1 })];
    const run = async (on: Device): Promise<readonly ArrayLike<number>[]> => {
      const [q, k, v] = inputsOn(on, ragged).map((x) => x.detach());
      const weights = softmax(q.matmul(k.transpose(-2, -1)), { dim: -1 });
      const y = weights.matmul(v);
      await realize(weights, y);
      const scores = q.matmul(k.transpose(-2, -1));
      const spread = softmax(scores, { dim: -1 })
        .matmul(v)
        .add(scores.mean({ dim: -1, keepdim: true }));
      return Promise.all([weights, y, spread].map((t) => t.data()));
    };
    expectNear(await run(wasm), await run(cpu));
  });

  it("chains products around any kernel of rows, where rows are most of what they touch", async () => {
    const [cpu, wasm] = [await device("cpu"), await device("wasm", { threads: 1 })];
    const program = (on: Device): Tensor => {
      const [x, first, second] = [
        [90, 9],
        [60, 9],
        [8, 60],
      ].map((shape, i) => tensor(numbers(i, shape), { shape, device: on }));
      return linear(layerNorm(linear(x, first), [60]), second);
    };
    expect((await explain(program(wasm))).kernels.map(({ name }) => name.slice(0, 8))).toEqual(["chain_90"]);
    expect((await explain(program(cpu))).kernels).toHaveLength(3);
    expectNear([await program(wasm).data()], [await program(cpu).data()]);
  });
});

describe("chains", () => {
  it("are what the interpreter makes of them", async () => {
    for (const shape of [
      { ...ragged, batch: [2, 2], l: 21, s: 13, e: 3, ev: 2 },
      { ...ragged, batch: [4], l: 37, s: 9, e: 1, causal: true },
      { ...ragged, batch: [], l: 211, s: 70 },
    ]) {
      const wasm = await device("wasm", { threads: 1 });
      const found = await chainsOf(wasm, () => attended(wasm, shape));
      expect(found.map(({ parts }) => parts.length).sort()).toEqual([3, 6]);
      for (const kernel of found) await expectAgreement(wasm.backend, kernel, undefined, { relative: 1e-4, absolute: 1e-4 });
    }
  }, 30_000);

  it("are checked: a sum along the rows is stored as it is, once", async () => {
    const wasm = await device("wasm", { threads: 1 });
    const kernel = (await chainsOf(wasm, () => attended(wasm, ragged))).find(({ parts }) => parts.some(({ sums }) => sums)) as ChainKernel;
    verifyKernel(kernel);
    const changed = (change: (part: ChainKernel["parts"][number]) => ChainKernel["parts"][number]): ChainKernel => ({
      ...kernel,
      parts: kernel.parts.map((part) => (part.sums ? change(part) : part)),
    });
    const twice = changed((part) => ({ ...part, stores: [part.stores[0], part.stores[0]] }));
    expect(() => verifyKernel(twice)).toThrow(/stores more than its sum|stored twice/);
    const forgotten = changed((part) => ({ ...part, sums: false }));
    expect(() => verifyKernel(forgotten)).toThrow("is stored twice");
  });
});
