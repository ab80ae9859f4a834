/** Learning rates as functions of the step. Set before each step: `optimizer.setLr(schedule(step))`. */
import { OpError } from "../engine/errors.js";

/** The learning rate of a step, counted from 0. */
export type Schedule = (step: number) => number;

export interface CosineOptions {
  readonly lr: number;
  readonly totalSteps: number;
  /** Where the cosine ends. Default 0. */
  readonly minLr?: number;
  /** Steps from 0 up to `lr`, in a line. Default 0. */
  readonly warmupSteps?: number;
}

/**
 * Linear warm-up, then half a cosine, both per step: `linspace(0, lr, warmup)`, then min + (lr − min) / 2 · (1 + cos(π i / n)) for
 * i = 0 … n − 1. The first step of a warm-up has rate 0, and the full rate comes twice, as in the published training code.
 */
export function cosine({ lr, totalSteps, minLr = 0, warmupSteps = 0 }: CosineOptions): Schedule {
  if (!(totalSteps > 0) || !(warmupSteps >= 0) || warmupSteps > totalSteps) {
    throw new OpError("cosine", `warm-up takes 0 to totalSteps steps; got warmupSteps ${warmupSteps} of ${totalSteps}`);
  }
  const rest = totalSteps - warmupSteps;
  return (step) => {
    if (step < warmupSteps) return warmupSteps === 1 ? 0 : (lr * step) / (warmupSteps - 1);
    const at = Math.min(step - warmupSteps, rest);
    return rest === 0 ? lr : minLr + ((lr - minLr) / 2) * (1 + Math.cos((Math.PI * at) / rest));
  };
}

/** Multiplies by `gamma` at each milestone. */
export function multiStep({
  lr,
  milestones,
  gamma = 0.1,
}: {
  readonly lr: number;
  readonly milestones: readonly number[];
  readonly gamma?: number;
}): Schedule {
  return (step) => lr * gamma ** milestones.filter((milestone) => step >= milestone).length;
}

export const constantRate =
  (lr: number): Schedule =>
  () =>
    lr;
