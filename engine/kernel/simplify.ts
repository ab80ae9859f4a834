/**
 * The maker of expressions. It interns (equal expressions of a pool are the same object) and simplifies while it builds, so that no
 * other code has to: index arithmetic in `integers.ts`, truth and floats in `booleans.ts` and `floats.ts`.
 */
import { type DType, isFloating } from "../dtype.js";
import { allAxes, fitsInt, intMax, intMin, postorder, type Range } from "./affine.js";
import { conjunction, disjunction, exclusive, negation, select } from "./booleans.js";
import { simplifyFloat } from "./floats.js";
import { addInts, divideInts, equalInts, modInts, multiplyInts, orderInts, scaleInt } from "./integers.js";
import type { Axis, Expr, LoadExpr, RefExpr, ScalarFn } from "./ir.js";
import { castValue, evaluate, resultDType } from "./scalar.js";

export { affine, axesOf, conjuncts, mixedRadix } from "./affine.js";

/** Expressions by what tells them apart: a number wherever one will do, as no other key is found as fast. */
type Table = Map<number | string, Expr>;

/** Of the arguments of one function. */
function keyOf(args: readonly Expr[]): number | string {
  if (args.length === 2) return args[0].id * 2 ** 26 + args[1].id;
  return args.length === 1 ? args[0].id : args.map((arg) => arg.id).join();
}

/** A cast alone may have several dtypes of the same arguments. */
const nameOf = (fn: ScalarFn, dtype: DType): string => (fn === "cast" ? `cast ${dtype}` : fn);

function lookUp(tables: Map<string, Table>, name: string, key: number | string, make: () => Expr): Expr {
  let table = tables.get(name);
  if (table === undefined) {
    table = new Map();
    tables.set(name, table);
  }
  let e = table.get(key);
  if (e === undefined) {
    e = make();
    table.set(key, e);
  }
  return e;
}

const noAxes: ReadonlySet<Axis> = new Set();
const unbounded = { lo: -Infinity, hi: Infinity } as const;

/** Bounds outside of int32 mean that the value may wrap to anything. */
const bounds = (dtype: DType, lo: number, hi: number): Range => (dtype === "int32" && fitsInt(lo, hi) ? { lo, hi } : unbounded);

const mask = (e: Expr): number => (e.lo >= 0 ? e.hi : Infinity);

export class ExprPool {
  /** By kind, dtype or function. */
  private readonly interned = new Map<string, Table>();
  /** What a call on int32 or bool arguments came out as: index arithmetic is asked for again and again. */
  private readonly simplified = new Map<string, Table>();
  private axisCount = 0;
  private count = 0;

  /** Expressions made so far. */
  get size(): number {
    return this.count;
  }

  const(value: number, dtype: DType): Expr {
    const stored = castValue(value, dtype);
    return this.intern(dtype, Object.is(stored, -0) ? "-0" : stored, () => {
      return { op: "const", id: this.count++, dtype, ...bounds(dtype, stored, stored), axes: noAxes, value: stored };
    });
  }

  int(value: number): Expr {
    return this.const(value | 0, "int32");
  }

  bool(value: boolean): Expr {
    return this.const(value ? 1 : 0, "bool");
  }

  newAxis(name: string, size: number): Axis {
    return { id: this.axisCount++, name, size };
  }

  /** The loop variable; an axis of one step (or none) is 0. */
  axis(axis: Axis): Expr {
    if (axis.size <= 1) return this.int(0);
    return this.intern("axis", axis.id, () => {
      return { op: "axis", id: this.count++, dtype: "int32", lo: 0, hi: axis.size - 1, axes: new Set([axis]), axis };
    });
  }

  load(buffer: number, index: Expr, dtype: DType, guard: Expr | null = null): Expr {
    const active = this.activeGuard(guard);
    if (active === false) return this.const(0, dtype);
    return this.intern("load", `${buffer} ${index.id} ${dtype} ${active?.id}`, () => {
      const axes = allAxes(active === null ? [index] : [index, active]);
      return { op: "load", id: this.count++, dtype, ...unbounded, axes, buffer, index, guard: active };
    });
  }

  ref(value: number, index: readonly Expr[], dtype: DType, guard: Expr | null = null): Expr {
    const active = this.activeGuard(guard);
    if (active === false) return this.const(0, dtype);
    return this.intern("ref", `${value} ${index.map((e) => e.id)} ${dtype} ${active?.id}`, () => {
      const axes = allAxes(active === null ? index : [...index, active]);
      return { op: "ref", id: this.count++, dtype, ...unbounded, axes, value, index, guard: active };
    });
  }

  acc(stage: number, dtype: DType): Expr {
    return this.intern("acc", `${stage} ${dtype}`, () => ({ op: "acc", id: this.count++, dtype, ...unbounded, axes: noAxes, stage }));
  }

  /** Any scalar function, simplified. The dtype follows from the arguments, except for a cast's. */
  call(fn: ScalarFn, args: readonly Expr[], dtype: DType = resultDType(fn, args)): Expr {
    if (isFloating(args[0].dtype)) return this.simplifyCall(fn, args, dtype);
    return lookUp(this.simplified, nameOf(fn, dtype), keyOf(args), () => this.simplifyCall(fn, args, dtype));
  }

  /** The call exactly as given, interned. For the simplifier's own files; everything else wants {@link call}. */
  node(fn: ScalarFn, args: readonly Expr[], dtype: DType, lo = -Infinity, hi = Infinity): Expr {
    return this.intern(nameOf(fn, dtype), keyOf(args), () => {
      return { op: "call", id: this.count++, dtype, ...bounds(dtype, lo, hi), axes: allAxes(args), fn, args };
    });
  }

  private intern(name: string, key: number | string, make: () => Expr): Expr {
    return lookUp(this.interned, name, key, make);
  }

  /** Null for none, false where nothing is ever loaded. */
  private activeGuard(guard: Expr | null): Expr | null | false {
    if (guard === null || guard.op !== "const") return guard;
    return guard.value === 0 ? false : null;
  }

  private simplifyCall(fn: ScalarFn, args: readonly Expr[], dtype: DType): Expr {
    const [a, b, c] = args;
    if (fn === "where") return select(this, a, b, c);
    const values = args.flatMap((arg) => (arg.op === "const" ? [arg.value] : []));
    // Of a constant's erf the device knows more: its coefficients would be in every page.
    if (values.length === args.length && fn !== "erf") return this.const(evaluate(fn, values, dtype, a.dtype), dtype);
    if (fn === "cast") return this.simplifyCast(a, dtype);
    if (isFloating(a.dtype)) return simplifyFloat(this, fn, args, dtype);
    return (a.dtype === "int32" ? this.simplifyInt(fn, a, b) : this.simplifyBool(fn, a, b)) ?? this.node(fn, args, dtype);
  }

  private simplifyInt(fn: ScalarFn, a: Expr, b: Expr): Expr | null {
    switch (fn) {
      case "add":
        return addInts(this, a, b, 1);
      case "sub":
        return addInts(this, a, b, -1);
      case "neg":
        return scaleInt(this, a, -1);
      case "mul":
        return multiplyInts(this, a, b);
      case "idiv":
        return divideInts(this, a, b);
      case "mod":
        return modInts(this, a, b);
      case "lt":
        return orderInts(this, "lt", a, b);
      case "ge":
        return orderInts(this, "ge", a, b);
      case "gt":
        return orderInts(this, "lt", b, a);
      case "le":
        return orderInts(this, "ge", b, a);
      case "eq":
      case "ne":
        return equalInts(this, fn, a, b);
      case "min":
      case "max":
        return this.extremum(fn, a, b);
      case "abs":
        if (a.lo >= 0) return a;
        return a.hi <= 0 ? scaleInt(this, a, -1) : this.node(fn, [a], "int32", 0, Math.max(-a.lo, a.hi));
      case "sign":
        if (a.lo > 0 || a.hi < 0) return this.int(a.lo > 0 ? 1 : -1);
        return this.node(fn, [a], "int32", a.lo >= 0 ? 0 : -1, a.hi <= 0 ? 0 : 1);
      case "shl":
        return b.op === "const" ? scaleInt(this, a, 1 << b.value) : null;
      case "shr":
        if (b.op !== "const") return null;
        if ((b.value & 31) === 0) return a;
        if (a.lo >= 0 && (b.value & 31) < 31) return divideInts(this, a, this.int(1 << b.value));
        return this.node(fn, [a, b], "int32", 0, -1 >>> b.value);
      case "bitAnd":
        // A mask without the sign bit bounds the result.
        return this.node(fn, this.ordered(a, b), "int32", Math.max(a.lo, b.lo) >= 0 ? 0 : -Infinity, Math.min(mask(a), mask(b)));
      case "bitOr":
      case "bitXor":
        if (b.op === "const" && b.value === 0) return a;
        return this.node(fn, this.ordered(a, b), "int32");
      default:
        return null;
    }
  }

  private extremum(fn: "min" | "max", a: Expr, b: Expr): Expr {
    if (a === b) return a;
    const less = this.lt(a, b);
    if (less.op === "const") return (less.value === 1) === (fn === "min") ? a : b;
    const pick = fn === "min" ? Math.min : Math.max;
    // Where one side may be anything, int32 itself bounds it: clamping an index makes it known.
    const lo = pick(Math.max(a.lo, intMin), Math.max(b.lo, intMin));
    const hi = pick(Math.min(a.hi, intMax), Math.min(b.hi, intMax));
    return this.node(fn, this.ordered(a, b), "int32", lo, hi);
  }

  /** Arguments of a commutative function of integers: by id, constants last. */
  private ordered(a: Expr, b: Expr): [Expr, Expr] {
    if (a.op === "const") return [b, a];
    return b.op === "const" || a.id <= b.id ? [a, b] : [b, a];
  }

  private simplifyBool(fn: ScalarFn, a: Expr, b: Expr): Expr | null {
    switch (fn) {
      case "and":
        return conjunction(this, [a, b]);
      case "or":
        return disjunction(this, [a, b]);
      case "not":
        return negation(this, a);
      case "xor":
      case "ne":
        return exclusive(this, a, b);
      case "eq":
        return negation(this, exclusive(this, a, b));
      default:
        return null;
    }
  }

  private simplifyCast(a: Expr, dtype: DType): Expr {
    if (a.dtype === dtype) return a;
    if (dtype === "bool") return this.call("ne", [a, this.const(0, a.dtype)]);
    const inner = a.op === "call" && a.fn === "cast" ? a.args[0] : undefined;
    // 0 and 1 survive any dtype, and float64 holds every float32 and int32.
    if (inner?.dtype === "bool" || (inner !== undefined && a.dtype === "float64" && dtype === inner.dtype)) {
      return this.call("cast", [inner], dtype);
    }
    if (a.dtype === "bool") return this.node("cast", [a], dtype, 0, 1);
    return this.node("cast", [a], dtype);
  }

  add = (a: Expr, b: Expr): Expr => this.call("add", [a, b]);
  sub = (a: Expr, b: Expr): Expr => this.call("sub", [a, b]);
  mul = (a: Expr, b: Expr): Expr => this.call("mul", [a, b]);
  div = (a: Expr, b: Expr): Expr => this.call("div", [a, b]);
  idiv = (a: Expr, b: Expr): Expr => this.call("idiv", [a, b]);
  mod = (a: Expr, b: Expr): Expr => this.call("mod", [a, b]);
  neg = (a: Expr): Expr => this.call("neg", [a]);
  abs = (a: Expr): Expr => this.call("abs", [a]);
  min = (a: Expr, b: Expr): Expr => this.call("min", [a, b]);
  max = (a: Expr, b: Expr): Expr => this.call("max", [a, b]);
  sqrt = (a: Expr): Expr => this.call("sqrt", [a]);
  exp = (a: Expr): Expr => this.call("exp", [a]);
  log = (a: Expr): Expr => this.call("log", [a]);
  eq = (a: Expr, b: Expr): Expr => this.call("eq", [a, b]);
  ne = (a: Expr, b: Expr): Expr => this.call("ne", [a, b]);
  lt = (a: Expr, b: Expr): Expr => this.call("lt", [a, b]);
  le = (a: Expr, b: Expr): Expr => this.call("le", [a, b]);
  gt = (a: Expr, b: Expr): Expr => this.call("gt", [a, b]);
  ge = (a: Expr, b: Expr): Expr => this.call("ge", [a, b]);
  xor = (a: Expr, b: Expr): Expr => this.call("xor", [a, b]);
  not = (a: Expr): Expr => this.call("not", [a]);
  where = (condition: Expr, a: Expr, b: Expr): Expr => this.call("where", [condition, a, b]);
  cast = (a: Expr, dtype: DType): Expr => this.call("cast", [a], dtype);
  /** True of no operands. */
  and = (...operands: readonly Expr[]): Expr => conjunction(this, operands);
  /** False of no operands. */
  or = (...operands: readonly Expr[]): Expr => disjunction(this, operands);

  /** `e` with axes replaced, simplified anew. */
  substitute(e: Expr, map: ReadonlyMap<Axis, Expr>): Expr {
    const untouched = (node: Expr): boolean => {
      for (const axis of node.axes) if (map.has(axis)) return false;
      return true;
    };
    // Asks of the original: what it became may be another axis of the map, and all are replaced at once.
    return this.replace(e, untouched, (_, node) => (node.op === "axis" ? (map.get(node.axis) ?? null) : null));
  }

  /** Bottom-up replacement: `fn` sees each node once, its operands already replaced, and gives another node or null to keep it. */
  rewrite(e: Expr, fn: (e: Expr) => Expr | null): Expr {
    return this.replace(e, () => false, fn);
  }

  private replace(e: Expr, keep: (e: Expr) => boolean, fn: (rebuilt: Expr, original: Expr) => Expr | null): Expr {
    const made = new Map<Expr, Expr>();
    const current = (node: Expr): Expr => made.get(node) ?? node;
    for (const node of postorder(e, keep)) {
      const rebuilt = this.rebuild(node, current);
      made.set(node, fn(rebuilt, node) ?? rebuilt);
    }
    return current(e);
  }

  /** `e` for where only the points inside the guard matter: its loads and refs touch nothing outside. */
  withGuard(e: Expr, guard: Expr): Expr {
    return this.rewrite(e, (node) => (node.op === "load" || node.op === "ref" ? this.guarded(node, guard) : null));
  }

  /** One load or ref under one more guard. */
  guarded(e: LoadExpr | RefExpr, guard: Expr): Expr {
    const both = e.guard === null ? guard : this.and(e.guard, guard);
    return e.op === "load" ? this.load(e.buffer, e.index, e.dtype, both) : this.ref(e.value, e.index, e.dtype, both);
  }

  private rebuild(e: Expr, current: (e: Expr) => Expr): Expr {
    switch (e.op) {
      case "const":
      case "axis":
      case "acc":
        return e;
      case "load": {
        const index = current(e.index);
        const guard = e.guard && current(e.guard);
        return index === e.index && guard === e.guard ? e : this.load(e.buffer, index, e.dtype, guard);
      }
      case "ref": {
        const index = e.index.map(current);
        const guard = e.guard && current(e.guard);
        const same = guard === e.guard && index.every((part, i) => part === e.index[i]);
        return same ? e : this.ref(e.value, index, e.dtype, guard);
      }
      case "call": {
        const args = e.args.map(current);
        return args.every((arg, i) => arg === e.args[i]) ? e : this.call(e.fn, args, e.dtype);
      }
    }
  }
}
