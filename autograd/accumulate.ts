/** The sum of the gradients that reach one node. */

import { add } from "../engine/functional/elementwise.js";
import { cat } from "../engine/functional/movement.js";
import { filled } from "../engine/ops/leaf.js";
import type { PadAttrs } from "../engine/ops/view.js";
import { Tensor } from "../engine/tensor.js";

/** A gradient that is zero but for a range of one dim, as those of `narrow` and `split` are. */
interface Piece {
  /** Which of the parts it is; the same tensor may be there twice. */
  readonly at: number;
  readonly part: Tensor;
  readonly inner: Tensor;
  readonly dim: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Pieces that do not overlap are put side by side, in one pass over the result, in place of a sum of mostly zeros; the rest is added up.
 */
export function accumulate(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0];
  const pieces = parts.flatMap((part, at) => pieceOf(part, at) ?? []).sort((a, b) => a.dim - b.dim || a.start - b.start);
  const sums: Tensor[] = [];
  const joined = new Set<number>();
  while (pieces.length > 0) {
    const row = takeRow(pieces);
    if (row.length < 2) continue;
    sums.push(sideBySide(row));
    for (const { at } of row) joined.add(at);
  }
  return [...sums, ...parts.filter((_, at) => !joined.has(at))].reduce((sum, part) => add(sum, part));
}

function pieceOf(part: Tensor, at: number): Piece | null {
  const { op, attrs, inputs } = part.node;
  if (op.name !== "pad" || inputs.length === 0) return null;
  const { before, after, value } = attrs as PadAttrs;
  const dims = before.flatMap((amount, d) => (amount !== 0 || after[d] !== 0 ? [d] : []));
  const [dim] = dims;
  if (value !== 0 || dims.length !== 1 || before[dim] < 0 || after[dim] < 0) return null;
  return { at, part, inner: new Tensor(inputs[0]), dim, start: before[dim], end: part.shape[dim] - after[dim] };
}

/** Takes out pieces of one dim that do not overlap: the first one, and each that begins where the last one ends or later. */
function takeRow(sorted: Piece[]): Piece[] {
  const row = [sorted.shift() as Piece];
  for (let i = 0; i < sorted.length; ) {
    const last = row[row.length - 1];
    if (sorted[i].dim === last.dim && sorted[i].start >= last.end) row.push(...sorted.splice(i, 1));
    else i++;
  }
  return row;
}

function sideBySide(row: readonly Piece[]): Tensor {
  const { part, dim } = row[0];
  const zeros = (length: number): Tensor[] =>
    length === 0
      ? []
      : [
          filled(
            0,
            part.shape.map((n, d) => (d === dim ? length : n)),
            part.dtype,
            part.device,
          ),
        ];
  let at = 0;
  const tensors = row.flatMap(({ inner, start, end }) => {
    const gap = zeros(start - at);
    at = end;
    return [...gap, inner];
  });
  return cat([...tensors, ...zeros(part.shape[dim] - at)], { dim });
}
