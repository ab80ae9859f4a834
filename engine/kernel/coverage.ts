/** Whether a kernel writes each element at most once. */
import { type Sum, sumOf, sumRange, type Term } from "./affine.js";
import { Environment } from "./interpret.js";
import type { Axis, Kernel, Store } from "./ir.js";
import { boxes, isClosed, pointCount } from "./points.js";
import { floorModulo } from "./scalar.js";

/** Kernels with at most so many stores to one buffer are tried out; of larger ones what strides do not prove, at two corners. */
const coveragePoints = 20_000;

export type Coverable = Pick<Kernel, "axes" | "stores">;

/** How two stores of the kernel meet, or null: proved, or not refuted. */
export function coverageProblem(kernel: Coverable): string | null {
  const written = new Set(kernel.stores.map((store) => store.buffer));
  for (const buffer of written) {
    const stores = kernel.stores.filter((store) => store.buffer === buffer);
    const spaces = stores.map((store) => [...kernel.axes, ...store.axes]);
    const total = spaces.reduce((sum, axes) => sum + pointCount(axes), 0);
    if (total === 0 || (total > coveragePoints && isProved(stores, spaces))) continue;
    const limit = total <= coveragePoints ? total : Math.floor(coveragePoints / stores.length);
    const twice = findTwice(stores, spaces, limit);
    if (twice !== null) return `element ${twice} of buffer ${buffer} is stored twice`;
  }
  return null;
}

function isProved(stores: readonly Store[], spaces: readonly (readonly Axis[])[]): boolean {
  const sums = stores.map((store) => sumOf(store.index));
  return sums.every((sum, i) => isInjective(sum, spaces[i]) && sums.slice(0, i).every((other) => areDisjoint(sum, other)));
}

/** Each stride steps over everything that the smaller strides reach. */
function isInjective(sum: Sum, axes: readonly Axis[]): boolean {
  const terms = [...sum.terms].sort((a, b) => Math.abs(a.coefficient) - Math.abs(b.coefficient));
  const used = new Set<Axis>();
  let reach = 0;
  for (const { coefficient, factor } of terms) {
    if (factor.op !== "axis" || Math.abs(coefficient) <= reach) return false;
    used.add(factor.axis);
    reach += Math.abs(coefficient) * (factor.axis.size - 1);
  }
  return axes.every((axis) => axis.size <= 1 || used.has(axis));
}

/** Apart as ranges, or apart modulo some stride: sub-ranges of every row. */
function areDisjoint(a: Sum, b: Sum): boolean {
  const whole = (sum: Sum): { lo: number; hi: number } => sumRange(sum.constant, sum.terms);
  if (whole(a).hi < whole(b).lo || whole(b).hi < whole(a).lo) return true;
  const strides = new Set([...a.terms, ...b.terms].map((term) => Math.abs(term.coefficient)));
  return [...strides].some((stride) => {
    const inner = (terms: readonly Term[]): Term[] => terms.filter((term) => term.coefficient % stride !== 0);
    const inA = sumRange(a.constant, inner(a.terms));
    const inB = sumRange(b.constant, inner(b.terms));
    const distance = floorModulo(inB.lo - inA.lo, stride);
    return distance > inA.hi - inA.lo && distance + (inB.hi - inB.lo) < stride;
  });
}

/** An element stored twice among the tried points. Stores whose place depends on data are not tried. */
function findTwice(stores: readonly Store[], spaces: readonly (readonly Axis[])[], limit: number): number | null {
  const environment = new Environment([]);
  const seen = [new Set<number>(), new Set<number>()];
  let twice: number | null = null;
  stores.forEach(({ index, guard }, i) => {
    if (!isClosed(index) || (guard !== null && !isClosed(guard))) return;
    boxes(spaces[i], limit).corners.forEach((corner, which) => {
      corner(environment, () => {
        if (guard !== null && environment.evaluate(guard) === 0) return;
        const at = environment.evaluate(index);
        if (seen[which].has(at)) twice ??= at;
        seen[which].add(at);
      });
    });
  });
  return twice;
}
