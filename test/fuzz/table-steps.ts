/**
 * Kinds of step for the rest of the table. What jumps (comparisons, rounding, integers, indices) is applied to exact values, so that another
 * rounding elsewhere in the program cannot make it jump elsewhere.
 */
import type { OpRecord, Sample, Spec } from "../../engine/ops/record.js";
import { apply } from "../../engine/tensor.js";
import * as c from "../../index.js";
import { binary, dimOf, leafData, like, type Step, unary } from "./steps.js";

type Tensor = c.Tensor;
const { abs, add, clamp, mul, sub, tanh, where } = c;

/** Values of the shape of `x` that are the same however the program is computed: multiples of 1/8. */
const exact = (x: Tensor, seed: number): Tensor =>
  c.tensor(
    leafData(x.shape, seed).map((value) => Math.round(value * 8) / 8),
    { shape: x.shape, device: x.device },
  );
/** Small whole numbers of the shape of `x`, some negative. */
const whole = (x: Tensor, seed: number): Tensor =>
  c.tensor(
    Int32Array.from(leafData(x.shape, seed), (value) => Math.round(value * 5)),
    { shape: x.shape, device: x.device },
  );
/** Where the indices say, along the last dim. */
const placed = (x: Tensor, p: number): Tensor =>
  c.tensor(
    Int32Array.from({ length: x.numel }, (_, i) => (i * 3 + p) % x.shape[x.ndim - 1]),
    { shape: x.shape, device: x.device },
  );

const chosenBy =
  (test: (a: Tensor, b: Tensor) => Tensor): Step =>
  (x, _, p, q) =>
    where(test(whole(x, p), whole(x, q + 1)), x, mul(x, -0.5));
/** x scaled by whole numbers that are computed of whole numbers. */
const scaledBy =
  (f: (a: Tensor, b: Tensor) => Tensor): Step =>
  (x, _, p, q) =>
    mul(x, mul(c.to(f(whole(x, p), whole(x, q + 1)), "float32"), 0.1));
const jumping =
  (f: (a: Tensor) => Tensor): Step =>
  (x, _, p) =>
    add(mul(x, 0.5), mul(f(mul(exact(x, p), 3)), 0.3));
const along =
  (f: (x: Tensor, dim: number, p: number, q: number) => Tensor): Step =>
  (x, _, p, q) =>
    x.ndim === 0 ? null : f(x, dimOf(x, p), p, q);
const image =
  (f: (x: Tensor, p: number, q: number) => Tensor): Step =>
  (x, _, p, q) =>
    x.ndim !== 4 ? null : f(x, p, q);
/** Bounded, for what grows fast. */
const small = (x: Tensor): Tensor => mul(tanh(x), 0.8);
const positive = (x: Tensor): Tensor => add(abs(x), 0.5);
const rectangles = (x: Tensor): Tensor => {
  const corner = c.tensor([0.2, 0.3, 1.1, 0.4], { shape: [2, 2], device: x.device });
  return c.cat([corner, add(corner, c.tensor([2.1, 1.7, 1.9, 2.3], { shape: [2, 2], device: x.device }))], { dim: 1 });
};

export const tableSteps: readonly (readonly [string, Step])[] = [
  ["sqrt", unary((x) => c.sqrt(positive(x)))],
  ["log", unary((x) => c.log(positive(x)))],
  ["log1p", unary((x) => c.log1p(abs(x)))],
  ["expm1", unary((x) => c.expm1(clamp(x, { max: 1 })))],
  ["sin", unary((x) => c.sin(small(x)))],
  ["cos", unary((x) => c.cos(small(x)))],
  ["tan", unary((x) => c.tan(small(x)))],
  ["asin", unary((x) => c.asin(small(x)))],
  ["acos", unary((x) => c.acos(small(x)))],
  ["atan", unary(c.atan)],
  ["sinh", unary((x) => c.sinh(small(x)))],
  ["cosh", unary((x) => c.cosh(small(x)))],
  ["pow", binary((a, b) => c.pow(positive(a), small(b)))],
  ["fmod", jumping((x) => c.fmod(x, 0.75))],
  ["floor", jumping(c.floor)],
  ["ceil", jumping(c.ceil)],
  ["round", jumping((x) => c.round(x))],
  ["trunc", jumping(c.trunc)],
  ["sign", jumping(c.sign)],
  ["isnan", (x, _, p) => where(c.isnan(c.div(exact(x, p), c.sub(exact(x, p), 0.25))), 0, x)],
  ["eq", chosenBy(c.eq)],
  ["ne", chosenBy(c.ne)],
  ["lt", chosenBy(c.lt)],
  ["le", chosenBy(c.le)],
  ["gt", chosenBy(c.gt)],
  ["ge", chosenBy(c.ge)],
  ["logicalAnd", chosenBy((a, b) => c.logicalAnd(c.gt(a, 0), c.gt(b, 0)))],
  ["logicalOr", chosenBy((a, b) => c.logicalOr(c.gt(a, 0), c.logicalNot(c.gt(b, 0))))],
  ["logicalXor", chosenBy((a, b) => c.logicalXor(c.gt(a, 0), c.gt(b, 0)))],
  ["any", along((x, dim, p) => where(c.expand(c.any(c.gt(whole(x, p), 3), { dim, keepdim: true }), x.shape), x, mul(x, 2)))],
  ["bitwiseAnd", scaledBy(c.bitwiseAnd)],
  ["bitwiseOr", scaledBy(c.bitwiseOr)],
  ["bitwiseXor", scaledBy(c.bitwiseXor)],
  ["shiftLeft", scaledBy((a, b) => c.shiftLeft(a, c.remainder(b, 4)))],
  ["shiftRight", scaledBy((a, b) => c.shiftRight(a, c.remainder(b, 4)))],
  ["floorDivide", scaledBy(c.floorDivide)],
  ["remainder", scaledBy(c.remainder)],
  ["argmax", along((x, dim, p) => mul(x, c.to(c.argmax(whole(x, p), { dim, keepdim: true }), "float32")))],
  ["prod", along((x, dim, _, q) => c.prod(mul(tanh(x), 1.2), { dim, keepdim: q % 2 === 0 }))],
  ["std", along((x, dim, p) => c.std(add(x, exact(x, p)), { dim, unbiased: false, keepdim: true }))],
  ["unfoldDim", along((x, dim, p, q) => c.unfoldDim(x, dim, 1 + (p % x.shape[dim]), 1 + (q % 2)))],
  ["roll", along((x, dim, p) => c.roll(x, p, { dims: dim }))],
  ["detach", unary((x) => add(x, mul(x.detach(), 0.5)))],
  ["clone", unary((x) => mul(c.clone(x), 0.75))],
  [
    "assign",
    (x) => {
      const kept = c.tensor(leafData(x.shape, 4), { shape: x.shape, device: x.device });
      kept.assign(mul(x.detach(), 0.5));
      return add(kept, mul(x, 0.25));
    },
  ],
  ["checkpoint", unary((x) => c.checkpoint((a: Tensor) => tanh(mul(a, tanh(a))), x))],
  [
    "hostCall",
    (x) => {
      const twice = ([a]: readonly c.TypedArray[]): c.TypedArray[] => [Float32Array.from(a, (value) => 2 * value)];
      const [host] = c.hostCall(twice, [x], [{ shape: x.shape, dtype: "float32" }], { name: "twice" });
      return add(mul(host, 0.25), x);
    },
  ],
  ["rand", (x, _, p) => mul(x, c.rand(x.shape, { generator: new c.Generator(p), device: x.device }))],
  ["sort", along((x, dim, p) => c.sort(add(x, exact(x, p)), { dim, descending: p % 2 === 0 }).values)],
  ["topk", along((x, dim, p, q) => c.topk(x, 1 + (q % x.shape[dim]), { dim, largest: p % 2 === 0 }).values)],
  ["scatterAdd", along((x, _, p) => c.scatterAdd(x, -1, placed(x, p), mul(x, 0.5)))],
  ["scatter", along((x, _, p) => c.scatter(x, -1, placed(x, p), mul(x, 0.5)))],
  ["scatterReduce", along((x, _, p, q) => c.scatterReduce(x, -1, placed(x, p), tanh(x), (["amax", "mean", "prod"] as const)[q % 3]))],
  ["indexAdd", along((x, dim) => c.indexAdd(x, dim, c.arange(x.shape[dim], { device: x.device }), mul(x, x)))],
  [
    "inRange",
    along((x, _, p) => {
      // An index that only the device knows, so that the plan checks its range.
      const index = add(placed(x, p), 0);
      return add(c.gather(x, -1, index), mul(c.to(c.oneHot(index, { numClasses: x.shape[x.ndim - 1] }), "float32").sum({ dim: -1 }), 0.1));
    }),
  ],
  [
    "attention",
    (x, _, p) => (x.ndim < 2 ? null : c.scaledDotProductAttention(tanh(x), mul(x, 0.5), sub(x, 0.25), { isCausal: p % 2 === 0 })),
  ],
  ["fft", along((x, _, p) => mul(c.fft(c.complex(x, mul(x, 0.5)), { norm: p % 2 === 0 ? "ortho" : "forward" }), 0.5))],
  ["rfft", along((x, dim) => mul(c.rfft(x, { dim, norm: "ortho" }), 0.5))],
  ["irfft", along((x, _, p) => c.irfft(c.complex(x, tanh(x)), { n: 1 + (p % 7), norm: "ortho" }))],
  ["convTranspose2d", image((x, p, q) => convolved(x, p, q))],
  [
    "conv1d",
    (x, _, p) => (x.ndim !== 3 ? null : c.conv1d(mul(x, 0.3), weights([2, x.shape[1], 2], x), { padding: 1, dilation: 1 + (p % 2) })),
  ],
  ["maxPool2d", image((x, p) => c.maxPool2d(x, [1 + (p % Math.min(2, x.shape[2])), 1], { ceilMode: p % 2 === 0 }))],
  ["avgPool2d", image((x, p, q) => c.avgPool2d(x, [Math.min(2, x.shape[2]), 1], { padding: [p % 2, 0], countIncludePad: q % 2 === 0 }))],
  ["interpolate", image((x, p) => c.interpolate(x, { size: [1 + (p % 5), 3], mode: p % 2 === 0 ? "bilinear" : "bicubic" }))],
  ["layerNorm", along((x) => c.layerNorm(add(x, exact(x, 3)), [x.shape[x.ndim - 1]]))],
  ["roiAlign", image((x) => c.roiAlign(x, [rectangles(x), ...Array.from({ length: x.shape[0] - 1 }, () => rectangles(x))], [2, 2]))],
  ["boxIou", (x, y) => (like(x, y) === null ? null : mul(c.sum(c.boxIou(rectangles(x), rectangles(y))), x))],
];

/** Inputs of a sample: its exact data, or else values in its range. */
function inputsOf(record: OpRecord, { shapes, dtypes, data, attrs, range: [low, high] = [-2, 2] }: Sample, device: c.Device): Tensor[] {
  // Exact values without a dtype are indices, or a condition.
  const specs = (exact: c.DType): Spec[] =>
    shapes.map((shape, i) => ({ shape, dtype: dtypes?.[i] ?? dtypes?.at(-1) ?? (data?.[i] ? exact : "float32") }));
  const fits = (exact: c.DType): boolean => {
    try {
      record.infer(specs(exact), attrs ?? {});
      return true;
    } catch {
      return false;
    }
  };
  const exact = (["int32", "bool", "float32"] as const).find(fits) ?? "float32";
  return specs(exact).map(({ shape, dtype }, i) => {
    const values = data?.[i] ?? Array.from(leafData(shape, i + 3), (value) => low + ((high - low) * (value + 1.5)) / 3);
    return c.tensor(
      values.map((value) => (dtype === "float32" ? value : Math.trunc(value))),
      { shape, dtype, device },
    );
  });
}

/** For every record of the table, whoever added it: the record on one of its own samples, and the program's tensor scaled by what comes out. */
export const recordSteps: readonly (readonly [string, Step])[] = [...c.opTable.values()].flatMap((record): (readonly [string, Step])[] => {
  // No device but cpu has float64.
  const samples = record.samples.filter(
    ({ shapes, dtypes, attrs }) => shapes.every((shape) => !shape.includes(0)) && !JSON.stringify([dtypes, attrs]).includes("float64"),
  );
  if (samples.length === 0) return [];
  const step: Step = (x, _, p) => {
    const sample = samples[p % samples.length];
    const result = apply(record, inputsOf(record, sample, x.device), sample.attrs ?? {});
    return mul(x, add(mul(c.mean(tanh(mul(c.to(result, "float32"), 0.1))), 0.25), 1));
  };
  return [[`record ${record.name}`, step]];
});

const weights = (shape: readonly number[], x: Tensor): Tensor => c.tensor(leafData(shape, 9), { shape, device: x.device });

function convolved(x: Tensor, p: number, q: number): Tensor {
  const kernel = weights([x.shape[1], 2, 1 + (q % 2), 1 + (p % 2)], x);
  return mul(c.convTranspose2d(x, kernel, { stride: [1 + (q % 2), 1], padding: 0 }), 0.2);
}
