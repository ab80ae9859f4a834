/** Small walks over expression graphs. */
import { children, postorder } from "../affine.js";
import type { Expr, LoadExpr } from "../ir.js";

/** Every node below the roots, each once, operands before their users. */
export function nodesOf(roots: Iterable<Expr>): ReadonlySet<Expr> {
  const seen = new Set<Expr>();
  for (const root of roots) for (const node of postorder(root, (below) => seen.has(below))) seen.add(node);
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
  for (const node of postorder(e, (below) => stagesMemo.has(below))) stagesMemo.set(node, ownStages(node));
  return stagesMemo.get(e) ?? noStages;
}

/** Those of an expression whose operands' are known. */
function ownStages(e: Expr): ReadonlySet<number> {
  if (e.op === "acc") return new Set([e.stage]);
  let stages = noStages;
  for (const child of children(e)) {
    const more = stagesMemo.get(child) ?? noStages;
    if (stages.size === 0) stages = more;
    else if ([...more].some((stage) => !stages.has(stage))) stages = new Set([...stages, ...more]);
  }
  return stages;
}
