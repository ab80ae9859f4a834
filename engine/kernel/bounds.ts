/** Bounds of integer expressions where a guard is known to hold: what proves that padded, clamped and windowed loads stay inside. */
import { conjuncts, isBounded, type Range, type Sum, sumOf, sumRange, type Term } from "./affine.js";
import type { Expr } from "./ir.js";

/** A sum that the guard keeps within bounds. */
interface Fact extends Range {
  readonly terms: readonly Term[];
}

const meet = (a: Range, b: Range): Range => ({ lo: Math.max(a.lo, b.lo), hi: Math.min(a.hi, b.hi) });

/** What one conjunct says, for comparisons of an integer with a constant. */
function comparison(e: Expr): { readonly left: Expr; readonly range: Range } | null {
  if (e.op !== "call" || e.args[0].dtype !== "int32") return null;
  const [left, right] = e.args;
  if (right?.op !== "const") return null;
  switch (e.fn) {
    case "lt":
      return { left, range: { lo: -Infinity, hi: right.value - 1 } };
    case "ge":
      return { left, range: { lo: right.value, hi: Infinity } };
    case "eq":
      return { left, range: { lo: right.value, hi: right.value } };
    default:
      return null;
  }
}

export class Bounds {
  private readonly facts: Fact[] = [];
  private readonly factors = new Map<Expr, Range>();

  constructor(guard: Expr | null) {
    const ranges = new Map<Expr, Range>();
    for (const e of guard === null ? [] : conjuncts(guard)) {
      const known = comparison(e);
      if (known === null) continue;
      const { left, range } = known;
      ranges.set(left, meet(ranges.get(left) ?? left, range));
    }
    for (const [left, range] of ranges) {
      const { constant, terms } = sumOf(left);
      // A sum that may wrap says nothing about its terms.
      if (!isBounded(left) && terms[0]?.factor !== left) continue;
      this.facts.push({ terms, lo: range.lo - constant, hi: range.hi - constant });
    }
    // Facts sharpen one another; a second round is enough for windows over windows.
    for (let round = 0; round < 2; round++) for (const fact of this.facts) this.sharpen(fact);
  }

  /** lo ≤ Σ c·f ≤ hi bounds each f by the extremes of the others. */
  private sharpen(fact: Fact): void {
    for (const { coefficient, factor } of fact.terms) {
      const own = this.ofFactor(factor);
      const others = this.ofTerms(
        0,
        fact.terms.filter((term) => term.factor !== factor),
      );
      const ends = [(fact.lo - others.hi) / coefficient, (fact.hi - others.lo) / coefficient];
      if (ends.some(Number.isNaN)) continue;
      this.factors.set(factor, meet(own, { lo: Math.ceil(Math.min(...ends)), hi: Math.floor(Math.max(...ends)) }));
    }
  }

  of(e: Expr): Range {
    if (e.op === "const") return e;
    const sum = sumOf(e);
    if (sum.terms.length === 1 && sum.terms[0].factor === e) return this.ofFactor(e);
    // Unbounded sums may wrap, unless the guard itself bounds what is in them.
    return meet(isBounded(e) ? e : { lo: -Infinity, hi: Infinity }, this.ofSum(sum));
  }

  private ofSum(sum: Sum): Range {
    return meet(this.ofTerms(sum.constant, sum.terms), this.byFacts(sum));
  }

  private ofTerms(constant: number, terms: readonly Term[]): Range {
    let { lo, hi } = sumRange(constant, []);
    for (const { coefficient, factor } of terms) {
      const range = this.ofFactor(factor);
      lo += coefficient * (coefficient > 0 ? range.lo : range.hi);
      hi += coefficient * (coefficient > 0 ? range.hi : range.lo);
    }
    return { lo, hi };
  }

  /** The sum with every multiple of a fact's sum in it replaced by that fact's bounds. */
  private byFacts(sum: Sum): Range {
    let terms = sum.terms;
    let { lo, hi } = sumRange(sum.constant, []);
    for (const fact of this.facts) {
      const coefficientOf = (factor: Expr): number => terms.find((term) => term.factor === factor)?.coefficient ?? 0;
      const times = coefficientOf(fact.terms[0].factor) / fact.terms[0].coefficient;
      if (times === 0 || !fact.terms.every(({ coefficient, factor }) => coefficientOf(factor) === times * coefficient)) continue;
      const natural = this.ofTerms(0, fact.terms);
      const range = meet(natural, fact);
      lo += times * (times > 0 ? range.lo : range.hi);
      hi += times * (times > 0 ? range.hi : range.lo);
      terms = terms.filter((term) => !fact.terms.some(({ factor }) => factor === term.factor));
    }
    const rest = this.ofTerms(0, terms);
    return { lo: lo + rest.lo, hi: hi + rest.hi };
  }

  private ofFactor(e: Expr): Range {
    return meet(this.factors.get(e) ?? e, this.ofCall(e));
  }

  private ofCall(e: Expr): Range {
    if (e.op !== "call" || e.dtype !== "int32") return e;
    const [x, y] = e.args;
    switch (e.fn) {
      case "idiv": {
        if (y.op !== "const" || y.value <= 0) return e;
        const { lo, hi } = this.of(x);
        return { lo: Math.floor(lo / y.value), hi: Math.floor(hi / y.value) };
      }
      case "mod": {
        if (y.op !== "const" || y.value <= 0) return e;
        const { lo, hi } = this.of(x);
        const turns = Math.floor(lo / y.value);
        return turns === Math.floor(hi / y.value) ? { lo: lo - turns * y.value, hi: hi - turns * y.value } : e;
      }
      case "min":
      case "max": {
        const pick = e.fn === "min" ? Math.min : Math.max;
        const a = this.of(x);
        const b = this.of(y);
        return { lo: pick(a.lo, b.lo), hi: pick(a.hi, b.hi) };
      }
      default:
        return e;
    }
  }
}
