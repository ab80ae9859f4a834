/** Borders. */
import { OpError } from "../errors.js";
import { checkIntegers, checkOptions, checkTensor } from "../ops/check.js";
import { cat } from "../ops/concat.js";
import { alias, expandTo, flip, padWith } from "../ops/view.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { narrow } from "./movement.js";

/** What padding is filled with: a value, the picture mirrored, its edge, or its other side. */
export type PadMode = "constant" | "reflect" | "replicate" | "circular";

/** What stands beside dim `dim`, `n` elements, before or after the middle. */
type Border = (x: Tensor, dim: number, n: number, before: boolean) => Tensor;

const borders: Readonly<Record<Exclude<PadMode, "constant">, Border>> = {
  reflect: (x, dim, n, before) => flip(narrow(x, dim, before ? 1 : x.shape[dim] - 1 - n, n), [dim]),
  replicate: (x, dim, n, before) =>
    expandTo(
      narrow(x, dim, before ? 0 : x.shape[dim] - 1, 1),
      x.shape.map((size, d) => (d === dim ? n : size)),
    ),
  circular: (x, dim, n, before) => narrow(x, dim, before ? x.shape[dim] - n : 0, n),
};

/** The widest border that a dim of `size` elements can give. */
const widest: Readonly<Record<Exclude<PadMode, "constant">, (size: number) => number>> = {
  reflect: (size) => size - 1,
  replicate: (size) => (size === 0 ? 0 : Number.POSITIVE_INFINITY),
  circular: (size) => size,
};

/**
 * Adds borders: `pad` lists (before, after) for the last dim, then for the one before it, and so on; negative amounts crop. Modes:
 * "constant" (default; `value`, 0), "reflect" (mirrors without repeating the edge), "replicate" (repeats the edge), "circular" (wraps).
 * Throws where a border is wider than the mode allows. Reference: torch.nn.functional.pad.
 */
export function pad(x: Tensor, amounts: readonly number[], options?: { readonly mode?: PadMode; readonly value?: number | null }): Tensor {
  checkTensor("pad", x);
  checkIntegers("pad", amounts, "pad");
  checkOptions("pad", options, ["mode", "value"]);
  const mode = options?.mode ?? "constant";
  if (mode !== "constant" && !(mode in borders))
    throw new OpError("pad", `mode must be "constant", "reflect", "replicate" or "circular"; got ${String(mode)}`);
  if (amounts.length % 2 !== 0) throw new OpError("pad", `pad lists pairs (before, after); got ${amounts.length} numbers`);
  if (amounts.length > 2 * x.ndim)
    throw new OpError("pad", `pad ${showShape(amounts)} names ${amounts.length / 2} dims; ${showShape(x.shape)} has ${x.ndim}`);
  const at = (side: number): number[] => x.shape.map((_, d) => amounts[2 * (x.ndim - 1 - d) + side] ?? 0);
  const [before, after] = [at(0), at(1)];
  const sizes = x.shape.map((n, d) => before[d] + n + after[d]);
  if (sizes.some((n, d) => n < 0 || n < Math.max(before[d], 0) + Math.max(after[d], 0))) {
    throw new OpError("pad", `pad ${showShape(amounts)} takes more from ${showShape(x.shape)} than there is`);
  }
  if (mode === "constant") return alias(padWith(x, before, after, options?.value ?? 0));
  const crop = (n: number): number => Math.min(n, 0);
  return alias(before.reduce((t, _, d) => bordered(t, d, mode, before[d], after[d]), padWith(x, before.map(crop), after.map(crop), 0)));
}

function bordered(x: Tensor, dim: number, mode: Exclude<PadMode, "constant">, before: number, after: number): Tensor {
  const limit = widest[mode](x.shape[dim]);
  const wide = Math.max(before, after);
  if (wide <= 0) return x;
  if (wide > limit)
    throw new OpError("pad", `a border of ${wide} in mode ${mode} does not fit dim ${dim} of ${showShape(x.shape)}: at most ${limit}`);
  const parts = [x];
  if (before > 0) parts.unshift(borders[mode](x, dim, before, true));
  if (after > 0) parts.push(borders[mode](x, dim, after, false));
  return cat(parts, { dim });
}
