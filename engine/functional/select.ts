/** What depends on data for its shape (and is a promise for that), and writing with a reduction. */
import { OpError } from "../errors.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { add, div, maximum, minimum, mul } from "../ops/elementwise.js";
import { eq, where } from "../ops/elementwise-logic.js";
import { checkIndexValues, gatherAt, prepareIndex, prepareSource, unwritten } from "../ops/index.js";
import { iota } from "../ops/leaf.js";
import { amaxOp, aminOp, prodOp, reduceWith, sumOp } from "../ops/reduce.js";
import { expandTo, padWith, reshapeTo } from "../ops/view.js";
import { broadcastShapes, type Shape } from "../shape.js";
import { fromHost, type Tensor } from "../tensor.js";
import { indexSelect } from "./indexing.js";
import { movedim, unsqueeze } from "./movement.js";

/** Indices of what is not 0, int32 [n, rank], in row-major order. How many there are depends on the values. Reference: torch.nonzero. */
export async function nonzero(x: Tensor): Promise<Tensor> {
  checkTensor("nonzero", x);
  const flat = positions(await x.data());
  const index = new Int32Array(flat.length * x.ndim);
  flat.forEach((place, i) => {
    for (let d = x.ndim - 1, rest = place; d >= 0; d--) {
      index[i * x.ndim + d] = rest % x.shape[d];
      rest = Math.floor(rest / x.shape[d]);
    }
  });
  return fromHost(index, [flat.length, x.ndim], "int32", x.device);
}

/** The elements of `x` where the mask (bool, broadcast) is true, [n]; gradients go back to them. Reference: torch.masked_select. */
export async function maskedSelect(x: Tensor, mask: Tensor): Promise<Tensor> {
  checkTensor("maskedSelect", x);
  checkTensor("maskedSelect", mask, "mask");
  if (mask.dtype !== "bool")
    throw new OpError("maskedSelect", `the mask must be bool; got ${mask.dtype}; compare it, or cast it with to("bool")`);
  const shape = broadcastShapes("maskedSelect", x.shape, mask.shape);
  const wide = expandTo(x, shape);
  const flat = positions(await expandTo(mask, shape).data());
  return indexSelect(reshapeTo(wide, [wide.numel]), 0, fromHost(Int32Array.from(flat), [flat.length], "int32", x.device));
}

function positions(values: ArrayLike<number>): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) found.push(i);
  return found;
}

/** How values that meet at one place are combined. */
export type ScatterReduction = "sum" | "prod" | "mean" | "amax" | "amin";
const records = { sum: sumOp, mean: sumOp, prod: prodOp, amax: amaxOp, amin: aminOp } as const;

/**
 * `x` reduced, at index[.., j, ..] along `dim`, with every src[.., j, ..] written there; without `includeSelf` the old value counts only
 * where nothing is written. Equal extremes share the gradient. Costs (size of dim) × (number of sources); for sums `scatterAdd` is the
 * faster way. Reference: torch.scatter_reduce.
 */
export function scatterReduce(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterReduction,
  options?: { readonly includeSelf?: boolean },
): Tensor {
  const op = "scatterReduce";
  checkOptions(op, options, ["includeSelf"]);
  const { at, x: wide, index: places } = prepareIndex(op, x, dim, index);
  if (!Object.hasOwn(records, reduce))
    throw new OpError(op, `reduce is "${String(reduce)}"; expected one of ${Object.keys(records).join(", ")}`);
  if (x.dtype === "bool") throw new OpError(op, 'is not defined for bool; cast it with to("int32")');
  if (reduce === "mean" && x.dtype === "int32") throw new OpError(op, 'the mean of int32 is not whole; cast it with to("float32")');
  const source = prepareSource(op, wide, at, places, src);
  const size = wide.shape[at];
  const known = checkIndexValues(op, places, size);
  if (places.numel === 0) return unwritten(x, source);
  // Reading a list of the places checks, where only the device knows them, that they are there.
  const valid = known ? places : reshapeTo(gatherAt(op, iota([size], 0, x.device), 0, reshapeTo(places, [places.numel])), places.shape);
  const room = wide.shape.map((n, d) => (d === at ? 0 : n - places.shape[d]));
  const padded = (t: Tensor, value: number): Tensor =>
    padWith(
      t,
      room.map(() => 0),
      room,
      value,
    );
  const last = (t: Tensor): Tensor => movedim(t, at, -1);
  const home = last(wide);
  const shape: Shape = [...home.shape, places.shape[at]];
  const spread = (t: Tensor): Tensor => expandTo(unsqueeze(last(t), -2), shape);
  const hit = eq(spread(padded(valid, -1)), iota(shape, shape.length - 2, x.device));
  const lost = neutral(reduce, x.dtype === "int32");
  const written = reduceWith(records[reduce], where(hit, spread(padded(source, 0)), lost), [shape.length - 1], false);
  const count = reduceWith(sumOp, cast(hit, "int32"), [shape.length - 1], false);
  const none = eq(count, 0);
  const self = options?.includeSelf ?? true;
  const both = self ? joined(reduce, home, written) : written;
  const divisor = where(none, 1, cast(self ? add(count, 1) : count, x.dtype));
  const result = where(none, home, reduce === "mean" ? div(both, divisor) : both);
  return reshapeTo(movedim(result, -1, at), x.shape);
}

/** What changes nothing; whole numbers have no infinities. */
function neutral(reduce: ScatterReduction, whole: boolean): number {
  if (reduce === "sum" || reduce === "mean") return 0;
  if (reduce === "prod") return 1;
  const most = whole ? 2 ** 31 - 1 : Number.POSITIVE_INFINITY;
  return reduce === "amin" ? most : whole ? -most - 1 : -most;
}

function joined(reduce: ScatterReduction, a: Tensor, b: Tensor): Tensor {
  if (reduce === "prod") return mul(a, b);
  if (reduce === "amax") return maximum(a, b);
  return reduce === "amin" ? minimum(a, b) : add(a, b);
}
