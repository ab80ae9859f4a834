/** Sliding windows along one dim, and their adjoint: each other's gradient. */
import { numbers } from "../dtype.js";
import { OpError } from "../errors.js";
import { showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";
import { defineOp, type OpRecord } from "./record.js";

export interface WindowAttrs extends Record<string, unknown> {
  readonly dim: number;
  /** Elements in a window, and their distance. */
  readonly size: number;
  readonly dilation: number;
  /** Distance between the starts of windows. */
  readonly step: number;
}

export const windowOp: OpRecord<WindowAttrs> = defineOp<WindowAttrs>({
  name: "window",
  doc: "Overlapping windows along a dim: [.., n, ..] → [.., windows, .., size], out[w, k] = x[w · step + k · dilation].",
  reference: "torch.Tensor.unfold",
  infer: ([x], { dim, size, dilation, step }) => {
    const span = (size - 1) * dilation + 1;
    if (size < 0 || span > x.shape[dim])
      throw new OpError("unfold", `a window of ${size} elements spans ${span}; dim ${dim} of ${showShape(x.shape)} is shorter`);
    const shape = x.shape.map((n, d) => (d === dim ? Math.floor((n - Math.max(span, 0)) / step) + 1 : n));
    return { shape: [...shape, size], dtype: x.dtype };
  },
  lower: {
    kind: "view",
    index: ({ pool, attrs, inputs: [x] }, out) => ({
      index: x.shape.map((_, d) => {
        if (d !== attrs.dim) return out[d];
        return pool.add(pool.mul(out[d], pool.int(attrs.step)), pool.mul(out[out.length - 1], pool.int(attrs.dilation)));
      }),
    }),
  },
  grad: ({ inputs: [x], grad, attrs }) => [windowSum(grad, x.shape[attrs.dim], attrs)],
  samples: [
    { shapes: [[2, 7]], attrs: { dim: 1, size: 3, dilation: 1, step: 2 } },
    { shapes: [[6, 2]], attrs: { dim: 0, size: 2, dilation: 2, step: 1 } },
  ],
});

export const windowSumOp: OpRecord<WindowAttrs & { readonly length: number }> = defineOp<WindowAttrs & { readonly length: number }>({
  name: "windowSum",
  doc: "Puts windows back and adds where they overlap: [.., windows, .., size] → [.., length, ..]; the adjoint of window.",
  reference: "torch.nn.functional.fold",
  infer: ([x], { dim, length }) => {
    if (!numbers.includes(x.dtype)) throw new OpError("fold", `is not defined for ${x.dtype}; it takes ${numbers.join(", ")}`);
    return { shape: x.shape.slice(0, -1).map((n, d) => (d === dim ? length : n)), dtype: x.dtype };
  },
  lower: {
    kind: "reduce",
    combine: "add",
    structure: null,
    axes: ({ attrs }) => [attrs.size],
    body: ({ pool, attrs: { dim, step, dilation }, inputs: [x], input }, out, [k]) => {
      const start = pool.sub(out[dim], pool.mul(k, pool.int(dilation)));
      const window = pool.idiv(start, pool.int(step));
      const starts = pool.eq(pool.mod(start, pool.int(step)), pool.int(0));
      const guard = pool.and(starts, pool.and(pool.ge(start, pool.int(0)), pool.lt(window, pool.int(x.shape[dim]))));
      return input(0, [...out.map((e, d) => (d === dim ? window : e)), k], guard);
    },
    repeats: () => false,
  },
  grad: ({ grad, attrs: { dim, size, dilation, step } }) => [apply(windowOp, [grad], { dim, size, dilation, step })],
  samples: [
    { shapes: [[2, 3, 3]], attrs: { dim: 1, size: 3, dilation: 1, step: 2, length: 8 } },
    { shapes: [[4, 2, 2]], attrs: { dim: 0, size: 2, dilation: 2, step: 1, length: 6 } },
  ],
});

export const windowSum = (x: Tensor, length: number, { dim, size, dilation, step }: WindowAttrs): Tensor =>
  apply(windowSumOp, [x], { dim, size, dilation, step, length });
