/** Diagonals and triangles of matrices. */
import { OpError } from "../errors.js";
import { checkInteger, checkOptions, checkTensor } from "../ops/check.js";
import { sub } from "../ops/elementwise.js";
import { ge, le, where } from "../ops/elementwise-logic.js";
import { filledLike, iota } from "../ops/leaf.js";
import { padWith, permute, reshapeTo, sliceOp } from "../ops/view.js";
import { normalizeDim, showShape } from "../shape.js";
import { apply, type Tensor } from "../tensor.js";

function triangle(
  op: string,
  x: Tensor,
  options: { readonly diagonal?: number } | undefined,
  keep: (distance: Tensor, diagonal: number) => Tensor,
): Tensor {
  checkTensor(op, x);
  checkOptions(op, options, ["diagonal"]);
  if (x.ndim < 2) throw new OpError(op, `expected matrices (rank 2 or more); got ${showShape(x.shape)}`);
  const diagonal = options?.diagonal ?? 0;
  checkInteger(op, diagonal, "diagonal");
  const shape = x.shape.slice(-2);
  return where(keep(sub(iota(shape, 1, x.device), iota(shape, 0, x.device)), diagonal), x, filledLike(x, 0));
}

/** The lower triangle, up to the given diagonal (default 0, the main one); zeros above. Reference: torch.tril. */
export const tril = (x: Tensor, options?: { readonly diagonal?: number }): Tensor => triangle("tril", x, options, le);

/** The upper triangle, from the given diagonal (default 0, the main one) on; zeros below. Reference: torch.triu. */
export const triu = (x: Tensor, options?: { readonly diagonal?: number }): Tensor => triangle("triu", x, options, ge);

/** The diagonal of dims `dim1` and `dim2` (default 0 and 1), `offset` columns to the right, as the last dim. Reference: torch.diagonal. */
export function diagonal(x: Tensor, options?: { readonly offset?: number; readonly dim1?: number; readonly dim2?: number }): Tensor {
  checkTensor("diagonal", x);
  checkOptions("diagonal", options, ["offset", "dim1", "dim2"]);
  const { offset = 0, dim1 = 0, dim2 = 1 } = options ?? {};
  checkInteger("diagonal", offset, "offset");
  const [row, column] = [normalizeDim("diagonal", dim1, x.ndim), normalizeDim("diagonal", dim2, x.ndim)];
  if (row === column) throw new OpError("diagonal", `dim1 and dim2 are both dim ${row}; they must differ`);
  const rest = x.shape.map((_, d) => d).filter((d) => d !== row && d !== column);
  const outer = rest.map((d) => x.shape[d]);
  const [n, m] = [x.shape[row], x.shape[column]];
  const size = Math.max(0, offset >= 0 ? Math.min(n, m - offset) : Math.min(n + offset, m));
  const start = size === 0 ? 0 : offset >= 0 ? offset : -offset * m;
  // In a flattened matrix the next element of a diagonal lies one row and one column on.
  const flat = reshapeTo(permute(x, [...rest, row, column]), [...outer, n * m]);
  const zeros = outer.map(() => 0);
  return apply(sliceOp, [flat], { start: [...zeros, start], size: [...outer, size], step: [...outer.map(() => 1), m + 1] });
}

/** A vector on the given diagonal of a square matrix of zeros; of a matrix, that diagonal. Reference: torch.diag. */
export function diag(x: Tensor, options?: { readonly diagonal?: number }): Tensor {
  checkTensor("diag", x);
  checkOptions("diag", options, ["diagonal"]);
  const offset = options?.diagonal ?? 0;
  checkInteger("diag", offset, "diagonal");
  if (x.ndim === 2) return diagonal(x, { offset });
  if (x.ndim !== 1) throw new OpError("diag", `expected a vector or a matrix; got ${showShape(x.shape)}`);
  const n = x.shape[0];
  const side = n + Math.abs(offset);
  if (side === 0) return reshapeTo(x, [0, 0]);
  const start = offset >= 0 ? offset : -offset * side;
  const rows = padWith(reshapeTo(x, [n, 1]), [0, 0], [0, side], 0);
  const flat = padWith(reshapeTo(rows, [n * (side + 1)]), [start], [side * side - start - n * (side + 1)], 0);
  return reshapeTo(flat, [side, side]);
}
