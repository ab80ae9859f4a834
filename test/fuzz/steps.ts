/** The kinds of step that random programs were first made of: elementwise, views, reductions, contractions, indices. */
import {
  abs,
  add,
  amax,
  amin,
  cat,
  clamp,
  conv2d,
  cumsum,
  div,
  erf,
  exp,
  expand,
  flip,
  gather,
  gelu,
  indexSelect,
  matmul,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  pad,
  permute,
  reshape,
  sigmoid,
  slice,
  softmax,
  sub,
  sum,
  type Tensor,
  tanh,
  tensor,
  unsqueeze,
  where,
} from "../../index.js";

/** Values away from kinks, the same on every device. */
export function leafData(shape: readonly number[], seed: number): Float32Array {
  const count = shape.reduce((n, s) => n * s, 1);
  return Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin((i + 1) * 1.37 + seed * 2.11) * 1.5));
}

export type Step = (x: Tensor, y: Tensor, p: number, q: number) => Tensor | null;

export const dimOf = (x: Tensor, p: number): number => (x.ndim === 0 ? 0 : p % x.ndim);
export const like = (x: Tensor, y: Tensor): Tensor | null => {
  const lead = x.ndim - y.ndim;
  if (lead < 0 || !y.shape.every((size, i) => size === 1 || size === x.shape[lead + i])) return null;
  return y;
};
export const binary =
  (f: (a: Tensor, b: Tensor) => Tensor): Step =>
  (x, y) => {
    const other = like(x, y);
    return other === null ? null : f(x, other);
  };
/** No value of the other operand again: two ways to round the same number would choose different sides of the kink. */
const apart = (b: Tensor): Tensor => add(b, 0.0371);
export const unary =
  (f: (a: Tensor) => Tensor): Step =>
  (x) =>
    f(x);

export const indices = (count: number, size: number, p: number): number[] => Array.from({ length: count }, (_, i) => (i * 7 + p) % size);

/** Every kind the scheduler knows. A step that does not fit its operands gives null and is left out. */
export const steps: readonly (readonly [string, Step])[] = [
  ["add", binary(add)],
  ["sub", binary(sub)],
  ["mul", binary((a, b) => mul(a, b))],
  ["div", binary((a, b) => div(a, add(abs(b), 1)))],
  ["maximum", binary((a, b) => maximum(a, apart(b)))],
  ["minimum", binary((a, b) => minimum(a, apart(b)))],
  ["neg", unary(neg)],
  ["tanh", unary(tanh)],
  ["exp", unary((x) => exp(clamp(x, { max: 1 })))],
  ["erf", unary(erf)],
  ["gelu", unary((x) => gelu(x))],
  ["sigmoid", unary(sigmoid)],
  ["scale", (x, _, p) => add(mul(x, 0.25 + (p % 5) / 4), (p % 3) - 1)],
  ["where", (x, y, p) => (like(x, y) === null ? null : where(tensor(p % 2 === 0, { device: x.device }), x, expand(y, x.shape)))],
  [
    "permute",
    (x, _, p) =>
      x.ndim < 2
        ? null
        : permute(
            x,
            [...x.shape.keys()].map((d) => (d + 1 + (p % (x.ndim - 1))) % x.ndim),
          ),
  ],
  ["flip", (x, _, p) => (x.ndim === 0 ? null : flip(x, [dimOf(x, p)]))],
  ["flatten", (x) => reshape(x, [-1])],
  [
    "merge",
    (x, _, p) => {
      if (x.ndim < 2) return null;
      const d = p % (x.ndim - 1);
      return reshape(x, [...x.shape.slice(0, d), x.shape[d] * x.shape[d + 1], ...x.shape.slice(d + 2)]);
    },
  ],
  [
    "split",
    (x, _, p) => {
      const d = dimOf(x, p);
      if (x.ndim === 0 || x.ndim > 4 || x.shape[d] % 2 !== 0) return null;
      return reshape(x, [...x.shape.slice(0, d), 2, x.shape[d] / 2, ...x.shape.slice(d + 1)]);
    },
  ],
  ["unsqueeze", (x, _, p) => (x.ndim > 4 ? null : unsqueeze(x, p % (x.ndim + 1)))],
  [
    "expand",
    (x, _, p) => {
      const d = x.shape.indexOf(1);
      return d < 0
        ? null
        : expand(
            x,
            x.shape.map((size, i) => (i === d ? 2 + (p % 3) : size)),
          );
    },
  ],
  [
    "slice",
    (x, _, p, q) => (x.ndim === 0 || x.shape[dimOf(x, p)] < 2 ? null : slice(x, { dim: dimOf(x, p), start: q % 2, step: 1 + (q % 3) })),
  ],
  [
    "pad",
    (x, _, p, q) => (x.ndim === 0 ? null : pad(x, [(p % 4) - 1 < -x.shape[x.ndim - 1] + 1 ? 0 : (p % 4) - 1, q % 3], { value: q % 2 })),
  ],
  ["cat", (x, _, p) => (x.ndim === 0 ? null : cat([x, tanh(x), x], { dim: dimOf(x, p) }))],
  ["sum", (x, _, p, q) => sum(x, { dim: x.ndim === 0 ? null : dimOf(x, p), keepdim: q % 2 === 0 })],
  ["mean", (x, _, p, q) => mean(x, { dim: x.ndim === 0 ? null : dimOf(x, p), keepdim: q % 2 === 0 })],
  ["sumAll", unary((x) => sum(x))],
  ["amax", (x, _, p, q) => amax(x, { dim: x.ndim === 0 ? null : dimOf(x, p), keepdim: q % 2 === 0 })],
  ["amin", (x, _, p, q) => amin(x, { dim: x.ndim === 0 ? null : dimOf(x, p), keepdim: q % 2 === 0 })],
  ["softmax", (x, _, p) => (x.ndim === 0 ? null : softmax(x, { dim: dimOf(x, p) }))],
  [
    "center",
    (x, _, p) => {
      if (x.ndim === 0) return null;
      const centered = sub(x, mean(x, { dim: dimOf(x, p), keepdim: true }));
      return div(centered, add(mean(mul(centered, centered), { dim: dimOf(x, p), keepdim: true }), 0.5));
    },
  ],
  ["cumsum", (x, _, p) => (x.ndim === 0 ? null : cumsum(x, dimOf(x, p)))],
  ["matmul", (x) => (x.ndim < 2 ? null : matmul(x, mul(permute(x, [...x.shape.keys()].slice(0, -2).concat(x.ndim - 1, x.ndim - 2)), 0.2)))],
  [
    "conv2d",
    (x, _, p, q) => {
      if (x.ndim !== 4) return null;
      const depthwise = p % 2 === 0;
      const shape = [depthwise ? x.shape[1] : 3, depthwise ? 1 : x.shape[1], 1 + (q % 3), 1 + (p % 3)];
      const weight = tensor(leafData(shape, 9), { shape, device: x.device });
      return mul(conv2d(x, weight, { padding: [1, 1], stride: [1 + (q % 2), 1], groups: depthwise ? x.shape[1] : 1 }), 0.2);
    },
  ],
  [
    "indexSelect",
    (x, _, p, q) =>
      x.ndim === 0
        ? null
        : indexSelect(x, dimOf(x, p), tensor(indices(1 + (q % 4), x.shape[dimOf(x, p)], q), { dtype: "int32", device: x.device })),
  ],
  [
    "gather",
    (x, _, p, q) => {
      if (x.ndim === 0) return null;
      const d = dimOf(x, p);
      const index = tensor(Int32Array.from(indices(x.numel, x.shape[d], q)), { shape: x.shape, device: x.device });
      return gather(x, d, index);
    },
  ],
];
