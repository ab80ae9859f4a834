/** Shapes are plain lists of sizes; the rules of dims and broadcasting are here, once. */
import { OpError } from "./errors.js";

/** Sizes of a tensor's dims, outermost first. */
export type Shape = readonly number[];

export const numel = (shape: Shape): number => shape.reduce((n, size) => n * size, 1);

/** A shape as messages show it: `[2, 3]`. */
export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Row-major strides in elements. */
export function strides(shape: Shape): number[] {
  const out = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    out[i] = step;
    step *= shape[i];
  }
  return out;
}

/** `dim` of a tensor of this rank as 0..rank-1; negative dims count from the end; rank 0 takes 0 and -1. */
export function normalizeDim(op: string, dim: number, rank: number): number {
  const span = Math.max(rank, 1);
  if (!Number.isInteger(dim) || dim < -span || dim >= span) {
    throw new OpError(op, `dim ${dim} is out of range for a tensor of rank ${rank}; expected ${-span} to ${span - 1}`);
  }
  return dim < 0 ? dim + span : dim;
}

/** A list of distinct dims, normalised; `undefined`, null and [] mean all of them. */
export function normalizeDims(op: string, dim: number | readonly number[] | null | undefined, rank: number): number[] {
  if (dim === undefined || dim === null) return Array.from({ length: rank }, (_, i) => i);
  if (typeof dim === "number") return [normalizeDim(op, dim, rank)].slice(0, rank);
  if (dim.length === 0) return Array.from({ length: rank }, (_, i) => i);
  const dims = dim.map((d) => normalizeDim(op, d, rank));
  if (new Set(dims).size !== dims.length) throw new OpError(op, `dim ${showShape(dim)} names a dimension twice`);
  return rank === 0 ? [] : dims;
}

/** The broadcast of shapes, aligned at the last dim (NumPy's and PyTorch's rule). */
export function broadcastShapes(op: string, ...shapes: Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const at = rank - shape.length + i;
      const size = shape[i];
      if (size === 1 || size === out[at]) continue;
      if (out[at] !== 1) {
        throw new OpError(
          op,
          `shapes ${shapes.map(showShape).join(" and ")} do not broadcast: ${out[at]} and ${size} differ at dim ${at - rank}; sizes must be equal or 1`,
        );
      }
      out[at] = size;
    }
  }
  return out;
}

/** Whether a tensor of shape `from` can be repeated along dims of size 1, and new ones in front, to have shape `to`. */
export const broadcastsTo = (from: Shape, to: Shape): boolean =>
  from.length <= to.length && from.every((size, i) => size === 1 || size === to[to.length - from.length + i]);

/** Throws unless every size is a whole number ≥ 0. */
export function checkShape(op: string, shape: Shape): void {
  for (const size of shape) {
    if (!Number.isInteger(size) || size < 0)
      throw new OpError(op, `shape ${showShape(shape)} holds ${size}; sizes are whole numbers, 0 or more`);
  }
}
