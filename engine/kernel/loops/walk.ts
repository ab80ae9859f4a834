/** Small walks over expression graphs. */
import { children } from "../affine.js";
import type { Expr, LoadExpr } from "../ir.js";

/** Every node below the roots, each once, operands before their users. */
export function nodesOf(roots: Iterable<Expr>): ReadonlySet<Expr> {
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    for (const child of children(e)) visit(child);
    seen.add(e);
  };
  for (const root of roots) visit(root);
  return seen;
}

export function loadsOf(roots: Iterable<Expr>): ReadonlySet<LoadExpr> {
  const loads = new Set<LoadExpr>();
  for (const e of nodesOf(roots)) if (e.op === "load") loads.add(e);
  return loads;
}

const noStages: ReadonlySet<number> = new Set();
const stagesMemo = new WeakMap<Expr, ReadonlySet<number>>();

/** The stages whose results an expression uses. */
export function stagesOf(e: Expr): ReadonlySet<number> {
  const known = stagesMemo.get(e);
  if (known !== undefined) return known;
  let stages = noStages;
  if (e.op === "acc") {
    stages = new Set([e.stage]);
  } else {
    for (const child of children(e)) {
      const more = stagesOf(child);
      if (stages.size === 0) stages = more;
      else if ([...more].some((stage) => !stages.has(stage))) stages = new Set([...stages, ...more]);
    }
  }
  stagesMemo.set(e, stages);
  return stages;
}
