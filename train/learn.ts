/** The step of any task: forward, backward, clipping, update, average; over one batch or several. */
import { noGrad } from "../autograd/grad-mode.js";
import { zerosLike } from "../engine/functional/creation.js";
import { isfinite, where } from "../engine/functional/elementwise.js";
import { compile } from "../engine/runtime/compile.js";
import { fromHost, type Tensor } from "../engine/tensor.js";
import type { Module } from "../models/nn/module.js";
import type { ModelEma } from "./ema.js";
import { clipGradNorm } from "./optim/clip.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { StepOutcome, TrainingStep } from "./task.js";

export interface UpdateOptions {
  /** Greatest norm of all gradients together. Default: no clipping. */
  readonly clipGrad?: number | null;
  readonly ema?: ModelEma | null;
  /** Leave everything as it was where loss or gradients are no finite numbers. Default false. */
  readonly guard?: boolean;
}

/** What the forward pass of a batch gives: scalars, means over its samples. */
export interface Learned {
  readonly loss: Tensor;
  readonly measures: Readonly<Record<string, Tensor>>;
}

/** A forward pass: what a batch has → loss and measures. */
export type Forward = (...inputs: Tensor[]) => Learned;

/** What steps learn from: the tensors of a batch, and the forward pass over them. */
export interface Lesson<B> {
  inputs(batch: B): readonly Tensor[];
  readonly forward: Forward;
}

/** Buffers as they are now; the returned function gives those that have changed since their values back where `kept` is false. */
function guardBuffers(model: Module): (kept: Tensor) => void {
  const buffers = [...model.namedBuffers()].map(([, buffer]) => ({ buffer, node: buffer.node, before: buffer.detach() }));
  return (kept) => {
    for (const { buffer, node, before } of buffers) if (buffer.node !== node) buffer.assign(where(kept, buffer.detach(), before));
  };
}

/** Clips, updates parameters and average, forgets the gradients; returns their norm. */
function update(optimizer: Optimizer, { clipGrad = null, ema = null, guard = false }: UpdateOptions, loss: Tensor | null): Tensor {
  const gradNorm = clipGradNorm(optimizer.parameters(), clipGrad ?? Number.POSITIVE_INFINITY);
  const finite = isfinite(gradNorm);
  const when = guard ? noGrad(() => (loss === null ? finite : finite.logicalAnd(isfinite(loss)))) : null;
  optimizer.step({ when });
  optimizer.zeroGrad();
  ema?.update({ when });
  return gradNorm;
}

/** One step as a plain function. Compile it, or call it as it is. */
export function learn(model: Module, optimizer: Optimizer, forward: Forward, options: UpdateOptions = {}) {
  return (...inputs: Tensor[]): Learned & { readonly gradNorm: Tensor } => {
    const restore = options.guard ? guardBuffers(model) : null;
    const { loss, measures } = forward(...inputs);
    loss.backward();
    const gradNorm = update(optimizer, options, loss);
    noGrad(() => restore?.(isfinite(loss).logicalAnd(isfinite(gradNorm))));
    return { loss: loss.detach(), measures, gradNorm };
  };
}

/** A step over several batches: each adds its share of the gradients to sums that stay on the device. */
function accumulated(model: Module, optimizer: Optimizer, forward: Forward, options: UpdateOptions) {
  const sums = optimizer.parameters().map(({ shape, dtype, device, numel }) => {
    const zeros = dtype === "float64" ? new Float64Array(numel) : new Float32Array(numel);
    return fromHost(zeros, shape, dtype, device);
  });
  const gather = (share: Tensor, ...inputs: Tensor[]): Learned => {
    const restore = options.guard ? guardBuffers(model) : null;
    const { loss, measures } = forward(...inputs);
    loss.backward();
    noGrad(() => {
      optimizer.parameters().forEach(({ grad }, i) => {
        if (grad !== null) sums[i].assign(sums[i].add(grad.mul(share)));
      });
      restore?.(isfinite(loss));
    });
    optimizer.zeroGrad();
    return { loss: loss.detach(), measures };
  };
  const apply = () => {
    optimizer.parameters().forEach((parameter, i) => {
      parameter.grad = sums[i].detach();
    });
    const gradNorm = update(optimizer, options, null);
    noGrad(() => {
      for (const sum of sums) sum.assign(zerosLike(sum));
    });
    return { gradNorm };
  };
  return { gather, apply };
}

export interface LearningStepOptions extends UpdateOptions {
  /** Build each step's graph anew where false. Default true. */
  readonly compiled?: boolean;
  /** Whether steps take several batches. */
  readonly accumulates?: boolean;
}

/** Loss first, then the measures in their order, as numbers. */
async function read({ loss, measures }: Learned): Promise<{ readonly loss: number; readonly measures: Record<string, number> }> {
  const [first, ...rest] = await Promise.all([loss, ...Object.values(measures)].map((value) => value.item()));
  return { loss: first, measures: Object.fromEntries(Object.keys(measures).map((key, i) => [key, rest[i]])) };
}

/** A step of a lesson. */
export function learningStep<B extends { readonly size: number }>(
  model: Module,
  optimizer: Optimizer,
  lesson: Lesson<B>,
  options: LearningStepOptions = {},
): TrainingStep<B> {
  const { forward } = lesson;
  const inputs = (batch: B): readonly Tensor[] => lesson.inputs(batch);
  const { compiled = true, accumulates = false } = options;
  const finish = (loss: number, measures: Record<string, number>, gradNorm: number, samples: number): StepOutcome => {
    const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
    if (!finite && options.guard) optimizer.undoStep();
    return { loss, gradNorm, samples, finite, measures };
  };
  if (!accumulates) {
    // The measures are named, so that what is compiled gives a flat record.
    const plain = learn(model, optimizer, forward, options);
    const flat = (...given: Tensor[]): Record<string, Tensor> => {
      const { loss, gradNorm, measures } = plain(...given);
      return { ...measures, loss, gradNorm };
    };
    const step = compiled ? compile(flat) : async (...given: Tensor[]) => flat(...given);
    return async ([batch]) => {
      const { gradNorm, loss, ...measures } = await step(...inputs(batch));
      const [norm, numbers] = await Promise.all([gradNorm.item(), read({ loss, measures })]);
      return finish(numbers.loss, numbers.measures, norm, batch.size);
    };
  }
  const parts = accumulated(model, optimizer, forward, options);
  const flat = (share: Tensor, ...given: Tensor[]): Record<string, Tensor> => {
    const { loss, measures } = parts.gather(share, ...given);
    return { ...measures, loss };
  };
  const gather = compiled ? compile(flat) : async (share: Tensor, ...given: Tensor[]) => flat(share, ...given);
  const apply = compiled ? compile(parts.apply, { device: optimizer.device }) : async () => parts.apply();
  return async (batches) => {
    const samples = batches.reduce((sum, { size }) => sum + size, 0);
    let loss = 0;
    const measures: Record<string, number> = {};
    for (const batch of batches) {
      const share = fromHost(Float32Array.of(batch.size / samples), [], "float32", optimizer.device);
      const { loss: part, ...measured } = await gather(share, ...inputs(batch));
      const numbers = await read({ loss: part, measures: measured });
      loss += (numbers.loss * batch.size) / samples;
      for (const [key, value] of Object.entries(numbers.measures)) measures[key] = (measures[key] ?? 0) + (value * batch.size) / samples;
    }
    const { gradNorm } = await apply();
    return finish(loss, measures, await gradNorm.item(), samples);
  };
}
