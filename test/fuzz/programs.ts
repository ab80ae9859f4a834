/** Random tensor programs: plain data that builds the same graph on any device, so that devices can be compared and failures shrink. */
import fc from "fast-check";
import {
  abs,
  add,
  amax,
  amin,
  cat,
  clamp,
  conv2d,
  cumsum,
  type Device,
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
  type Nested,
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

export interface Instruction {
  readonly op: number;
  readonly a: number;
  readonly b: number;
  readonly p: number;
  readonly q: number;
}
export interface Program {
  readonly leaves: readonly (readonly number[])[];
  readonly instructions: readonly Instruction[];
}

const MAX_ELEMENTS = 400;

const instruction = fc.record({ op: fc.nat(1000), a: fc.nat(50), b: fc.nat(50), p: fc.nat(60), q: fc.nat(60) });
export const programs: fc.Arbitrary<Program> = fc.record({
  leaves: fc.array(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 0, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  instructions: fc.array(instruction, { minLength: 1, maxLength: 24 }),
});

/** Values away from kinks, the same on every device. */
function leafData(shape: readonly number[], seed: number): Float32Array {
  const count = shape.reduce((n, s) => n * s, 1);
  return Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin((i + 1) * 1.37 + seed * 2.11) * 1.5));
}

type Step = (x: Tensor, y: Tensor, p: number, q: number) => Tensor | null;

const dimOf = (x: Tensor, p: number): number => (x.ndim === 0 ? 0 : p % x.ndim);
const like = (x: Tensor, y: Tensor): Tensor | null => {
  const lead = x.ndim - y.ndim;
  if (lead < 0 || !y.shape.every((size, i) => size === 1 || size === x.shape[lead + i])) return null;
  return y;
};
const binary =
  (f: (a: Tensor, b: Tensor) => Tensor): Step =>
  (x, y) => {
    const other = like(x, y);
    return other === null ? null : f(x, other);
  };
const unary =
  (f: (a: Tensor) => Tensor): Step =>
  (x) =>
    f(x);

const indices = (count: number, size: number, p: number): number[] => Array.from({ length: count }, (_, i) => (i * 7 + p) % size);

/** Every kind the scheduler knows. A step that does not fit its operands gives null and is left out. */
export const steps: readonly (readonly [string, Step])[] = [
  ["add", binary(add)],
  ["sub", binary(sub)],
  ["mul", binary((a, b) => mul(a, b))],
  ["div", binary((a, b) => div(a, add(abs(b), 1)))],
  ["maximum", binary(maximum)],
  ["minimum", binary(minimum)],
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

/** The tensors a program makes, in order, on a device. */
export function build(program: Program, device: Device, requiresGrad = false): Tensor[] {
  const made = program.leaves.map((shape, i) => tensor(leafData(shape, i), { shape, device, requiresGrad }));
  for (const { op, a, b, p, q } of program.instructions) {
    const x = made[made.length - 1 - (a % made.length)];
    const y = made[made.length - 1 - (b % made.length)];
    const result = steps[op % steps.length][1](x, y, p, q);
    if (result !== null && result.numel > 0 && result.numel <= MAX_ELEMENTS && result.ndim <= 5) made.push(result);
  }
  return made;
}

/** What is read: the last tensor and one from the middle, so that kernels have several outputs. */
export async function run(program: Program, device: Device): Promise<{ shape: readonly number[]; data: ArrayLike<number> }[]> {
  const made = build(program, device);
  const wanted = [...new Set([made[made.length - 1], made[made.length >> 1]])];
  const data = await Promise.all(wanted.map((t) => t.data()));
  return wanted.map((t, i) => ({ shape: t.shape, data: data[i] }));
}

/** Gradients of a weighted sum of the last tensor, with respect to every leaf that it depends on. */
export async function runGradients(program: Program, device: Device): Promise<{ shape: readonly number[]; data: ArrayLike<number> }[]> {
  const made = build(program, device, true);
  const last = made[made.length - 1];
  if (!last.requiresGrad) return [];
  const weights = tensor(leafData(last.shape, 5), { shape: last.shape, device });
  sum(mul(last, weights)).backward();
  const gradients = made.slice(0, program.leaves.length).flatMap((leaf) => (leaf.grad === null ? [] : [leaf.grad]));
  const data = await Promise.all(gradients.map((g) => g.data()));
  return gradients.map((g, i) => ({ shape: g.shape, data: data[i] }));
}

/** How a program reads, for reports. */
export const show = (program: Program): string =>
  `${program.leaves.map((s) => `[${s}]`).join(" ")} ${program.instructions.map((i) => `${steps[i.op % steps.length][0]}(${i.a},${i.b};${i.p},${i.q})`).join(" ")}`;

export type { Nested };
