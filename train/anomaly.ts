/** Where a step went wrong: the same batch once more, operation by operation. */
import { type Anomaly, findAnomaly } from "../autograd/anomaly.js";
import { defaultGenerator } from "../engine/random.js";
import type { Module } from "../models/nn/module.js";
import type { Lesson } from "./learn.js";
import type { Optimizer } from "./optim/optimizer.js";

/**
 * The first operation of a step's forward or backward pass that made NaN or an infinity from finite numbers; null where the step
 * repeated is finite. `counter`: that of the default generator before the step, so that what it dropped is dropped again. Weights must be those
 * from before the step, as `guard` leaves them.
 */
export async function locateAnomaly<B>(
  model: Module,
  optimizer: Optimizer,
  lesson: Lesson<B>,
  batches: readonly B[],
  counter: number,
): Promise<Anomaly | null> {
  const after = defaultGenerator.counter;
  const buffers = [...model.namedBuffers()].map(([, buffer]) => ({ buffer, before: buffer.detach() }));
  defaultGenerator.counter = counter;
  try {
    for (const batch of batches) {
      const { loss } = lesson.forward(...lesson.inputs(batch));
      loss.backward({ retainGraph: true });
      const gradients = optimizer.parameters().flatMap(({ grad }) => grad ?? []);
      optimizer.zeroGrad();
      // What the forward pass has assigned is not to be carried out.
      for (const { buffer, before } of buffers) buffer.assign(before);
      const anomaly = await findAnomaly(loss, ...gradients);
      if (anomaly !== null) return anomaly;
    }
    return null;
  } finally {
    defaultGenerator.counter = after;
  }
}
