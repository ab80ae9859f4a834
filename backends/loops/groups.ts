/** Which stages and stores share a loop when they are printed. */
import type { Expr, Store } from "../../engine/kernel/ir.js";
import type { ClampedStage, Loop } from "./clamp.js";
import { storeExprs } from "./nest.js";
import { loadsOf, stagesOf } from "./walk.js";

/** Stages that share a loop. */
export interface Group {
  readonly numbers: readonly number[];
  readonly stages: readonly ClampedStage[];
}

export const stageExprs = ({ loops, condition, body }: ClampedStage): readonly Expr[] => [
  ...loops.flatMap((loop) => [loop.lower, loop.upper, loop.condition]),
  condition,
  body,
];

/** Consecutive stages over the same loops that do not use one another. */
export function groupStages(stages: readonly ClampedStage[]): readonly Group[] {
  const groups: { numbers: number[]; stages: ClampedStage[] }[] = [];
  stages.forEach((stage, number) => {
    const group = groups[groups.length - 1];
    const uses = (i: number): boolean => stageExprs(stage).some((e) => stagesOf(e).has(i));
    const joins = group !== undefined && sameLoops(group.stages[0].loops, stage.loops) && !group.numbers.some(uses);
    if (joins) {
      group.numbers.push(number);
      group.stages.push(stage);
    } else {
      groups.push({ numbers: [number], stages: [stage] });
    }
  });
  return groups;
}

function sameLoops(a: readonly Loop[], b: readonly Loop[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ axis, lower, upper, step, condition }, i) => {
      const other = b[i];
      const sameBounds = lower === other.lower && upper === other.upper && step === other.step;
      return axis === other.axis && sameBounds && condition === other.condition;
    })
  );
}

export const isTrue = (e: Expr): boolean => e.op === "const" && e.value !== 0;

/** Stores over the same axes share a loop. */
export function groupStores(stores: readonly Store[]): readonly (readonly Store[])[] {
  const groups: Store[][] = [];
  for (const store of stores) {
    const group = groups.find(([{ axes }]) => axes.length === store.axes.length && axes.every((axis, i) => axis === store.axes[i]));
    if (group) group.push(store);
    else groups.push([store]);
  }
  return groups;
}

/** Whether what one of them overwrites is read by them. */
export function readsWritten(stores: readonly Store[]): boolean {
  const written = new Set(stores.map((store) => store.buffer));
  return [...loadsOf(stores.flatMap(storeExprs))].some((load) => written.has(load.buffer));
}
