/** `explain(t)`: what a graph becomes, as data with a `toString()`. */
import { sourceText } from "../backends/backend.js";
import { bytesOf } from "./dtype.js";
import { OpError } from "./errors.js";
import { printKernel } from "./kernel/print.js";
import { verifyKernel } from "./kernel/verify.js";
import { type PlanBoundary, temporaryBytes } from "./schedule/plan.js";
import { schedule } from "./schedule/schedule.js";
import { walk } from "./schedule/walk.js";
import type { Tensor } from "./tensor.js";

export interface ExplainedKernel {
  readonly name: string;
  /** Operations computed in it, in order. */
  readonly ops: readonly string[];
  /** Modules that they came from. */
  readonly modules: readonly string[];
  readonly flops: number;
  readonly bytes: number;
  /** Buffers written. */
  readonly outputs: number;
  /** The kernel IR, for reading. */
  readonly ir: string;
  /** What the device's compiler gets, as text; "" for a step on the host. */
  readonly source: () => Promise<string>;
}

/** What is computed, and how: kernels, why values pass between them through memory, and the memory plan. As text: `String(explanation)`. */
export interface Explanation {
  readonly device: string;
  readonly graph: readonly string[];
  readonly kernels: readonly ExplainedKernel[];
  /** Values that pass through memory between kernels, and why. */
  readonly boundaries: readonly PlanBoundary[];
  readonly memory: {
    readonly temporaryBytes: number;
    readonly unsharedBytes: number;
    readonly buffers: number;
    readonly outputBytes: number;
  };
  toString(): string;
}

/** A number with a prefix of its unit, to three digits. */
export const amount = (n: number, unit: string): string => {
  const step = n >= 1e9 ? ([1e9, "G"] as const) : n >= 1e6 ? ([1e6, "M"] as const) : n >= 1e3 ? ([1e3, "k"] as const) : ([1, ""] as const);
  return `${(n / step[0]).toPrecision(3)} ${step[1]}${unit}`;
};

/**
 * Schedules what reading the tensors together would compute, without computing it. Pending effects (assignments) of the device are part of it
 * unless `effects` is false. Tensors that have a value already have no kernels.
 */
export async function explain(
  tensors: Tensor | readonly Tensor[],
  options: { readonly effects?: boolean; readonly fuse?: boolean } = {},
): Promise<Explanation> {
  const wanted = Array.isArray(tensors) ? (tensors as readonly Tensor[]) : [tensors as Tensor];
  if (wanted.length === 0) throw new OpError("explain", "expected at least one tensor");
  const device = wanted[0].device;
  const effects = options.effects === false ? [] : [...device.effects];
  const roots = [...new Set([...wanted, ...effects].map((t) => t.node))].filter((node) => node.value === null);
  const graph = walk(roots);
  const plan = schedule(
    graph,
    roots.map((node) => ({ node, donor: null })),
    device.backend,
    { fuse: options.fuse ?? device.fuse, verify: verifyKernel },
  );
  const kernels: ExplainedKernel[] = [];
  for (const step of plan.steps) {
    if (step.kind === "host") {
      kernels.push({
        name: `host_${step.name}`,
        ops: ["hostCall"],
        modules: [],
        flops: 0,
        bytes: 0,
        outputs: step.outputs.length,
        ir: `${step.name} on the host: a round trip`,
        source: async () => "",
      });
      continue;
    }
    const executable = await device.backend.compile(step.kernel);
    kernels.push({
      name: step.kernel.name,
      ...step.info,
      outputs: step.kernel.buffers.filter((b) => b.access !== "read").length,
      ir: printKernel(step.kernel),
      source: () => sourceText(executable),
    });
  }
  const outputBytes = bytesOf(plan.slots.filter(({ kind }) => kind === "output"));
  const memory = { temporaryBytes: temporaryBytes(plan), unsharedBytes: plan.unsharedBytes, buffers: plan.buffers.length, outputBytes };
  return {
    device: device.name,
    graph: plan.graph,
    kernels,
    boundaries: plan.boundaries,
    memory,
    toString: () =>
      [
        `device ${device.name}: ${graph.nodes.length} nodes, ${kernels.length} kernels`,
        ...kernels.map(
          (k, i) =>
            `kernel ${i + 1}  ${k.name}  ⟵ ${k.ops.join(" + ")}  ${amount(k.flops, "FLOP")}  ${amount(k.bytes, "B")}\n${k.ir.replace(/^/gm, "    ")}`,
        ),
        ...plan.boundaries.map((b) => `not fused  ${b.from} → ${b.to}: ${b.reason}`),
        `memory  ${amount(memory.temporaryBytes, "B")} in ${memory.buffers} pooled buffers (unshared ${amount(memory.unsharedBytes, "B")}), outputs ${amount(outputBytes, "B")}`,
      ].join("\n"),
  };
}
