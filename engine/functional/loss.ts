/** Losses. `reduction`: "mean" (default), "sum", or "none" for one loss an element. */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor, hostValues } from "../ops/check.js";
import { inRange } from "../ops/identity.js";
import { broadcastShapes, broadcastsTo, type Shape, sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { abs, add, clamp, div, eq, exp, ge, le, log, logicalOr, mul, neg, softplus, square, sub, where } from "./elementwise.js";
import { mean, sum } from "./reduction.js";

export { type ClassLossOptions, type CrossEntropyOptions, crossEntropy, nllLoss } from "./loss-classes.js";

/** What becomes of the losses of single elements. */
export type Reduction = "mean" | "sum" | "none";

export interface LossOptions {
  readonly reduction?: Reduction;
}

function reduceLoss(op: string, loss: Tensor, reduction: string = "mean"): Tensor {
  if (reduction === "none") return loss;
  if (reduction === "mean") return mean(loss);
  if (reduction === "sum") return sum(loss);
  throw new OpError(op, `reduction is "${reduction}"; expected "mean", "sum" or "none"`);
}

function checkPair(op: string, input: Tensor, target: Tensor, options: object, known: readonly string[]): void {
  checkTensor(op, input);
  checkTensor(op, target, "target");
  checkOptions(op, options, ["reduction", ...known]);
  broadcastShapes(op, input.shape, target.shape);
}

function checkEqualShapes(op: string, input: Tensor, target: Tensor): void {
  if (!sameShape(input.shape, target.shape)) {
    throw new OpError(
      op,
      `input ${showShape(input.shape)} and target ${showShape(target.shape)} must have the same shape; they do not broadcast here`,
    );
  }
}

/** Mean of (input − target)². */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkPair("mseLoss", input, target, options, []);
  return reduceLoss("mseLoss", square(sub(input, target)), options.reduction);
}

/** Mean of |input − target|. */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkPair("l1Loss", input, target, options, []);
  return reduceLoss("l1Loss", abs(sub(input, target)), options.reduction);
}

/** With d = |input − target|: d² / (2 beta) where d < beta (default 1), else d − beta / 2. */
export function smoothL1Loss(input: Tensor, target: Tensor, options: LossOptions & { readonly beta?: number } = {}): Tensor {
  checkPair("smoothL1Loss", input, target, options, ["beta"]);
  const { beta = 1, reduction } = options;
  if (!(beta >= 0)) throw new OpError("smoothL1Loss", `beta is ${beta}; expected 0 or more`);
  const d = sub(input, target);
  return reduceLoss("smoothL1Loss", beta === 0 ? abs(d) : smoothedDistance(d, beta, 0.5 / beta, 1), reduction);
}

/** With d = |input − target|: d² / 2 where d ≤ delta (default 1), else delta · (d − delta / 2). */
export function huberLoss(input: Tensor, target: Tensor, options: LossOptions & { readonly delta?: number } = {}): Tensor {
  checkPair("huberLoss", input, target, options, ["delta"]);
  const { delta = 1, reduction } = options;
  if (!(delta > 0)) throw new OpError("huberLoss", `delta is ${delta}; expected more than 0`);
  return reduceLoss("huberLoss", smoothedDistance(sub(input, target), delta, 0.5, delta), reduction);
}

/** curve · d² where |d| < edge, else slope · (|d| − edge / 2). */
function smoothedDistance(d: Tensor, edge: number, curve: number, slope: number): Tensor {
  const [left, right] = [le(d, -edge), ge(d, edge)];
  const outside = logicalOr(left, right);
  // The branch not taken must stay finite, or its zero gradient becomes 0 · ∞.
  const middle = mul(square(where(outside, 0, d)), curve);
  return where(outside, mul(sub(where(left, neg(d), d), edge / 2), slope), middle);
}

export interface WeightedLossOptions extends LossOptions {
  /** Factor of each element's loss; broadcasts. */
  readonly weight?: Tensor | null;
}

/**
 * −(t log x + (1 − t) log(1 − x)) for probabilities x; logarithms are no less than −100, and the slope (x − t) / (x (1 − x)) has no divisor below
 * 1e-12. Reference: torch.nn.functional.binary_cross_entropy.
 */
export function binaryCrossEntropy(input: Tensor, target: Tensor, options: WeightedLossOptions = {}): Tensor {
  const op = "binaryCrossEntropy";
  checkPair(op, input, target, options, ["weight"]);
  checkEqualShapes(op, input, target);
  const outside = hostValues(input)?.find((value) => !(value >= 0 && value <= 1));
  if (outside !== undefined) {
    throw new OpError(op, `input holds ${outside}; expected probabilities from 0 to 1; binaryCrossEntropyWithLogits takes any number`);
  }
  const t = cast(target, input.dtype);
  const known = hostValues(input) !== null;
  const x = known ? input : inRange(op, input, 0, 1, "the input computed on the device holds what is no probability");
  const saturated = le(mul(x, sub(1, x)), leastVariance).detach();
  const inside = where(saturated, 0.5, x);
  const loss = where(saturated, saturatedEntropy(x, t), crossEntropyOf(t, log(inside), log(sub(1, inside))));
  return reduceLoss(op, weighted(op, loss, options.weight), options.reduction);
}

const leastVariance = 1e-12;

const crossEntropyOf = (t: Tensor, logX: Tensor, logRest: Tensor): Tensor => neg(add(mul(t, logX), mul(sub(1, t), logRest)));

/** Where x is 0 or 1, as near as floats tell: a line through the bounded loss, so that a saturated input still learns. */
function saturatedEntropy(input: Tensor, t: Tensor): Tensor {
  const x = input.detach();
  const bounded = (p: Tensor): Tensor => clamp(log(p), { min: -100 });
  const slope = div(sub(x, t.detach()), leastVariance);
  return add(crossEntropyOf(t, bounded(x), bounded(sub(1, x))), mul(slope, sub(input, x)));
}

function weighted(op: string, loss: Tensor, weight: Tensor | null | undefined): Tensor {
  if (!weight) return loss;
  fits(op, "weight", weight, loss.shape);
  return mul(loss, weight);
}

export interface BinaryLogitsOptions extends WeightedLossOptions {
  /** Factor of the loss of positive examples; broadcasts to the input, as a rule [classes]. */
  readonly posWeight?: Tensor | null;
}

/** `binaryCrossEntropy` of sigmoid(input), computed so that no large number overflows. */
export function binaryCrossEntropyWithLogits(input: Tensor, target: Tensor, options: BinaryLogitsOptions = {}): Tensor {
  const op = "binaryCrossEntropyWithLogits";
  checkPair(op, input, target, options, ["weight", "posWeight"]);
  checkEqualShapes(op, input, target);
  const { posWeight = null } = options;
  if (posWeight !== null) fits(op, "posWeight", posWeight, input.shape);
  const t = cast(target, input.dtype);
  // −log sigmoid(x) = softplus(−x), and −log(1 − sigmoid(x)) = x + softplus(−x).
  const negative = softplus(neg(input), { threshold: 40 });
  const share = posWeight === null ? negative : mul(add(mul(sub(posWeight, 1), t), 1), negative);
  return reduceLoss(op, weighted(op, add(mul(sub(1, t), input), share), options.weight), options.reduction);
}

function fits(op: string, name: string, x: Tensor, shape: Shape): void {
  if (!broadcastsTo(x.shape, shape))
    throw new OpError(op, `${name} ${showShape(x.shape)} does not broadcast to the input's shape ${showShape(shape)}`);
}

export interface KlDivOptions {
  /** "batchmean" divides the sum by the length of the first dim, which is the divergence proper. Default "mean". */
  readonly reduction?: Reduction | "batchmean";
  /** Whether the target holds logarithms too. Default false. */
  readonly logTarget?: boolean;
}

/** t (log t − input), where the input holds logarithms of probabilities; 0 where t = 0. */
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  checkPair("klDiv", input, target, options, ["logTarget"]);
  const loss = options.logTarget ? mul(exp(target), sub(target, input)) : relativeEntropy(input, target);
  if (options.reduction !== "batchmean") return reduceLoss("klDiv", loss, options.reduction);
  if (input.ndim === 0) throw new OpError("klDiv", 'reduction "batchmean" needs a batch dim; the input has rank 0');
  return div(sum(loss), input.shape[0]);
}

function relativeEntropy(input: Tensor, target: Tensor): Tensor {
  const nothing = eq(target, 0);
  const entropy = where(nothing, 0, mul(target, log(where(nothing, 1, target))));
  return sub(entropy, mul(target, input));
}
