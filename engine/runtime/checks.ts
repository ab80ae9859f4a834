/**
 * Indices that only the device knows: a range check joins the plan that reads them, and every effect of that plan is conditional on it, so
 * that a step with a bad index changes no parameter.
 */
import type { TypedArray } from "../dtype.js";
import { OpError } from "../errors.js";
import { building, type Node } from "../graph.js";
import { ge, le, logicalAnd, logicalNot, logicalOr, where } from "../ops/elementwise-logic.js";
import { any } from "../ops/reduce.js";
import { expandTo } from "../ops/view.js";
import { Tensor, versionNode } from "../tensor.js";

export interface RangeCheck {
  /** Bool, rank 0: whether an index is out of range. */
  readonly bad: Node;
  readonly error: () => OpError;
}

interface CheckedAttrs {
  readonly op: string;
  /** Of the dim, where the values are indices; else `low` and `high` are given, and `what` says what is wrong. */
  readonly size?: number;
  readonly low?: number;
  readonly high?: number;
  readonly what?: string;
}

/** Checks of every unchecked input among the nodes. */
export function rangeChecks(nodes: readonly Node[]): RangeCheck[] {
  return withoutGrad(() =>
    nodes.flatMap((node) => {
      const at = node.op.indexInput;
      if (at === undefined || node.value !== null || node.attrs.checked !== false) return [];
      const values = new Tensor(node.inputs[at]);
      const { op, size = 0, low = 0, high = size - 1, what } = node.attrs as unknown as CheckedAttrs;
      // Written so that NaN is bad.
      const bad = any(logicalNot(logicalAnd(ge(values, low), le(values, high)))).node;
      const place = node.module === "" ? "" : ` in ${node.module}`;
      const found = what ?? `an index computed on the device is out of range for a dim of size ${size}`;
      const error = (): OpError => new OpError(op, `${found}${place}; valid are ${low} to ${high}`);
      return [{ bad, error }];
    }),
  );
}

/** Makes pending versions keep their old values where a check fails. */
export function predicate(handles: readonly Tensor[], checks: readonly RangeCheck[]): void {
  withoutGrad(() => {
    const bad = checks.map((check) => new Tensor(check.bad)).reduce((a, b) => logicalOr(a, b));
    for (const handle of handles) {
      const old = handle.generations.at(-1);
      if (old === undefined || handle.node.inputs.length === 0) continue;
      const kept = where(expandTo(bad, handle.shape), new Tensor(old), new Tensor(handle.node.inputs[0]));
      // The condition is newer than the version that now reads it, and the walk sorts by age: the version has to be made anew.
      handle.node = versionNode(handle, kept.node, handle.requiresGrad);
    }
  });
}

/** Reads all flags, and throws the first check that failed. */
export async function assertChecks(checks: readonly RangeCheck[], read: (flag: Node) => Promise<TypedArray>): Promise<void> {
  const flags = await Promise.all(checks.map(({ bad }) => read(bad)));
  const failed = checks.find((_, i) => flags[i][0] !== 0);
  if (failed !== undefined) throw failed.error();
}

function withoutGrad<T>(fn: () => T): T {
  const before = building.gradEnabled;
  building.gradEnabled = false;
  try {
    return fn();
  } finally {
    building.gradEnabled = before;
  }
}
