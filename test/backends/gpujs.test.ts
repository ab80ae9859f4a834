import fc from "fast-check";
import { GPU } from "gpu.js";
import * as vitest from "vitest";
import { runBackendTests, type Skip } from "../../backends/conformance.js";
import { createGpujsBackend } from "../../backends/gpujs/index.js";
import { invert } from "../../backends/gpujs/invert.js";
import { modes as allModes } from "../../backends/gpujs/modes.js";
import { openFolder } from "../../conformance/disk.js";
import { tasksOf } from "../../conformance/tasks.js";
import type { Store } from "../../engine/kernel/ir.js";
import { ExprPool } from "../../engine/kernel/simplify.js";
import * as crabro from "../../index.js";
import { defaultDevice, device, manualSeed, rand, randint, setDefaultDevice, tensor } from "../../index.js";

const { describe, expect, it } = vitest;

const skip: readonly Skip[] = [
  { test: "float64", reason: "gpu.js computes in float32" },
  { test: "template ", reason: "a gpu.js kernel returns one value a thread; the scheduler takes the slow definitions of line transforms" },
  { test: "scalar threefry", reason: "its 32-bit words are beyond the integers that gpu.js holds; random tensors are filled on the host" },
  { test: "int32 wraps", reason: "so would only integers that gpu.js does not hold" },
  { test: "int32 of 0", reason: "the identities of max and min over int32 are beyond the integers that gpu.js holds" },
];

const modes = ["cpu", "webasm", "webgpu"] as const;

for (const mode of modes) {
  runBackendTests({ name: `gpujs:${mode}`, create: () => createGpujsBackend(mode), skip }, vitest);
}

for (const mode of modes) {
  describe(`gpujs:${mode}`, () => {
    it("says what computes", async () => {
      const d = await device(`gpujs:${mode}`);
      expect(d.describe()).toMatch(new RegExp(`^gpujs:${mode}: kernels compiled by gpu.js, as \\w+`));
      await d.close();
    });

    it("draws the numbers that every device draws", async () => {
      const d = await device(`gpujs:${mode}`);
      const draw = async (on: crabro.Device) => {
        manualSeed(5);
        const [u, n] = [rand([40], { device: on }), randint(-3, 1000, [40], { device: on })];
        return [[...(await u.data())], [...(await n.data())]];
      };
      expect(await draw(d)).toEqual(await draw(await device("cpu")));
      await d.close();
    });

    it("refuses integers that float32 does not hold, at upload and when they are read", async () => {
      const d = await device(`gpujs:${mode}`);
      const big = tensor([2 ** 24], { dtype: "int32", device: d });
      await expect(big.add(1).data()).rejects.toThrow(/16777216 is beyond ±16777215.*float32/);
      const most = tensor([2 ** 24 - 1], { dtype: "int32", device: d });
      expect([...(await most.sub(1).data())]).toEqual([2 ** 24 - 2]);
      await expect(most.add(2).data()).rejects.toThrow(/int32 result is beyond ±16777215/);
      await d.close();
    });

    it("agrees with PyTorch on a case of each operation", async () => {
      const d = await device(`gpujs:${mode}`);
      const before = defaultDevice();
      setDefaultDevice(d);
      const tasks = tasksOf(openFolder(new URL("../fixtures/ops", import.meta.url).pathname)).filter((task) => task.family !== "errors");
      const first = [...new Map([...tasks].reverse().map((task) => [task.op, task])).values()].reverse();
      for (const task of first) expect(await task.run(crabro, d), task.id).toMatchObject({ status: "passed", message: "" });
      setDefaultDevice(before);
      await d.close();
    });
  });
}

describe("device names", () => {
  it("open gpu.js without a mode, and refuse one that it does not have", async () => {
    const d = await device("gpujs");
    expect(d.describe()).toMatch(/^gpujs:webasm/);
    await d.close();
    await expect(createGpujsBackend("webgl2")).rejects.toThrow(
      /^gpujs:webgl2: gpu.js cannot run in this mode here: .*; it needs a browser with WebGL 2$/,
    );
    await expect(createGpujsBackend("cuda")).rejects.toThrow(/gpu.js has no such mode; known are cpu, webasm/);
  });
});

describe("threads in rows", () => {
  it("share on webasm what does not depend on the place in the row, whatever its length", async () => {
    const [cpu, webasm] = [await device("gpujs:cpu"), await device("gpujs:webasm")];
    const source = async (on: crabro.Device) => {
      const [x, w] = [tensor(new Float32Array(3 * 49), { shape: [1, 3, 7, 7], device: on }), tensor([1, 2, 3, 4, 5, 6], { device: on })];
      await crabro.realize(x, w);
      const { kernels } = await crabro.explain(crabro.conv2d(x, w.reshape([2, 3, 1, 1])));
      return kernels[0].source();
    };
    expect(await source(webasm)).toMatch(/const row = this\.thread\.y;\s+const \w+ = row;\s+const point = this\.thread\.x;/);
    expect(await source(cpu)).not.toMatch(/thread\.y/);
    for (const [rows, width] of [
      [3, 4],
      [5, 33],
      [2, 49],
      [4, 64],
      [65, 7],
    ]) {
      const on = (d: crabro.Device) => {
        const a = tensor(
          Float32Array.from({ length: rows * width }, (_, i) => i),
          { shape: [rows, width], device: d },
        );
        return a.flip([1]).add(
          tensor(
            Float32Array.from({ length: rows }, (_, i) => 1000 * i),
            { device: d },
          ).unsqueeze(1),
        );
      };
      expect([...(await on(webasm).data())]).toEqual([...(await on(cpu).data())]);
    }
    await cpu.close();
    await webasm.close();
  });
});

describe("headlessgl", () => {
  it("computes where the package gl works, and says that it is needed where it does not", async () => {
    if (!GPU.isHeadlessGLSupported) {
      const missing =
        /^gpujs:headlessgl: gpu.js cannot run in this mode here: .*; it needs the package gl with its native part \(npm install gl\)$/;
      await expect(device("gpujs:headlessgl")).rejects.toThrow(missing);
      return;
    }
    const d = await device("gpujs:headlessgl");
    expect(await tensor([1, 2, 3], { device: d }).mul(2).sum().item()).toBe(12);
    await d.close();
  });

  it("prints the very kernels of webgl2, with the same settings", () => {
    const [webgl2, headless] = ["webgl2", "headlessgl"].map((name) => allModes.find((mode) => mode.name === name));
    expect(headless?.language).toBe(webgl2?.language);
    expect(headless?.settings).toBe(webgl2?.settings);
    expect(headless?.isResident).toBe(true);
  });
});

describe("the inverse of a store", () => {
  const pool = new ExprPool();

  it("finds the point of every element, and none for the others", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ size: fc.integer({ min: 1, max: 4 }), gap: fc.integer({ min: 0, max: 2 }), reversed: fc.boolean() }), {
          maxLength: 4,
        }),
        fc.integer({ min: 0, max: 3 }),
        (digits, base) => {
          let stride = 1;
          const axes = digits.map(({ size }, i) => pool.newAxis(`a${i}`, size));
          let index = pool.int(base);
          const strides = digits.map(({ size, gap, reversed }, i) => {
            const own = reversed ? -stride : stride;
            index = pool.add(index, pool.mul(pool.axis(axes[i]), pool.int(own)));
            if (reversed) index = pool.add(index, pool.int(stride * (size - 1)));
            stride = stride * size + gap;
            return own;
          });
          const points = digits.reduce<number[][]>(
            (all, { size }) => all.flatMap((p) => Array.from({ length: size }, (_, v) => [...p, v])),
            [[]],
          );
          const places = new Map(
            points.map((p) => [
              p.reduce((sum, v, i) => sum + strides[i] * v + (strides[i] < 0 ? -strides[i] * (digits[i].size - 1) : 0), base),
              p,
            ]),
          );
          const store: Store = { buffer: 0, axes: [], index, value: pool.const(0, "float32"), guard: null };
          const inverse = invert(axes, store, base + stride);
          if (typeof inverse === "string") throw new Error(inverse);
          for (let at = 0; at < base + stride; at++) {
            let rest = at - inverse.base;
            const found = new Map(axes.map((axis) => [axis, 0]));
            let inside = rest >= 0;
            for (const digit of inverse.digits) {
              const value = Math.floor(rest / digit.stride);
              inside &&= value < digit.axis.size;
              found.set(digit.axis, digit.reversed ? digit.axis.size - 1 - value : value);
              rest -= value * digit.stride;
            }
            const point = inside && rest === 0 ? axes.map((axis) => found.get(axis)) : undefined;
            expect(point).toEqual(places.get(at));
          }
        },
      ),
    );
  });

  it("says why there is none", () => {
    const [i, j] = [pool.newAxis("i", 4), pool.newAxis("j", 4)];
    const store = (index: Store["index"]): Store => ({ buffer: 0, axes: [], index, value: pool.const(0, "float32"), guard: null });
    expect(invert([i, j], store(pool.axis(i)), 16)).toMatch(/several of its points write one element/);
    expect(invert([i, j], store(pool.add(pool.axis(i), pool.mul(pool.axis(j), pool.int(2)))), 16)).toMatch(/overlap/);
    expect(invert([i], store(pool.mod(pool.mul(pool.axis(i), pool.int(3)), pool.int(4))), 4)).toMatch(/computed places/);
  });
});
