/** What expressions of the scheduler refer to: elements of values. */
import { children } from "../kernel/affine.js";
import type { Expr, RefExpr } from "../kernel/ir.js";

export type Refs = ReadonlyMap<number, readonly RefExpr[]>;
const refsMemo = new WeakMap<Expr, Refs>();

/** The refs in an expression, by value. */
export function refsOf(e: Expr): Refs {
  const known = refsMemo.get(e);
  if (known !== undefined) return known;
  const refs = new Map<number, RefExpr[]>();
  const seen = new Set<Expr>([e]);
  // Sets go on with what is added to them meanwhile.
  for (const at of seen) {
    if (at.op === "ref") {
      const list = refs.get(at.value);
      if (list) list.push(at);
      else refs.set(at.value, [at]);
    }
    for (const part of children(at)) seen.add(part);
  }
  refsMemo.set(e, refs);
  return refs;
}

/** Levels of an expression, where a ref counts as what it stands for. */
export function depthOf(e: Expr, ofRef: (value: number) => number): number {
  const memo = new Map<Expr, number>();
  const visit = (at: Expr): number => {
    const known = memo.get(at);
    if (known !== undefined) return known;
    let depth = at.op === "ref" ? ofRef(at.value) : 0;
    if (at.op === "call") for (const arg of at.args) depth = Math.max(depth, visit(arg));
    memo.set(at, depth + 1);
    return depth + 1;
  };
  return visit(e);
}
