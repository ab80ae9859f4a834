/** Finds the point of a kernel at which a definition reads the kernel's values: a substitution of the definition's axes, or the reason why there is none. */
import type { Axis, Expr, RefExpr } from "../kernel/ir.js";
import { axesOf, type ExprPool, mixedRadix } from "../kernel/simplify.js";
import type { MapDefinition, PartDefinition, ReduceDefinition } from "./define.js";
import type { LoopGroup, Member } from "./loop-group.js";

export interface Match {
  /** The definition's axes in terms of the kernel's (after the splits). */
  readonly substitution: ReadonlyMap<Axis, Expr>;
  /** The definition's axes that the kernel has not: its row. */
  readonly inner: readonly Axis[];
  /** Axes of the kernel that must be split first. */
  readonly split: ReadonlyMap<Axis, readonly Axis[]>;
  /** Where the definition covers only part of an axis of the kernel. */
  readonly guard: Expr | null;
}

const ELSEWHERE = "it reads the values at other positions than the kernel computes them";

export function matchIndex(
  pool: ExprPool,
  group: LoopGroup,
  d: MapDefinition | ReduceDefinition | PartDefinition,
  reads: readonly { member: Pick<Member, "index" | "inner">; ref: RefExpr }[],
  allowRange: boolean,
): Match | string {
  const sigma = new Map<Axis, Expr>();
  const split = new Map<Axis, readonly Axis[]>();
  let guard: Expr | null = null;
  const own = new Set(d.axes);

  for (const { member, ref } of reads) {
    for (let i = 0; i < ref.index.length; i++) {
      const here = ref.index[i];
      const there = member.index[i];
      if (touches(there, member.inner)) continue;
      if (there.op === "const") continue;
      if (there.op === "axis") {
        if (split.has(there.axis)) continue;
        if (here.op === "axis" && own.has(here.axis) && here.axis.size === there.axis.size) {
          if (!sigma.has(here.axis)) sigma.set(here.axis, there);
          continue;
        }
        const parts = mixedRadix(here);
        if (
          parts !== null &&
          parts.length > 1 &&
          parts.every((axis) => own.has(axis) && !sigma.has(axis)) &&
          parts.reduce((n, a) => n * a.size, 1) === there.axis.size
        ) {
          const fresh = parts.map((axis) => pool.newAxis(axis.name, axis.size));
          parts.forEach((axis, k) => sigma.set(axis, pool.axis(fresh[k])));
          split.set(there.axis, fresh);
          continue;
        }
        const range = allowRange ? offsetOf(here, own) : null;
        if (range !== null && !sigma.has(range.axis) && range.offset + range.axis.size <= there.axis.size) {
          const at = pool.sub(there, pool.int(range.offset));
          sigma.set(range.axis, at);
          const inside = pool.and(pool.ge(at, pool.int(0)), pool.lt(at, pool.int(range.axis.size)));
          guard = guard === null ? inside : pool.and(guard, inside);
          continue;
        }
        const single = soleAxis(here, own);
        if (single !== null && !sigma.has(single) && tryComposite(pool, single, ref, member, sigma)) continue;
        return ELSEWHERE;
      }
      const radix = mixedRadix(there);
      if (
        radix !== null &&
        radix.length > 1 &&
        here.op === "axis" &&
        own.has(here.axis) &&
        here.axis.size === radix.reduce((n, a) => n * a.size, 1)
      ) {
        if (!sigma.has(here.axis)) sigma.set(here.axis, there);
        continue;
      }
      const parts = mixedRadix(here);
      if (
        radix !== null &&
        parts !== null &&
        radix.length === parts.length &&
        radix.every((axis, k) => axis.size === parts[k].size && own.has(parts[k]))
      ) {
        parts.forEach((axis, k) => {
          if (!sigma.has(axis)) sigma.set(axis, pool.axis(radix[k]));
        });
        continue;
      }
      return ELSEWHERE;
    }
  }

  if (guard !== null && split.size > 0) return ELSEWHERE;
  const flat = new Map<Axis, Expr>();
  split.forEach((axes, axis) => {
    let e: Expr = pool.int(0);
    for (const part of axes) e = pool.add(pool.mul(e, pool.int(part.size)), pool.axis(part));
    flat.set(axis, e);
  });
  for (const { member, ref } of reads) {
    for (let i = 0; i < ref.index.length; i++) {
      if (touches(member.index[i], member.inner)) continue;
      const there = pool.substitute(member.index[i], flat);
      if (pool.substitute(ref.index[i], sigma) !== there) return ELSEWHERE;
    }
  }
  const covered = new Set<Axis>();
  for (const e of sigma.values()) for (const axis of axesOf(e)) covered.add(axis);
  for (const axis of group.axes.flatMap((a) => split.get(a) ?? [a])) {
    if (!covered.has(axis)) return "it has fewer elements than the kernel has points";
  }
  return { substitution: sigma, inner: d.axes.filter((axis) => !sigma.has(axis)), split, guard };
}

const touches = (e: Expr, axes: readonly Axis[]): boolean => axes.length > 0 && [...axesOf(e)].some((axis) => axes.includes(axis));

function soleAxis(e: Expr, own: ReadonlySet<Axis>): Axis | null {
  const axes = [...axesOf(e)];
  return axes.length === 1 && own.has(axes[0]) ? axes[0] : null;
}

/** `axis + constant`. */
function offsetOf(e: Expr, own: ReadonlySet<Axis>): { axis: Axis; offset: number } | null {
  if (e.op === "axis") return own.has(e.axis) ? { axis: e.axis, offset: 0 } : null;
  if (e.op !== "call" || e.fn !== "add" || e.args.length !== 2) return null;
  const [a, b] = e.args[0].op === "const" ? [e.args[1], e.args[0]] : [e.args[0], e.args[1]];
  if (a.op !== "axis" || b.op !== "const" || !own.has(a.axis) || b.value < 0) return null;
  return { axis: a.axis, offset: b.value };
}

/** The definition numbers by one axis what the kernel numbers by several: try their row-major composite. */
function tryComposite(pool: ExprPool, axis: Axis, ref: RefExpr, member: Pick<Member, "index" | "inner">, sigma: Map<Axis, Expr>): boolean {
  let flat: Expr = pool.int(0);
  let count = 1;
  for (let i = 0; i < ref.index.length; i++) {
    if (!axesOf(ref.index[i]).has(axis)) continue;
    const there = member.index[i];
    if (there.op !== "axis" || member.inner.includes(there.axis)) return false;
    flat = pool.add(pool.mul(flat, pool.int(there.axis.size)), there);
    count *= there.axis.size;
  }
  if (count !== axis.size) return false;
  sigma.set(axis, flat);
  return true;
}
