/**
 * Simplification of int32 arithmetic. Views are index rewrites, so that this is what makes them free.
 *
 * An int32 expression is kept as a canonical sum (see `Sum`). Sums, differences and multiples are exact modulo 2^32, hence always
 * rewritten; quotients, remainders and comparisons only where bounds prove that nothing wraps.
 */
import { fitsInt, gcd, intMax, intMin, isBounded, type Sum, sumOf, sumRange, type Term } from "./affine.js";
import type { CallExpr, Expr } from "./ir.js";
import { floorDivide, floorModulo } from "./scalar.js";
import type { ExprPool } from "./simplify.js";

/** a + scale · b, over the integers. */
function mergeSums(a: Sum, b: Sum, scale: number): Sum {
  const terms: Term[] = [];
  let i = 0;
  let j = 0;
  while (i < a.terms.length || j < b.terms.length) {
    const left = a.terms[i];
    const right = b.terms[j];
    const idA = left?.factor.id ?? Infinity;
    const idB = right?.factor.id ?? Infinity;
    const factor = (idA <= idB ? left : right).factor;
    let coefficient = 0;
    if (idA <= idB) coefficient += a.terms[i++]?.coefficient ?? 0;
    if (idB <= idA) coefficient += scale * (b.terms[j++]?.coefficient ?? 0);
    if (coefficient !== 0) terms.push({ coefficient, factor });
  }
  return { constant: a.constant + scale * b.constant, terms };
}

const scaleSum = (sum: Sum, scale: number): Sum => ({
  constant: Math.imul(sum.constant, scale),
  terms: sum.terms.map(({ coefficient, factor }) => ({ coefficient: Math.imul(coefficient, scale), factor })),
});

const wrapSum = (sum: Sum): Sum => ({
  constant: sum.constant | 0,
  terms: sum.terms.map(({ coefficient, factor }) => ({ coefficient: coefficient | 0, factor })).filter((term) => term.coefficient !== 0),
});

function isCallBy(e: Expr, fn: "idiv" | "mod"): e is CallExpr {
  return e.op === "call" && e.fn === fn && e.args[1]?.op === "const" && e.args[1].value > 0;
}

const operand = (e: CallExpr): Expr => e.args[0];
const divisor = (e: CallExpr): number => (e.args[1] as { value: number } & Expr).value;

/** (y idiv n)·kn + (y mod n)·k → y·k, and ((y idiv n) mod m)·kn + (y mod n)·k → (y mod mn)·k. Null when nothing matches. */
function rejoin(pool: ExprPool, sum: Sum): Sum | null {
  for (const low of sum.terms) {
    if (!isCallBy(low.factor, "mod")) continue;
    const y = operand(low.factor);
    const n = divisor(low.factor);
    const high = low.coefficient * n;
    if (!sum.terms.some((term) => term.coefficient === high)) continue;
    const quotient = pool.idiv(y, pool.int(n));
    for (const other of sum.terms) {
      if (other.coefficient !== high) continue;
      const whole =
        other.factor === quotient
          ? y
          : isCallBy(other.factor, "mod") && operand(other.factor) === quotient && n * divisor(other.factor) <= intMax
            ? pool.mod(y, pool.int(n * divisor(other.factor)))
            : null;
      if (whole === null) continue;
      const rest = { constant: sum.constant, terms: sum.terms.filter((term) => term !== low && term !== other) };
      return mergeSums(rest, sumOf(whole), low.coefficient);
    }
  }
  return null;
}

/** The canonical expression of a sum, modulo 2^32. */
function buildSum(pool: ExprPool, unwrapped: Sum): Expr {
  const sum = wrapSum(unwrapped);
  if (sum.terms.length > 1) {
    const joined = rejoin(pool, sum);
    if (joined !== null) return buildSum(pool, joined);
  }
  const { constant, terms } = sum;
  const first = terms[0];
  if (first === undefined) return pool.int(constant);
  // Partial sums are nodes as well; each gets its own bounds.
  let lo = 0;
  let hi = 0;
  let result: Expr | null = null;
  const append = (value: Expr, coefficient: number): void => {
    const range = sumRange(0, [{ coefficient, factor: value }]);
    lo += range.lo;
    hi += range.hi;
    const subtract = result !== null && coefficient < 0 && coefficient !== intMin;
    const size = subtract ? -coefficient : coefficient;
    const part = scaled(pool, value, size);
    result = result === null ? part : pool.node(subtract ? "sub" : "add", [result, part], "int32", lo, hi);
  };
  for (const { coefficient, factor } of terms) append(factor, coefficient);
  if (constant !== 0) append(pool.int(Math.abs(constant) | 0), constant === intMin ? 1 : Math.sign(constant));
  return result ?? pool.int(0);
}

function scaled(pool: ExprPool, factor: Expr, coefficient: number): Expr {
  if (coefficient === 1) return factor;
  const { lo, hi } = sumRange(0, [{ coefficient, factor }]);
  if (coefficient === -1) return pool.node("neg", [factor], "int32", lo, hi);
  return pool.node("mul", [factor, pool.int(coefficient)], "int32", lo, hi);
}

export function addInts(pool: ExprPool, a: Expr, b: Expr, scale: 1 | -1): Expr {
  if (b.op === "const" && b.value === 0) return a;
  return buildSum(pool, mergeSums(sumOf(a), sumOf(b), scale));
}

export function scaleInt(pool: ExprPool, a: Expr, scale: number): Expr {
  if (scale === 1) return a;
  if (scale === 0) return pool.int(0);
  return buildSum(pool, scaleSum(sumOf(a), scale));
}

export function multiplyInts(pool: ExprPool, a: Expr, b: Expr): Expr {
  if (b.op === "const") return scaleInt(pool, a, b.value);
  if (a.op === "const") return scaleInt(pool, b, a.value);
  const [x, y] = a.id <= b.id ? [a, b] : [b, a];
  if (!isBounded(x) || !isBounded(y)) return pool.node("mul", [x, y], "int32");
  const corners = [x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi];
  return pool.node("mul", [x, y], "int32", Math.min(...corners), Math.max(...corners));
}

/** sum = n · quotient + rest, with every number of the rest as small as it gets and its lower bound in [0, n). */
function splitSum(sum: Sum, n: number): { quotient: Sum; rest: Sum; range: { lo: number; hi: number } } {
  const quotient: Term[] = [];
  const rest: Term[] = [];
  for (const { coefficient, factor } of sum.terms) {
    const remainder = coefficient % n;
    if (remainder !== 0) rest.push({ coefficient: remainder, factor });
    if (remainder !== coefficient) quotient.push({ coefficient: (coefficient - remainder) / n, factor });
  }
  const { lo, hi } = sumRange(sum.constant, rest);
  const shift = Math.floor(lo / n);
  return {
    quotient: { constant: shift, terms: quotient },
    rest: { constant: sum.constant - shift * n, terms: rest },
    range: { lo: lo - shift * n, hi: hi - shift * n },
  };
}

/**
 * sum = g · high + low with 0 ≤ low < g, for the largest proper divisor g of n that some coefficient offers: then
 * sum idiv n = high idiv (n/g), and sum mod n = g · (high mod (n/g)) + low.
 */
function factorOut(sum: Sum, n: number): { g: number; high: Sum; low: Sum } | null {
  for (const g of commonDivisors(sum, n)) {
    if (g === n) continue;
    const high = sum.terms.filter((term) => term.coefficient % g === 0).map((t) => ({ coefficient: t.coefficient / g, factor: t.factor }));
    const low = sum.terms.filter((term) => term.coefficient % g !== 0);
    const { lo, hi } = sumRange(sum.constant, low);
    const shift = Math.floor(lo / g);
    if (Math.floor(hi / g) !== shift) continue;
    return { g, high: { constant: shift, terms: high }, low: { constant: sum.constant - shift * g, terms: low } };
  }
  return null;
}

/** The divisors that n shares with a coefficient, above 1, largest first. */
function commonDivisors(sum: Sum, n: number): number[] {
  const found = new Set(sum.terms.map((term) => gcd(term.coefficient, n)));
  found.delete(1);
  return [...found].sort((a, b) => b - a);
}

/**
 * Whether bounds are so wide that they are those of data rather than of an index: moving such a sum into a remainder's range would bring in
 * constants that float32 does not hold, where a device has no other integers.
 */
const isWide = (x: Expr): boolean => x.lo < -(2 ** 24);

/** The bounds of floor(x / n), n > 0. */
const quotientRange = (x: Expr, n: number): [number, number] => [Math.floor(x.lo / n), Math.floor(x.hi / n)];

export function divideInts(pool: ExprPool, x: Expr, by: Expr): Expr {
  if (by.op !== "const") return pool.node("idiv", [x, by], "int32");
  const n = by.value;
  if (x.op === "const") return pool.int(floorDivide(x.value, n));
  if (n === 0) return pool.int(0);
  if (n === 1) return x;
  if (!isBounded(x)) {
    return n > 0
      ? pool.node("idiv", [x, by], "int32", Math.floor(intMin / n), Math.floor(intMax / n))
      : pool.node("idiv", [x, by], "int32");
  }
  if (n < 0) {
    if (x.lo === intMin || n === intMin) return pool.node("idiv", [x, by], "int32");
    return divideInts(pool, scaleInt(pool, x, -1), pool.int(-n));
  }
  const [lo, hi] = quotientRange(x, n);
  if (lo === hi) return pool.int(lo);
  if (isWide(x)) return pool.node("idiv", [x, by], "int32", lo, hi);

  const { quotient, rest, range } = splitSum(sumOf(x), n);
  if (!fitsInt(range.lo, range.hi)) return pool.node("idiv", [x, by], "int32", lo, hi);
  const outer = buildSum(pool, quotient);
  if (range.hi < n) return outer;
  return addInts(pool, outer, divideRest(pool, rest, n), 1);
}

function divideRest(pool: ExprPool, rest: Sum, n: number): Expr {
  const factored = factorOut(rest, n);
  if (factored !== null) return divideInts(pool, buildSum(pool, factored.high), pool.int(n / factored.g));
  const only = rest.terms.length === 1 && rest.terms[0]?.coefficient === 1 ? rest.terms[0].factor : null;
  if (only !== null && isCallBy(only, "idiv")) {
    // floor((floor(y/m) + c)/n) = floor((y + cm)/(mn))
    const m = divisor(only);
    const y = operand(only);
    const shift = rest.constant * m;
    if (isBounded(y) && fitsInt(y.lo + shift, y.hi + shift) && m * n <= intMax) {
      return divideInts(pool, addInts(pool, y, pool.int(shift), 1), pool.int(m * n));
    }
  }
  if (only !== null && isCallBy(only, "mod") && rest.constant === 0 && divisor(only) % n === 0 && isBounded(operand(only))) {
    return modInts(pool, divideInts(pool, operand(only), pool.int(n)), pool.int(divisor(only) / n));
  }
  const numerator = buildSum(pool, rest);
  return pool.node("idiv", [numerator, pool.int(n)], "int32", ...quotientRange(numerator, n));
}

export function modInts(pool: ExprPool, x: Expr, by: Expr): Expr {
  if (by.op !== "const") {
    return by.lo > 0 && Number.isFinite(by.hi) ? pool.node("mod", [x, by], "int32", 0, by.hi - 1) : pool.node("mod", [x, by], "int32");
  }
  const n = by.value;
  if (x.op === "const") return pool.int(floorModulo(x.value, n));
  if (n === 0 || n === 1 || n === -1) return pool.int(0);
  if (n < 0) {
    if (!isBounded(x) || x.lo === intMin || n === intMin) return pool.node("mod", [x, by], "int32", n + 1, 0);
    return scaleInt(pool, modInts(pool, scaleInt(pool, x, -1), pool.int(-n)), -1);
  }
  if (!isBounded(x)) return pool.node("mod", [x, by], "int32", 0, n - 1);
  const shift = Math.floor(x.lo / n);
  if (Math.floor(x.hi / n) === shift) return addInts(pool, x, pool.int(shift * n), -1);
  if (isWide(x)) return pool.node("mod", [x, by], "int32", 0, n - 1);

  const { rest, range } = splitSum(dropInnerMods(sumOf(x), n), n);
  if (!fitsInt(range.lo, range.hi)) return pool.node("mod", [x, by], "int32", 0, n - 1);
  if (range.hi < n) return buildSum(pool, rest);
  const factored = factorOut(rest, n);
  if (factored !== null) {
    const high = modInts(pool, buildSum(pool, factored.high), pool.int(n / factored.g));
    return addInts(pool, scaleInt(pool, high, factored.g), buildSum(pool, factored.low), 1);
  }
  return pool.node("mod", [buildSum(pool, rest), by], "int32", 0, n - 1);
}

/** (y mod kn) inside mod n is y, as long as the larger values still cannot wrap. */
function dropInnerMods(sum: Sum, n: number): Sum {
  let result = sum;
  for (const term of sum.terms) {
    if (!isCallBy(term.factor, "mod") || divisor(term.factor) % n !== 0) continue;
    const y = operand(term.factor);
    if (!isBounded(y)) continue;
    const rest = { constant: result.constant, terms: result.terms.filter((other) => other.factor !== term.factor) };
    const merged = mergeSums(rest, sumOf(y), term.coefficient);
    const { lo, hi } = sumRange(merged.constant, merged.terms);
    if (fitsInt(lo, hi) && merged.terms.every(({ coefficient }) => fitsInt(coefficient, coefficient))) result = merged;
  }
  return result;
}

/** a < b, or a ≥ b, canonically `sum < constant` or `sum ≥ constant` with a positive first coefficient. */
export function orderInts(pool: ExprPool, fn: "lt" | "ge", a: Expr, b: Expr): Expr {
  const truth = (less: boolean): Expr => pool.bool(less === (fn === "lt"));
  if (a === b) return truth(false);
  if (a.hi < b.lo) return truth(true);
  if (a.lo >= b.hi) return truth(false);
  const difference = boundedDifference(a, b);
  if (difference === null) return orderOpaque(pool, fn, a, b);

  // Σ < limit
  let { constant, terms } = difference;
  let limit = -constant;
  const common = terms.reduce((g, term) => gcd(g, term.coefficient), 0);
  for (const g of [...commonDivisors({ constant: 0, terms }, 0), common]) {
    if (g <= 1) continue;
    // g·high + low < limit is high < ceil((limit − low)/g), if that is the same for every low.
    const { lo, hi } = sumRange(
      0,
      terms.filter((term) => term.coefficient % g !== 0),
    );
    const high = Math.ceil((limit - hi) / g);
    if (high !== Math.ceil((limit - lo) / g)) continue;
    terms = terms.filter((term) => term.coefficient % g === 0).map((t) => ({ coefficient: t.coefficient / g, factor: t.factor }));
    limit = high;
    break;
  }
  let less = fn === "lt";
  const first = terms[0];
  if (first === undefined) return pool.bool(0 < limit === less);
  if (first.coefficient < 0) {
    terms = terms.map(({ coefficient, factor }) => ({ coefficient: -coefficient, factor }));
    limit = 1 - limit;
    less = !less;
  }
  constant = 0;
  const range = sumRange(constant, terms);
  if (range.hi < limit || range.lo >= limit) return pool.bool(range.hi < limit === less);
  const sum = buildSum(pool, { constant, terms });
  if (isCallBy(sum, "idiv")) {
    // floor(y/n) < limit is y < limit·n
    const bound = limit * divisor(sum);
    if (fitsInt(bound, bound)) return orderInts(pool, less ? "lt" : "ge", operand(sum), pool.int(bound));
  }
  return pool.node(less ? "lt" : "ge", [sum, pool.int(limit)], "bool");
}

/** a − b where neither side nor the difference can leave int32, be it negated or without its constant. */
function boundedDifference(a: Expr, b: Expr): Sum | null {
  if (!isBounded(a) || !isBounded(b)) return null;
  const difference = mergeSums(sumOf(a), sumOf(b), -1);
  const { lo, hi } = sumRange(0, difference.terms);
  const sized = difference.terms.every(({ coefficient }) => Math.abs(coefficient) <= intMax);
  const reach = Math.max(Math.abs(lo), Math.abs(hi)) + Math.abs(difference.constant);
  return sized && reach < intMax ? difference : null;
}

/** Sides that may be anything: only constants are brought to the right. */
function orderOpaque(pool: ExprPool, fn: "lt" | "ge", a: Expr, b: Expr): Expr {
  if (a.op !== "const") return pool.node(fn, [a, b], "bool");
  // c < b is b ≥ c + 1
  if (a.value === intMax) return pool.bool(fn === "ge");
  return pool.node(fn === "lt" ? "ge" : "lt", [b, pool.int(a.value + 1)], "bool");
}

export function equalInts(pool: ExprPool, fn: "eq" | "ne", a: Expr, b: Expr): Expr {
  const truth = (equal: boolean): Expr => pool.bool(equal === (fn === "eq"));
  if (a === b) return truth(true);
  if (a.hi < b.lo || b.hi < a.lo) return truth(false);
  const difference = boundedDifference(a, b);
  if (difference === null) {
    const [x, y] = a.op === "const" || (b.op !== "const" && b.id < a.id) ? [b, a] : [a, b];
    return pool.node(fn, [x, y], "bool");
  }
  const { constant, terms } = difference;
  const first = terms[0];
  if (first === undefined) return truth(constant === 0);
  const g = terms.reduce((common, term) => gcd(common, term.coefficient), 0) * Math.sign(first.coefficient);
  if (constant % g !== 0) return truth(false);
  const reduced = terms.map(({ coefficient, factor }) => ({ coefficient: coefficient / g, factor }));
  const value = -constant / g;
  const range = sumRange(0, reduced);
  if (value < range.lo || value > range.hi) return truth(false);
  return pool.node(fn, [buildSum(pool, { constant: 0, terms: reduced }), pool.int(value)], "bool");
}
