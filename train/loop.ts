/** One pass of training over a loader. */
import { OpError } from "../engine/errors.js";
import { defaultGenerator } from "../engine/random.js";
import { Average } from "./metrics.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { Schedule } from "./schedule.js";
import type { BatchSource, StepOutcome, TrainingStep } from "./task.js";
import { turn } from "./turn.js";

/** What an epoch has measured so far; goes on in a resumed run. */
export class EpochMeasures {
  readonly loss = new Average();
  readonly gradNorm = new Average();
  readonly #others = new Map<string, Average>();
  /** Steps that were left out. */
  skipped = 0;

  add({ loss, gradNorm, samples, measures }: StepOutcome): void {
    this.loss.add(loss, samples);
    this.gradNorm.add(gradNorm);
    for (const [key, value] of Object.entries(measures)) this.of(key).add(value, samples);
  }

  /** What steps have measured under this name. */
  of(key: string): Average {
    const average = this.#others.get(key) ?? new Average();
    this.#others.set(key, average);
    return average;
  }

  state() {
    const others = Object.fromEntries([...this.#others].map(([key, average]) => [key, average.state()]));
    return { loss: this.loss.state(), gradNorm: this.gradNorm.state(), others, skipped: this.skipped };
  }

  static from(state: ReturnType<EpochMeasures["state"]>): EpochMeasures {
    const measures = new EpochMeasures();
    measures.loss.restore(state.loss);
    measures.gradNorm.restore(state.gradNorm);
    for (const [key, value] of Object.entries(state.others)) measures.of(key).restore(value);
    measures.skipped = state.skipped;
    return measures;
  }
}

/** How far an epoch is. */
export interface EpochProgress {
  readonly epoch: number;
  /** Batches done, of `batches`. */
  readonly batch: number;
  readonly batches: number;
  readonly measures: EpochMeasures;
  readonly lr: number;
  /** Seconds of the last step, and those of them in which it waited for data. */
  readonly seconds: number;
  readonly waited: number;
  readonly samples: number;
}

/** A step whose loss or gradients are no finite numbers. */
export interface BadStep<B = unknown> {
  readonly epoch: number;
  readonly batch: number;
  readonly outcome: StepOutcome;
  readonly batches: readonly B[];
  /** The default generator's counter before the step. */
  readonly counter: number;
}

export interface TrainEpochOptions<B = unknown> {
  readonly epoch: number;
  readonly schedule: Schedule;
  readonly optimizer: Optimizer;
  /** Batches of one update. Default 1. */
  readonly accumulate?: number;
  /** The first batch. Default 0. */
  readonly from?: number;
  /** What earlier batches of this epoch have measured. */
  readonly measures?: EpochMeasures;
  /** Called after every step; when it gives a promise, the next one waits for it. */
  readonly onStep?: (progress: EpochProgress) => unknown;
  /** Called for a step that is no finite number; unless it throws, training goes on. Default: throws. */
  readonly onBad?: (step: BadStep<B>) => unknown;
  /** The epoch ends early, after a whole step, when it is aborted. */
  readonly signal?: AbortSignal;
}

/** What came of an epoch. */
export interface EpochOutcome {
  readonly measures: EpochMeasures;
  /** Batches done. Fewer than the loader has where the epoch was ended early. */
  readonly batch: number;
}

/** Updates that an epoch makes. */
export const updatesOf = (loader: { readonly length: number }, accumulate = 1): number => Math.ceil(loader.length / accumulate);

/** One pass over the loader. Throws when loss or gradients are no longer numbers. */
export async function trainEpoch<B>(step: TrainingStep<B>, loader: BatchSource<B>, options: TrainEpochOptions<B>): Promise<EpochOutcome> {
  const { epoch, schedule, optimizer, accumulate = 1, from = 0, measures = new EpochMeasures(), onStep, onBad = refuse, signal } = options;
  let batch = from;
  const source = loader.epoch(epoch, from);
  try {
    let start = performance.now();
    let waiting = nextOf(source, accumulate);
    while (!signal?.aborted) {
      const batches = await waiting;
      if (batches.length === 0) break;
      const waited = performance.now() - start;
      const lr = schedule(epoch * updatesOf(loader, accumulate) + Math.floor(batch / accumulate));
      optimizer.setLr(lr);
      const { counter } = defaultGenerator;
      const running = step(batches);
      // The next batches are fetched while the device is at work.
      waiting = nextOf(source, accumulate);
      waiting.catch(() => undefined);
      const outcome = await running;
      if (outcome.finite) measures.add(outcome);
      else {
        measures.skipped++;
        await onBad({ epoch, batch, outcome, batches, counter });
      }
      batch = Math.min(batch + accumulate, loader.length);
      const now = performance.now();
      const { samples } = outcome;
      const progress = {
        epoch,
        batch,
        batches: loader.length,
        measures,
        lr,
        seconds: (now - start) / 1000,
        waited: waited / 1000,
        samples,
      };
      start = now;
      await onStep?.(progress);
      await turn();
    }
    await waiting;
    return { measures, batch: signal?.aborted && batch < loader.length ? batch : loader.length };
  } finally {
    await source.return();
  }
}

async function nextOf<B>(source: AsyncGenerator<B, void, undefined>, count: number): Promise<B[]> {
  const batches: B[] = [];
  while (batches.length < count) {
    const next = await source.next();
    if (next.done) break;
    batches.push(next.value);
  }
  return batches;
}

function refuse({ epoch, batch, outcome: { loss, gradNorm } }: BadStep): never {
  const what = Number.isFinite(loss) ? `the norm of the gradients is ${gradNorm}` : `the loss is ${loss}`;
  throw new OpError("train", `${what} at step ${batch} of epoch ${epoch}; try a lower learning rate, a longer warm-up or clipping`);
}
