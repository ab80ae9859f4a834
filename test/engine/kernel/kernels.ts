import type { BufferSpec, Expr, LoopKernel, Stage, Store, TemplateKernel } from "../../../engine/kernel/ir.js";
import { ExprPool } from "../../../engine/kernel/simplify.js";

/** Kernels small enough to check by hand, made as the scheduler makes them. */

export const read = (length: number, dtype: BufferSpec["dtype"] = "float32"): BufferSpec => ({ dtype, length, access: "read" });
export const write = (length: number, dtype: BufferSpec["dtype"] = "float32"): BufferSpec => ({ dtype, length, access: "write" });

export const store = (buffer: number, index: Expr, value: Expr, more: Partial<Store> = {}): Store => ({
  buffer,
  axes: [],
  index,
  value,
  guard: null,
  ...more,
});

export const stage = (axes: Stage["axes"], body: Expr, combine: Stage["combine"] = "add"): Stage => ({
  axes,
  combine,
  body,
  structure: null,
});

/** out[m, n] = Σ_k a[m, k] · b[n, k] */
export function matmul(m = 3, n = 4, k = 5, pool = new ExprPool()): LoopKernel {
  const axes = [pool.newAxis("m", m), pool.newAxis("n", n)];
  const inner = pool.newAxis("k", k);
  const at = (axis: Expr, size: number, fast: Expr): Expr => pool.add(pool.mul(axis, pool.int(size)), fast);
  const [row, column] = axes.map((axis) => pool.axis(axis));
  const body = pool.mul(pool.load(0, at(row, k, pool.axis(inner)), "float32"), pool.load(1, at(column, k, pool.axis(inner)), "float32"));
  return {
    kind: "loops",
    name: `matmul_${m}x${n}x${k}`,
    buffers: [read(m * k), read(n * k), write(m * n)],
    axes,
    stages: [{ ...stage([inner], body), structure: "matmul" }],
    stores: [store(2, at(row, n, column), pool.acc(0, "float32"))],
  };
}

/** out[y, x] = Σ image[2y + dy − 1, 2x + dx − 1] · window[dy, dx]: 3×3 over a border of one zero, every second place. */
export function paddedConv(height: number, width: number, pool = new ExprPool()): LoopKernel {
  const out = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const axes = [pool.newAxis("y", out[0]), pool.newAxis("x", out[1])];
  const window = [pool.newAxis("dy", 3), pool.newAxis("dx", 3)];
  const [y, x] = axes.map((axis) => pool.axis(axis));
  const [dy, dx] = window.map((axis) => pool.axis(axis));
  const place = (at: Expr, d: Expr): Expr => pool.sub(pool.add(pool.mul(at, pool.int(2)), d), pool.int(1));
  const inside = (at: Expr, size: number): Expr => pool.and(pool.ge(at, pool.int(0)), pool.lt(at, pool.int(size)));
  const [row, column] = [place(y, dy), place(x, dx)];
  const index = pool.add(pool.mul(row, pool.int(width)), column);
  const image = pool.load(0, index, "float32", pool.and(inside(row, height), inside(column, width)));
  const weight = pool.load(1, pool.add(pool.mul(dy, pool.int(3)), dx), "float32");
  return {
    kind: "loops",
    name: `conv_${height}x${width}`,
    buffers: [read(height * width), read(9), write(out[0] * out[1])],
    axes,
    stages: [stage(window, pool.mul(image, weight))],
    stores: [store(2, pool.add(pool.mul(y, pool.int(out[1])), x), pool.acc(0, "float32"))],
  };
}

/** Rows of softmax: the maximum, the sum of exponentials, and a store over the row. */
export function softmax(rows = 3, columns = 5, pool = new ExprPool()): LoopKernel {
  const row = pool.newAxis("row", rows);
  const [forMax, forSum, forStore] = ["c", "c", "c"].map((name) => pool.newAxis(name, columns));
  const at = (axis: typeof row): Expr => pool.add(pool.mul(pool.axis(row), pool.int(columns)), pool.axis(axis));
  const shifted = (axis: typeof row): Expr => pool.exp(pool.sub(pool.load(0, at(axis), "float32"), pool.acc(0, "float32")));
  return {
    kind: "loops",
    name: `softmax_${rows}x${columns}`,
    buffers: [read(rows * columns), write(rows * columns)],
    axes: [row],
    stages: [
      { ...stage([forMax], pool.load(0, at(forMax), "float32"), "max"), structure: "row" },
      { ...stage([forSum], shifted(forSum)), structure: "row" },
    ],
    stores: [store(1, at(forStore), pool.div(shifted(forStore), pool.acc(1, "float32")), { axes: [forStore] })],
  };
}

/** Rows of two inputs side by side: two stores into sub-ranges. */
export function concat(rows: number, left: number, right: number, pool = new ExprPool()): LoopKernel {
  const row = pool.newAxis("row", rows);
  const side = (buffer: number, size: number, offset: number): Store => {
    const axis = pool.newAxis("c", size);
    const at = (width: number, shift: number): Expr =>
      pool.add(pool.add(pool.mul(pool.axis(row), pool.int(width)), pool.axis(axis)), pool.int(shift));
    return store(2, at(left + right, offset), pool.load(buffer, at(size, 0), "float32"), { axes: [axis] });
  };
  return {
    kind: "loops",
    name: "concat",
    buffers: [read(rows * left), read(rows * right), write(rows * (left + right))],
    axes: [row],
    stages: [],
    stores: [side(0, left, 0), side(1, right, left)],
  };
}

/** A template over rows, its input doubled on the way in and its result halved on the way out. */
export function lines(
  template: TemplateKernel["template"],
  rows: number,
  inSizes: readonly number[],
  outSizes: readonly number[],
  dtype: "float32" | "int32" = "float32",
  pool = new ExprPool(),
): TemplateKernel {
  const row = pool.newAxis("row", rows);
  const lineIn = inSizes.map((size, i) => pool.newAxis(i === 0 ? "j" : "part", size));
  const lineOut = outSizes.map((size, i) => pool.newAxis(i === 0 ? "k" : "part", size));
  const at = (axes: typeof lineIn): Expr =>
    axes.reduce((index, axis) => pool.add(pool.mul(index, pool.int(axis.size)), pool.axis(axis)), pool.axis(row));
  const count = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, rows);
  const [twice, half] = dtype === "int32" ? [pool.int(1), pool.int(1)] : [pool.const(2, dtype), pool.const(0.5, dtype)];
  return {
    kind: "template",
    name: template.name,
    template,
    buffers: [read(count(inSizes), dtype), write(count(outSizes), dtype)],
    axes: [row],
    lineIn,
    input: pool.mul(pool.load(0, at(lineIn), dtype), twice),
    lineOut,
    stores: [store(1, at(lineOut), pool.mul(pool.acc(0, dtype), half), { axes: lineOut })],
  };
}
