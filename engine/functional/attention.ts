/** Attention. */
import { OpError } from "../errors.js";
import { attentionNodes } from "../ops/attention.js";
import { cast } from "../ops/cast.js";
import { checkOptions, checkTensor } from "../ops/check.js";
import { iota } from "../ops/leaf.js";
import { broadcastShapes, type Shape, sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { softmax } from "./activation.js";
import { dropout } from "./dropout.js";
import { add, ge, mul, where } from "./elementwise.js";
import { linear, matmul } from "./linalg.js";
import { expand, narrow, permute, reshape, transpose, unsqueeze } from "./movement.js";

export interface AttentionOptions {
  /** Broadcasts to [..., L, S]: bool (true takes part), or float (added to the scores). */
  readonly attnMask?: Tensor | null;
  /** Dropout of the attention weights. Default 0. */
  readonly dropoutP?: number;
  /** Whether query i sees keys 0 to i only. Default false. */
  readonly isCausal?: boolean;
  /** Factor of the scores. Default 1/√E. */
  readonly scale?: number | null;
}

/** softmax(q kᵀ · scale + mask) v: q [..., L, E], k [..., S, E], v [..., S, Ev] → [..., L, Ev]; leading dims broadcast. */
export function scaledDotProductAttention(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions = {}): Tensor {
  const op = "scaledDotProductAttention";
  checkOptions(op, options, ["attnMask", "dropoutP", "isCausal", "scale"]);
  for (const [name, x] of [
    ["query", query],
    ["key", key],
    ["value", value],
  ] as const) {
    checkTensor(op, x, name);
    if (x.ndim < 2) throw new OpError(op, `${name} has shape ${showShape(x.shape)}; expected [..., length, channels]`);
  }
  if (query.size(-1) !== key.size(-1))
    throw new OpError(op, `query ${showShape(query.shape)} and key ${showShape(key.shape)} must have equally many channels`);
  if (key.size(-2) !== value.size(-2))
    throw new OpError(op, `key ${showShape(key.shape)} and value ${showShape(value.shape)} must be equally long`);
  const { attnMask = null, dropoutP = 0, isCausal = false } = options;
  const scale = options.scale ?? 1 / Math.sqrt(query.size(-1));
  const [l, s] = [query.size(-2), key.size(-2)];
  const batch = broadcastShapes(
    op,
    ...[query, key, value].map((x) => x.shape.slice(0, -2)),
    ...(attnMask ? [attnMask.shape.slice(0, -2)] : []),
  );
  const tail = attnMask === null ? [] : attnMask.shape.slice(-2);
  if (tail.some((n, i) => n !== 1 && n !== [l, s].slice(-tail.length)[i]))
    throw new OpError(op, `attnMask ${showShape(attnMask?.shape ?? [])} does not broadcast to the scores ${showShape([...batch, l, s])}`);
  const [q, k, v] = [query, key, value].map((x) => expand(x, [...batch, ...x.shape.slice(-2)]));
  const mask = attnMask === null ? null : additiveMask(attnMask, [...batch, l, s], query);
  if (dropoutP === 0) return attentionNodes(q, k, v, mask, { scale, causal: isCausal });

  let scores = mul(matmul(q, transpose(k, -2, -1)), scale);
  if (mask !== null) scores = add(scores, mask);
  if (isCausal) scores = where(ge(iota([l, s], 0, query.device), iota([l, s], 1, query.device)), scores, Number.NEGATIVE_INFINITY);
  return matmul(dropout(softmax(scores, { dim: -1 }), { p: dropoutP }), v);
}

/** 0 where a query may look, −∞ where not; float masks as they are. */
function additiveMask(mask: Tensor, shape: Shape, like: Tensor): Tensor {
  const added = mask.dtype === "bool" ? cast(where(mask, 0, Number.NEGATIVE_INFINITY), like.dtype) : cast(mask, like.dtype);
  return expand(added, shape);
}

export interface MultiheadAttentionOptions {
  /** [N, S] of bool: keys to leave out (true). */
  readonly keyPaddingMask?: Tensor | null;
  /** [L, S] or [N · heads, L, S]: bool (true leaves out, unlike above), or float (added to the scores). */
  readonly attnMask?: Tensor | null;
  /** Dropout of the attention weights. Default 0. */
  readonly dropoutP?: number;
  /** Layout [N, L, E] (default), or [L, N, E]. */
  readonly batchFirst?: boolean;
}

/**
 * Multi-head attention with one projection of query, key and value before and one after: query [N, L, E], key and value [N, S, E] →
 * [N, L, E]. `inProjWeight` [3E, E] holds the rows for query, key and value; head h takes channels h · E/heads and following.
 */
export function multiheadAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  numHeads: number,
  inProjWeight: Tensor,
  inProjBias: Tensor | null,
  outProjWeight: Tensor,
  outProjBias: Tensor | null,
  options: MultiheadAttentionOptions = {},
): Tensor {
  const op = "multiheadAttention";
  checkOptions(op, options, ["keyPaddingMask", "attnMask", "dropoutP", "batchFirst"]);
  for (const [name, x] of [
    ["query", query],
    ["key", key],
    ["value", value],
  ] as const) {
    checkTensor(op, x, name);
    if (x.ndim !== 3) throw new OpError(op, `${name} has shape ${showShape(x.shape)}; expected three dims: batch, length, channels`);
  }
  const { batchFirst = true } = options;
  const channels = query.size(-1);
  if (!Number.isInteger(numHeads) || numHeads < 1 || channels % numHeads !== 0) {
    throw new OpError(op, `${channels} channels do not fall into ${numHeads} equal heads`);
  }
  if (!sameShape(inProjWeight.shape, [3 * channels, channels])) {
    throw new OpError(
      op,
      `inProjWeight has shape ${showShape(inProjWeight.shape)}; expected ${showShape([3 * channels, channels])} for ${channels} channels`,
    );
  }
  const self = query.node === key.node && key.node === value.node;
  const heads = (x: Tensor): Tensor => {
    const split = reshape(x, [...x.shape.slice(0, 2), numHeads, channels / numHeads]);
    return permute(split, batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3]); // [N, heads, length, E/heads]
  };
  const part = (x: Tensor, i: number): Tensor => narrow(x, x.ndim === 1 ? 0 : x.ndim - 1, i * channels, channels);
  const rows = (i: number): Tensor => narrow(inProjWeight, 0, i * channels, channels);
  const joint = self ? linear(query, inProjWeight, { bias: inProjBias }) : null;
  const [q, k, v] = [query, key, value].map((x, i) =>
    heads(joint === null ? linear(x, rows(i), { bias: inProjBias === null ? null : part(inProjBias, i) }) : part(joint, i)),
  );
  const mask = headMask(op, options, q, k);
  const out = scaledDotProductAttention(q, k, v, { attnMask: mask, dropoutP: options.dropoutP });
  const joined = reshape(permute(out, batchFirst ? [0, 2, 1, 3] : [2, 0, 1, 3]), query.shape);
  return linear(joined, outProjWeight, { bias: outProjBias });
}

/** Both masks as one to add, for scores [N, heads, L, S]. */
function headMask(op: string, { keyPaddingMask = null, attnMask = null }: MultiheadAttentionOptions, q: Tensor, k: Tensor): Tensor | null {
  const [n, heads, l] = q.shape;
  const s = k.size(-2);
  const added = (mask: Tensor): Tensor => cast(mask.dtype === "bool" ? where(mask, Number.NEGATIVE_INFINITY, 0) : mask, q.dtype);
  let total: Tensor | null = null;
  if (attnMask !== null) {
    const full = [n * heads, l, s];
    if (!sameShape(attnMask.shape, [l, s]) && !sameShape(attnMask.shape, full)) {
      throw new OpError(op, `attnMask has shape ${showShape(attnMask.shape)}; expected ${showShape([l, s])} or ${showShape(full)}`);
    }
    total = attnMask.ndim === 2 ? added(attnMask) : reshape(added(attnMask), [n, heads, l, s]);
  }
  if (keyPaddingMask !== null) {
    if (!sameShape(keyPaddingMask.shape, [n, s]))
      throw new OpError(op, `keyPaddingMask has shape ${showShape(keyPaddingMask.shape)}; expected ${showShape([n, s])}`);
    const keys = unsqueeze(unsqueeze(added(keyPaddingMask), 1), 1); // [N, 1, 1, S]
    total = total === null ? keys : add(total, keys);
  }
  return total;
}
