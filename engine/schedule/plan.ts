/** Turns groups into kernels, orders them, and plans the memory between them. A plan holds no node: it is kept and run again with other buffers. */
import { bytesOf, type DType, type TypedArray } from "../dtype.js";
import type { AnyKernel } from "../kernel/ir.js";
import type { Shape } from "../shape.js";

/** A buffer of the plan, by where it comes from. */
export type Slot =
  /** Bound at each run, in the order of the walk's leaves. */
  | { readonly kind: "leaf"; readonly leaf: number; readonly dtype: DType; readonly length: number }
  /** Host data the plan brings along (tables of a slow definition). */
  | { readonly kind: "constant"; readonly data: TypedArray; readonly dtype: DType; readonly length: number }
  /** A wanted result: gets a buffer of its own, or that of a leaf which is not needed any more. */
  | { readonly kind: "output"; readonly output: number; readonly dtype: DType; readonly length: number; readonly donor: number | null }
  /** Between kernels: shares the plan's pooled buffers by liveness. */
  | { readonly kind: "temporary"; readonly buffer: number; readonly dtype: DType; readonly length: number };

export interface KernelStep {
  readonly kind: "kernel";
  readonly kernel: AnyKernel;
  /** One a buffer of the kernel. */
  readonly slots: readonly number[];
  readonly info: KernelInfo;
}
export interface HostStep {
  readonly kind: "host";
  readonly name: string;
  /** Number of the host call in the walk, which the run's binding resolves to a function. */
  readonly call: number;
  readonly inputs: readonly { readonly slot: number; readonly shape: Shape; readonly dtype: DType }[];
  readonly outputs: readonly { readonly slot: number; readonly shape: Shape; readonly dtype: DType; readonly output: number }[];
}
export type Step = KernelStep | HostStep;

export interface KernelInfo {
  readonly ops: readonly string[];
  readonly modules: readonly string[];
  /** Multiply-adds count two, every other function one; guards and index arithmetic nothing. */
  readonly flops: number;
  /** Bytes of the buffers read and written, each once. */
  readonly bytes: number;
}

export interface PlanBoundary {
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly slots: readonly Slot[];
  /** Pooled buffers that the temporaries share. */
  readonly buffers: readonly { readonly dtype: DType; readonly length: number }[];
  readonly boundaries: readonly PlanBoundary[];
  /** Bytes of all temporaries if none shared a buffer. */
  readonly unsharedBytes: number;
  /** Graph lines for `explain`. */
  readonly graph: readonly string[];
}

export interface Lifetime {
  readonly slot: number;
  readonly dtype: DType;
  readonly length: number;
  readonly first: number;
  readonly last: number;
}

/** Greedy sharing: in order of first use, the smallest free buffer that fits and is not wastefully large, else a new one. */
export function shareBuffers(lifetimes: readonly Lifetime[]): {
  buffers: { dtype: DType; length: number }[];
  assignment: Map<number, number>;
} {
  const buffers: { dtype: DType; length: number; freeAfter: number }[] = [];
  const assignment = new Map<number, number>();
  for (const life of [...lifetimes].sort((a, b) => a.first - b.first || b.length - a.length)) {
    let best = -1;
    buffers.forEach((buffer, i) => {
      if (buffer.dtype !== life.dtype || buffer.freeAfter >= life.first) return;
      if (buffer.length < life.length || buffer.length > 2 * life.length + 64) return;
      if (best < 0 || buffer.length < buffers[best].length) best = i;
    });
    if (best < 0) {
      best = buffers.length;
      buffers.push({ dtype: life.dtype, length: life.length, freeAfter: life.last });
    } else buffers[best].freeAfter = life.last;
    assignment.set(life.slot, best);
  }
  return { buffers: buffers.map(({ dtype, length }) => ({ dtype, length })), assignment };
}

/** Bytes a plan holds besides leaves and outputs. */
export const temporaryBytes = (plan: Plan): number => bytesOf(plan.buffers);
