/**
 * Public functions composed of several operations, called on inputs of float64 away from kinks and ties, so that their first and second
 * derivatives can be checked; and the functions that need no such check. The tests run it, and the matrix of operators shows it.
 */
import * as functional from "../engine/functional/index.js";
import * as c from "../index.js";

type Fn = (...inputs: c.Tensor[]) => c.Tensor | readonly c.Tensor[];
export type Composition = readonly [fn: Fn, ...inputs: c.Tensor[]];

/** Distinct values in (low, high), none near another. */
function spread(shape: readonly number[], low = -2, high = 2, seed = 1): c.Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const values = Float64Array.from({ length: n }, (_, i) => low + ((high - low) * (((i * 7 + seed * 3) % 31) + 0.37 + i / (3 * n))) / 32.1);
  return c.tensor(values, { shape });
}
const ints = (shape: readonly number[], ...values: number[]): c.Tensor => c.tensor(values, { shape, dtype: "int32" });
const x = spread([3, 4]);
const y = spread([3, 4], -2, 2, 5);
const positive = spread([3, 4], 0.2, 3);
const unit = spread([3, 4], 0.1, 0.9);
const image = spread([2, 2, 4, 5]);
const tall = spread([2, 4, 3]);
const weights = spread([4], 0.5, 1.5);
const classes = ints([3], 2, 0, 3);
const boxesA = c.tensor([0, 0, 3, 2.5, 1, 0.5, 4, 3.1], { shape: [2, 4], dtype: "float64" });
const boxesB = c.tensor([0.4, 0.3, 2.1, 2.9, 2.2, 1.3, 5, 4, 1.4, 0.7, 2, 1.9], { shape: [3, 4], dtype: "float64" });
const rois = c.tensor([0, 0.3, 0.2, 3.1, 3.3, 1, 1.2, 0.4, 4.6, 2.7], { shape: [2, 5], dtype: "float64" });
const grid = spread([2, 2, 3, 2], -0.9, 0.85);
const square = spread([2, 3, 3]);

export const compositions: Readonly<Record<string, Composition>> = {
  addcdiv: [(a, b) => c.addcdiv(a, b, positive), x, y],
  addcmul: [(a, b) => c.addcmul(a, b, positive), x, y],
  atan2: [(a, b) => c.atan2(a, b), x, positive],
  celu: [(a) => c.celu(a, { alpha: 1.3 }), x],
  clamp: [(a, b) => c.clamp(c.mul(a, a), { min: 0.5, max: b }), x, positive],
  cumprod: [(a) => c.cumprod(a, 1), x],
  elu: [(a) => c.elu(a), x],
  erfc: [(a) => c.erfc(a), x],
  exp2: [(a) => c.exp2(a), x],
  frac: [(a) => c.mul(c.frac(a), a), x],
  glu: [(a) => c.glu(a), x],
  hardsigmoid: [(a) => c.mul(c.hardsigmoid(a), a), x],
  hardswish: [(a) => c.hardswish(a), x],
  hardtanh: [(a) => c.mul(c.hardtanh(a), a), x],
  hypot: [(a, b) => c.hypot(a, b), x, positive],
  leakyRelu: [(a) => c.mul(c.leakyRelu(a), a), x],
  lerp: [(a, b) => c.lerp(a, b, unit), x, y],
  log10: [(a) => c.log10(a), positive],
  log2: [(a) => c.log2(a), positive],
  logaddexp: [(a, b) => c.logaddexp(a, b), x, y],
  logit: [(a) => c.logit(a), unit],
  logsigmoid: [(a) => c.logsigmoid(a), x],
  mish: [(a) => c.mish(a), x],
  nanToNum: [(a) => c.mul(c.nanToNum(a), a), x],
  reciprocal: [(a) => c.reciprocal(a), positive],
  relu: [(a) => c.mul(c.relu(a), a), x],
  relu6: [(a) => c.mul(c.relu6(a), a), x],
  rsqrt: [(a) => c.rsqrt(a), positive],
  selu: [(a) => c.selu(a), x],
  silu: [(a) => c.silu(a), x],
  softplus: [(a) => c.softplus(a, { beta: 2 }), x],
  softsign: [(a) => c.softsign(a), x],
  square: [(a) => c.square(a), x],
  xlogy: [(a, b) => c.xlogy(a, b), x, positive],

  logSoftmax: [(a) => c.logSoftmax(a, { dim: 1 }), x],
  logsumexp: [(a) => c.logsumexp(a, [0, 1]), x],
  max: [(a) => c.max(c.mul(a, a), { dim: 1 }).values, x],
  mean: [(a) => c.mean(c.mul(a, a), { dim: 0 }), x],
  min: [(a) => c.min(c.mul(a, a), { dim: 1 }).values, x],
  norm: [(a) => c.norm(a, { p: 3, dim: 1 }), x],
  softmax: [(a) => c.softmax(a, { dim: -1 }), x],
  softmin: [(a) => c.softmin(a, { dim: 0 }), x],
  sort: [(a) => c.sort(c.mul(a, a), { dim: 0 }).values, x],
  std: [(a) => c.std(a, { dim: 1 }), x],
  topk: [(a) => c.topk(c.mul(a, a), 2).values, x],
  var: [(a) => c.var(a, { dim: 1 }), x],
  vectorNorm: [(a) => c.vectorNorm(a, { dim: 0 }), x],

  batchNorm: [(a, w, b) => c.batchNorm(a, null, null, { weight: w, bias: b, training: true }), tall, weights, spread([4])],
  cosineSimilarity: [(a, b) => c.cosineSimilarity(a, b), x, y],
  groupNorm: [(a, w) => c.groupNorm(a, 2, { weight: w }), tall, weights],
  instanceNorm: [(a) => c.instanceNorm(a), tall],
  layerNorm: [(a, w, b) => c.layerNorm(a, [4], { weight: w, bias: b }), x, weights, spread([4])],
  layerNorm2d: [(a, w) => c.layerNorm2d(a, { weight: w }), image, spread([2], 0.5, 1.5)],
  normalize: [(a) => c.normalize(a), x],

  binaryCrossEntropy: [(a) => c.binaryCrossEntropy(a, spread([3, 4], 0.2, 0.8, 4)), unit],
  binaryCrossEntropyWithLogits: [(a) => c.binaryCrossEntropyWithLogits(a, unit), x],
  crossEntropy: [(a) => c.crossEntropy(a, classes, { labelSmoothing: 0.1 }), x],
  huberLoss: [(a, b) => c.huberLoss(a, b), x, y],
  klDiv: [(a, b) => c.klDiv(a, b, { reduction: "sum" }), x, unit],
  l1Loss: [(a, b) => c.l1Loss(c.mul(a, a), b), x, y],
  mseLoss: [(a, b) => c.mseLoss(a, b), x, y],
  nllLoss: [(a) => c.nllLoss(c.mul(a, a), classes), x],
  smoothL1Loss: [(a, b) => c.smoothL1Loss(a, b), x, y],

  addmm: [(a, m, n) => c.addmm(a, m, n, { beta: 0.5, alpha: 2 }), spread([2, 3]), spread([2, 4]), spread([4, 3])],
  baddbmm: [(a, m, n) => c.baddbmm(a, m, n), square, square, spread([2, 3, 3], -1, 1, 8)],
  bmm: [(m, n) => c.bmm(m, n), square, tall.mT.detach()],
  dot: [(a, b) => c.dot(a, b), weights, spread([4])],
  einsum: [(a, b) => c.einsum("bij,bkj->bik", a, b), square, square],
  linear: [(a, w, b) => c.linear(a, w, { bias: b }), x, spread([2, 4]), spread([2])],
  mm: [(a, b) => c.mm(a, b), x, spread([4, 2])],
  mv: [(a, b) => c.mv(a, b), x, weights],
  outer: [(a, b) => c.outer(a, b), weights, spread([3])],
  scaledDotProductAttention: [
    (q, k, v) => c.scaledDotProductAttention(q, k, v, { isCausal: true }),
    square,
    spread([2, 3, 3], -1, 1, 3),
    spread([2, 3, 3], -1, 1, 9),
  ],

  adaptiveAvgPool1d: [(a) => c.adaptiveAvgPool1d(c.mul(a, a), 2), tall],
  adaptiveAvgPool2d: [(a) => c.adaptiveAvgPool2d(c.mul(a, a), [3, 2]), image],
  avgPool1d: [(a) => c.avgPool1d(c.mul(a, a), 2), tall],
  avgPool2d: [(a) => c.avgPool2d(c.mul(a, a), 2, { padding: 1 }), image],
  conv1d: [(a, w) => c.conv1d(a, w, { padding: 1 }), tall, spread([2, 4, 2])],
  conv2d: [(a, w, b) => c.conv2d(a, w, { bias: b, stride: 2, padding: 1 }), image, spread([3, 2, 2, 3]), spread([3])],
  convTranspose1d: [(a, w) => c.convTranspose1d(a, w, { stride: 2 }), tall, spread([4, 2, 2])],
  convTranspose2d: [(a, w) => c.convTranspose2d(a, w, { padding: 1 }), image, spread([2, 2, 3, 2])],
  embedding: [(w) => c.embedding(ints([2, 2], 1, 0, 2, 1), c.mul(w, w)), x],
  gridSample: [(a, g) => c.gridSample(a, g, { paddingMode: "border" }), image, grid],
  interpolate: [(a) => c.interpolate(c.mul(a, a), { size: [3, 7], mode: "bicubic" }), image],
  maxPool1d: [(a) => c.maxPool1d(c.mul(a, a), 2), tall],
  maxPool2d: [(a) => c.maxPool2d(c.mul(a, a), 2), image],
  roiAlign: [(a) => c.roiAlign(c.mul(a, a), rois, [2, 3], { aligned: true }), image],
  roiPool: [(a) => c.roiPool(c.mul(a, a), rois, 2), image],

  boxArea: [(a) => c.boxArea(a), boxesA],
  boxConvert: [(a) => c.mul(c.boxConvert(a, "xyxy", "cxcywh"), a), boxesA],
  boxIou: [(a, b) => c.boxIou(a, b), boxesA, boxesB],
  generalizedBoxIou: [(a, b) => c.generalizedBoxIou(a, b), boxesA, boxesB],

  angle: [(a) => c.angle(a), spread([3, 2], 0.3, 2)],
  mulComplex: [(a, b) => c.mulComplex(a, b), spread([3, 2]), spread([3, 2], -2, 2, 6)],
  polar: [(a, b) => c.polar(a, b), positive, x],
  fft2: [(a) => c.mul(c.fft2(a), a), spread([2, 3, 2])],
  fftn: [(a) => c.mul(c.fftn(a), a), spread([2, 3, 2])],
  ifft2: [(a) => c.mul(c.ifft2(a), a), spread([2, 3, 2])],
  ifftn: [(a) => c.mul(c.ifftn(a), a), spread([2, 3, 2])],
  irfft2: [(a) => c.square(c.irfft2(a)), spread([2, 3, 2])],
  irfftn: [(a) => c.square(c.irfftn(a)), spread([2, 3, 2])],
  rfft2: [(a) => c.square(c.rfft2(a)), x],
  rfftn: [(a) => c.square(c.rfftn(a)), x],
  fft: [(a) => c.mul(c.fft(a), a), spread([3, 2])],
  ifft: [(a) => c.mul(c.ifft(a), a), spread([3, 2])],
  rfft: [(a) => c.square(c.rfft(a)), x],
  irfft: [(a) => c.square(c.irfft(a)), spread([3, 2])],

  getItem: [(a) => c.mul(c.getItem(a, [{ start: 1 }, [3, 0, 3]]), 2).pow(2), x],
  indexAdd: [(a, s) => c.indexAdd(a, 1, ints([2], 2, 2), s).pow(2), x, spread([3, 2])],
  indexSelect: [(a) => c.indexSelect(a, 0, ints([4], 2, 0, 2, 1)).pow(2), x],
  maskedFill: [(a) => c.maskedFill(c.mul(a, a), c.gt(y, 0), 3), x],
  scatter: [(a, s) => c.scatter(a, 1, ints([3, 2], 0, 2, 1, 1, 3, 0), s).pow(2), x, spread([3, 2])],
  scatterAdd: [(a, s) => c.scatterAdd(a, 1, ints([3, 2], 0, 2, 1, 1, 3, 0), s).pow(2), x, spread([3, 2])],
  scatterReduce: [(a, s) => c.scatterReduce(a, 1, ints([3, 2], 0, 2, 1, 1, 3, 0), s, "prod"), x, spread([3, 2])],
  takeAlongDim: [(a) => c.takeAlongDim(a, ints([3, 1], 0, 2, 1), { dim: 1 }).pow(2), x],
  fold: [(a) => c.fold(c.mul(a, a), [3, 3], 2), spread([1, 4, 4])],
  unfold: [(a) => c.unfold(c.mul(a, a), 2), image],
  pad: [(a) => c.pad(c.mul(a, a), [1, 2], { mode: "reflect" }), x],
  pixelShuffle: [(a) => c.pixelShuffle(c.mul(a, a), 2), spread([4, 2, 2])],
  pixelUnshuffle: [(a) => c.pixelUnshuffle(c.mul(a, a), 2), spread([1, 4, 2])],
};

/** A function that stands in no list, on its required arguments as tensors [3, 4]: enough for most that are new. */
export function byDefault(name: string): Composition {
  const fn = (functional as unknown as Readonly<Record<string, Fn>>)[name];
  return [fn, ...[x, y, positive].slice(0, Math.max(fn.length, 1))];
}

/** Functions that need no line above, and why. */
export const exempt: Readonly<Record<string, readonly string[]>> = {
  "one record, checked by the tests of the table": (
    "abs acos add asin atan cos cosh div erf exp expm1 fmod gelu log log1p maximum minimum mul neg pow remainder sigmoid sin sinh sqrt sub tan " +
    "tanh to where gather cat expand broadcastTo flip permute reshape amax amin prod sum cumsum matmul unfoldDim clone"
  ).split(" "),
  "no gradient": (
    "floorDivide ceil floor round sign trunc eq ne lt le gt ge isfinite isinf isnan isclose logicalAnd logicalNot logicalOr logicalXor " +
    "bitwiseAnd bitwiseNot bitwiseOr bitwiseXor shiftLeft shiftRight heaviside all any argmax argmin countNonzero argsort oneHot " +
    "nms nmsPadded batchedNms nonzero arange eye full fullLike linspace ones onesLike zeros zerosLike"
  ).split(" "),
  "a rearrangement in one or two views": (
    "broadcastTensors chunk diag diagonal expandAs flatten movedim narrow repeat repeatInterleave roll select slice split squeeze stack " +
    "swapaxes tile transpose tril triu unbind unflatten unsqueeze fftshift ifftshift complex conj imag real"
  ).split(" "),
  "random; its mask is a constant to gradients": ["dropout", "dropout2d", "dropPath"],
  "a promise; a selection by indexSelect": ["maskedSelect"],
  "a table of functions, or checked in a test of its own (test/engine/attention.test.ts)": ["complexFunctions", "multiheadAttention"],
};
