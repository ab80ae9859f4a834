import { describe, expect, test } from "vitest";
import { InternalError } from "../../../engine/errors.js";
import type { Expr, Kernel, LoopKernel } from "../../../engine/kernel/ir.js";
import { ExprPool } from "../../../engine/kernel/simplify.js";
import { verifyKernel } from "../../../engine/kernel/verify.js";
import { concat, lines, matmul, paddedConv, read, softmax, stage, store, write } from "./kernels.js";

const refused = (kernel: Kernel, rule: RegExp): void => {
  expect(() => verifyKernel(kernel)).toThrow(InternalError);
  expect(() => verifyKernel(kernel)).toThrow(rule);
  expect(() => verifyKernel(kernel)).toThrow(`kernel ${kernel.name}: `);
};

describe("right kernels pass", () => {
  test("small and large", () => {
    for (const kernel of [
      matmul(),
      matmul(512, 300, 200),
      paddedConv(4, 5),
      paddedConv(224, 225),
      softmax(),
      softmax(1000, 1000),
      concat(2, 2, 3),
      concat(3000, 20, 30),
      lines({ name: "rfft", n: 8 }, 3, [8], [5, 2]),
    ]) {
      verifyKernel(kernel);
    }
  });

  test("a gather whose index is guarded or clamped", () => {
    const pool = new ExprPool();
    const i = pool.newAxis("i", 10_000);
    const index = pool.load(0, pool.axis(i), "int32");
    const inside = pool.and(pool.ge(index, pool.int(0)), pool.lt(index, pool.int(7)));
    const clamped = pool.max(pool.min(index, pool.int(6)), pool.int(0));
    const loads = [pool.load(1, index, "float32", inside), pool.load(1, clamped, "float32")];
    const gather = (value: Expr): Kernel => ({
      kind: "loops",
      name: "gather",
      buffers: [read(10_000, "int32"), read(7), write(10_000)],
      axes: [i],
      stages: [],
      stores: [store(2, pool.axis(i), value)],
    });
    for (const load of loads) verifyKernel(gather(load));
    refused(gather(pool.load(1, index, "float32")), /load from buffer 1/);
  });
});

describe("broken kernels are refused", () => {
  const good = matmul();
  const [loop] = good.stages;
  const [out] = good.stores;
  const pool = new ExprPool();
  const broken = (change: Partial<LoopKernel>): LoopKernel => ({ ...good, ...change });

  test("dtypes", () => {
    const mixed = pool.node("add", [pool.load(0, pool.int(0), "float32"), pool.int(1)], "float32");
    refused(broken({ stages: [stage([], mixed)] }), /add\(float32, int32\).*differ/);
    const sine = pool.node("sin", [pool.int(1)], "int32");
    refused(broken({ stores: [{ ...out, value: pool.cast(sine, "float32") }] }), /sin is not defined/);
    refused(broken({ stores: [{ ...out, value: pool.int(1) }] }), /int32 stored into buffer 2 of float32/);
    refused(broken({ stages: [stage([], pool.load(0, pool.int(0), "int32"))] }), /int32 loaded from buffer 0/);
    refused(broken({ stages: [stage([], pool.bool(true))] }), /add of bools/);
    const condition = pool.node("where", [pool.int(1), pool.int(2), pool.int(3)], "int32");
    refused(broken({ stores: [{ ...out, index: condition }] }), /condition must be bool/);
    refused(broken({ stages: [stage([], pool.node("add", [pool.int(1), pool.int(2)], "float32"))] }), /the result is int32/);
  });

  test("refs, buffers and access", () => {
    refused(broken({ stages: [stage([], pool.ref(3, [], "float32"))] }), /ref 3 is left/);
    refused(broken({ stages: [stage([], pool.load(9, pool.int(0), "float32"))] }), /buffer 9, which does not exist/);
    refused(broken({ stages: [stage([], pool.load(2, pool.int(0), "float32"))] }), /write only/);
    refused(broken({ stores: [{ ...out, buffer: 0 }] }), /read only/);
    refused(broken({ stores: [] }), /stores nothing/);
  });

  test("axes outside of their loop", () => {
    const k = loop.axes[0];
    const made = new ExprPool();
    refused(broken({ stages: [{ ...loop, axes: [] }] }), /axis k is used outside/);
    refused(broken({ stores: [{ ...out, index: made.axis(k) }] }), /axis k is used outside/);
    refused(broken({ stages: [{ ...loop, axes: [k, k] }] }), /looped over twice/);
    refused(broken({ stores: [{ ...out, axes: [good.axes[0]] }] }), /looped over twice/);
  });

  test("stages that are not there yet", () => {
    refused(broken({ stages: [stage([], pool.acc(0, "float32"))] }), /stage 0 is used before/);
    refused(broken({ stores: [{ ...out, value: pool.acc(1, "float32") }] }), /stage 1 is used before/);
    refused(broken({ stores: [{ ...out, value: pool.cast(pool.acc(0, "int32"), "float32") }] }), /stage 0 is float32, not int32/);
  });

  test("places out of bounds", () => {
    refused({ ...good, buffers: [read(14), read(20), write(12)] }, /load from buffer 0 .*outside of \[0, 14\)/);
    refused({ ...good, buffers: [read(15), read(20), write(11)] }, /store into buffer 2 .*outside of \[0, 11\)/);
    for (const conv of [paddedConv(4, 5), paddedConv(300, 300)]) {
      const [image, ...others] = conv.buffers;
      refused({ ...conv, buffers: [{ ...image, length: image.length - 1 }, ...others] }, /load from buffer 0 .* if .* reaches/);
    }
  });

  test("elements stored twice", () => {
    const twice = concat(2, 3, 2);
    refused({ ...twice, stores: [twice.stores[0], twice.stores[0]] }, /stored twice/);
    const made = new ExprPool();
    const rows = made.newAxis("row", 400);
    const columns = made.newAxis("column", 300);
    const at = (stride: number): Expr => made.add(made.mul(made.axis(rows), made.int(stride)), made.axis(columns));
    const grid = (index: Expr, more: Partial<LoopKernel["stores"][number]> = {}): Kernel => ({
      kind: "loops",
      name: "grid",
      buffers: [write(200_000)],
      axes: [rows, columns],
      stages: [],
      stores: [store(0, index, made.const(1, "float32"), more)],
    });
    verifyKernel(grid(at(300)));
    verifyKernel(grid(at(310)));
    refused(grid(at(20)), /stored twice/);
    refused(grid(at(0)), /stored twice/);
    verifyKernel(grid(at(0), { guard: made.eq(made.axis(rows), made.int(5)) }));
    const large = concat(3000, 20, 30);
    const [first, second] = large.stores;
    refused({ ...large, stores: [first, { ...second, index: first.index, axes: first.axes, value: first.value }] }, /stored twice/);
  });

  test("templates of another shape", () => {
    refused(lines({ name: "rfft", n: 8 }, 3, [8], [4, 2]), /lineOut is \[4,2\], must be \[5,2\]/);
    refused(lines({ name: "fft", n: 4, sign: 1 }, 1, [4, 2], [4, 2], "int32"), /fft of int32/);
    const scan = lines({ name: "scan", combine: "add", reverse: false, length: 4 }, 2, [4], [4]);
    refused({ ...scan, stores: [{ ...scan.stores[0], axes: scan.lineIn }] }, /stores loop over its lineOut/);
  });
});
