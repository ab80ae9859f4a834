import fc from "fast-check";
import type { Axis, Expr, ScalarFn } from "../../../engine/kernel/ir.js";
import type { ExprPool } from "../../../engine/kernel/simplify.js";

/** An integer or boolean expression as a tree that does not simplify, to be built in a pool and evaluated on its own. */
export type Tree =
  | { readonly kind: "axis"; readonly index: number }
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "call"; readonly fn: (typeof binary)[number]; readonly a: Tree; readonly b: Tree }
  | { readonly kind: "by"; readonly fn: "idiv" | "mod"; readonly a: Tree; readonly n: number }
  | { readonly kind: "where"; readonly condition: Condition; readonly a: Tree; readonly b: Tree };

export type Condition =
  | { readonly kind: "compare"; readonly fn: (typeof comparisons)[number]; readonly a: Tree; readonly b: Tree }
  | { readonly kind: "logic"; readonly fn: (typeof logic)[number]; readonly a: Condition; readonly b: Condition }
  | { readonly kind: "not"; readonly a: Condition };

const binary = ["add", "sub", "mul", "min", "max", "idiv", "mod", "bitAnd", "bitOr", "bitXor"] as const;
const comparisons = ["lt", "le", "gt", "ge", "eq", "ne"] as const;
const logic = ["and", "or", "xor"] as const;

export const axisSizes = [2, 3, 4, 6] as const;

export const { tree, condition } = fc.letrec<{ tree: Tree; condition: Condition }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ kind: fc.constant("axis" as const), index: fc.nat(axisSizes.length - 1) }),
    fc.record({
      kind: fc.constant("const" as const),
      value: fc.oneof(fc.integer({ min: -8, max: 24 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31))),
    }),
    fc.record({
      kind: fc.constant("call" as const),
      fn: fc.constantFrom("add" as const, "add" as const, "sub" as const),
      a: tie("tree"),
      b: tie("tree"),
    }),
    fc.record({
      kind: fc.constant("by" as const),
      fn: fc.constantFrom("idiv" as const, "mod" as const),
      a: tie("tree"),
      n: fc.integer({ min: -3, max: 12 }),
    }),
    fc.record({ kind: fc.constant("call" as const), fn: fc.constantFrom(...binary), a: tie("tree"), b: tie("tree") }),
    fc.record({ kind: fc.constant("where" as const), condition: tie("condition"), a: tie("tree"), b: tie("tree") }),
  ),
  condition: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.record({ kind: fc.constant("compare" as const), fn: fc.constantFrom(...comparisons), a: tie("tree"), b: tie("tree") }),
    fc.record({ kind: fc.constant("logic" as const), fn: fc.constantFrom(...logic), a: tie("condition"), b: tie("condition") }),
    fc.record({ kind: fc.constant("not" as const), a: tie("condition") }),
  ),
}));

/** A tree as text, for counterexamples. */
export function show(node: Tree | Condition): string {
  switch (node.kind) {
    case "axis":
      return "ijkl"[node.index];
    case "const":
      return String(node.value);
    case "by":
      return `${node.fn}(${show(node.a)}, ${node.n})`;
    case "where":
      return `where(${show(node.condition)}, ${show(node.a)}, ${show(node.b)})`;
    case "not":
      return `not(${show(node.a)})`;
    default:
      return `${node.fn}(${show(node.a)}, ${show(node.b)})`;
  }
}

/** Builds the tree through the simplifying constructors. `leaves` are what its axes stand for. */
export function build(pool: ExprPool, node: Tree | Condition, leaves: readonly Expr[]): Expr {
  const go = (child: Tree | Condition): Expr => build(pool, child, leaves);
  switch (node.kind) {
    case "axis":
      return leaves[node.index];
    case "const":
      return pool.int(node.value);
    case "by":
      return pool.call(node.fn, [go(node.a), pool.int(node.n)]);
    case "where":
      return pool.where(go(node.condition), go(node.a), go(node.b));
    case "not":
      return pool.not(go(node.a));
    default:
      return pool.call(node.fn, [go(node.a), go(node.b)]);
  }
}

/** The value of the tree itself, where nothing was simplified. */
export function meaning(node: Tree | Condition, at: readonly number[], scalar: (fn: ScalarFn, a: number, b: number) => number): number {
  const go = (child: Tree | Condition): number => meaning(child, at, scalar);
  switch (node.kind) {
    case "axis":
      return at[node.index];
    case "const":
      return node.value;
    case "by":
      return scalar(node.fn, go(node.a), node.n);
    case "where":
      return go(node.condition) !== 0 ? go(node.a) : go(node.b);
    case "not":
      return 1 - go(node.a);
    default:
      return scalar(node.fn, go(node.a), go(node.b));
  }
}

export function points(sizes: readonly number[]): number[][] {
  return sizes.reduce<number[][]>((all, size) => all.flatMap((p) => Array.from({ length: size }, (_, i) => [...p, i])), [[]]);
}

export const makeAxes = (pool: ExprPool): Axis[] => axisSizes.map((size, i) => pool.newAxis("ijkl"[i], size));
