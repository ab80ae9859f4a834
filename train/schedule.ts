/** Learning rates as functions of the step. Set before each step: `optimizer.setLr(schedule(step))`. */
import { OpError } from "../engine/errors.js";

/** The learning rate of a step, counted from 0. */
export type Schedule = (step: number) => number;

export interface WarmupOptions {
  readonly lr: number;
  /** Steps from `warmupLr` up to `lr`, in a line. Default 0. */
  readonly warmupSteps?: number;
  /** Where the warm-up begins. Default 0. */
  readonly warmupLr?: number;
}

export interface CosineOptions extends WarmupOptions {
  readonly totalSteps: number;
  /** Where the schedule ends. Default 0. */
  readonly minLr?: number;
}

/** A line from `warmupLr` to `lr`, both included, then `rest` from its step 0 on. The full rate so comes twice. */
function afterWarmup({ lr, warmupSteps = 0, warmupLr = 0 }: WarmupOptions, rest: Schedule): Schedule {
  return (step) => {
    if (step >= warmupSteps) return rest(step - warmupSteps);
    return warmupSteps === 1 ? warmupLr : warmupLr + ((lr - warmupLr) * step) / (warmupSteps - 1);
  };
}

/** Steps after the warm-up; throws where there is no room for it. */
function stepsLeft(op: string, { totalSteps, warmupSteps = 0 }: CosineOptions): number {
  if (!(totalSteps > 0) || !(warmupSteps >= 0) || warmupSteps > totalSteps)
    throw new OpError(op, `warm-up takes 0 to totalSteps steps; got warmupSteps ${warmupSteps} of ${totalSteps}`);
  return totalSteps - warmupSteps;
}

/**
 * Linear warm-up, then half a cosine, both per step: `linspace(0, lr, warmup)`, then min + (lr − min) / 2 · (1 + cos(π i / n)) for
 * i = 0 … n − 1, and min from there on. The first step of a warm-up has rate 0, and the full rate comes twice, as in the published
 * training code.
 */
export function cosine(options: CosineOptions): Schedule {
  const { lr, minLr = 0 } = options;
  const n = stepsLeft("cosine", options);
  return afterWarmup(options, (i) => (n === 0 ? lr : minLr + ((lr - minLr) / 2) * (1 + Math.cos((Math.PI * Math.min(i, n)) / n))));
}

/** Linear warm-up, then min + (lr − min) (1 − i / n)^power. */
export function poly(options: CosineOptions & { readonly power?: number }): Schedule {
  const { lr, minLr = 0, power = 1 } = options;
  const n = stepsLeft("poly", options);
  return afterWarmup(options, (i) => (n === 0 ? lr : minLr + (lr - minLr) * (1 - Math.min(i, n) / n) ** power));
}

/** Multiplies by `gamma` at each milestone, counted in steps from the start, warm-up included. */
export function multiStep(options: WarmupOptions & { readonly milestones: readonly number[]; readonly gamma?: number }): Schedule {
  const { lr, milestones, gamma = 0.1, warmupSteps = 0 } = options;
  return afterWarmup(options, (i) => lr * gamma ** milestones.filter((milestone) => i + warmupSteps >= milestone).length);
}

/** `lr`, after a warm-up. */
export const constantRate = (lr: number, warmup: Omit<WarmupOptions, "lr"> = {}): Schedule => afterWarmup({ lr, ...warmup }, () => lr);
