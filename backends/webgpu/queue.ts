/**
 * What is submitted and not done. Launches go out in few submits: one for a plan, or several where the like of them took so long that a
 * watchdog might take the device away, since it counts from a submit's start to its end.
 */
import type { Encode } from "./timing.js";

/** Milliseconds that a launch takes, as far as it is known: shared by all launches of an executable. */
export interface Cost {
  milliseconds: number | null;
}

export interface Work {
  readonly encode: Encode;
  readonly cost: Cost;
}

export interface QueueOptions {
  /** A submit is to take no longer. Windows takes a device away after two seconds, browsers after some ten. */
  readonly maxSubmitMilliseconds?: number;
  /** So many launches of unknown cost make a full submit. */
  readonly maxUnknown?: number;
  /** No more is to wait on the device; two submits are never too many. */
  readonly maxAheadMilliseconds?: number;
  readonly maxAheadSubmits?: number;
}

interface Submit {
  readonly work: readonly Work[];
  readonly milliseconds: number;
  readonly at: number;
  readonly done: Promise<void>;
}

export class Queue {
  private readonly flying = new Set<Submit>();
  private readonly options: Required<QueueOptions>;
  private aheadMilliseconds = 0;
  private lastDone = 0;

  constructor(
    private readonly device: GPUDevice,
    options: QueueOptions = {},
    /** Told of every submit, as a promise of its end. */
    private readonly awaits: (done: Promise<void>) => void = () => {},
  ) {
    this.options = { maxSubmitMilliseconds: 250, maxUnknown: 64, maxAheadMilliseconds: 500, maxAheadSubmits: 64, ...options };
  }

  /** Submits that are not done. */
  get length(): number {
    return this.flying.size;
  }

  submit(work: readonly Work[]): void {
    let from = 0;
    let milliseconds = 0;
    work.forEach((each, i) => {
      const expected = this.expected(each);
      if (i > from && milliseconds + expected > this.options.maxSubmitMilliseconds) {
        this.send(work.slice(from, i), milliseconds);
        from = i;
        milliseconds = 0;
      }
      milliseconds += expected;
    });
    if (work.length > 0) this.send(work.slice(from), milliseconds);
  }

  /** Null, or a promise of the moment when more may be queued. */
  room(): Promise<void> | null {
    const { maxAheadMilliseconds, maxAheadSubmits } = this.options;
    const { size } = this.flying;
    if (size < 2 || (size < maxAheadSubmits && this.aheadMilliseconds < maxAheadMilliseconds)) return null;
    const [first] = this.flying;
    return first.done.then(() => this.room() ?? undefined);
  }

  private expected({ cost }: Work): number {
    return cost.milliseconds ?? this.options.maxSubmitMilliseconds / this.options.maxUnknown;
  }

  private send(work: readonly Work[], milliseconds: number): void {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { encode } of work) encode(pass);
    pass.end();
    this.device.queue.submit([encoder.finish()]);
    const end = (): void => this.finish(submit);
    const submit: Submit = { work, milliseconds, at: performance.now(), done: this.device.queue.onSubmittedWorkDone().then(end, end) };
    this.flying.add(submit);
    this.aheadMilliseconds += milliseconds;
    this.awaits(submit.done);
  }

  private finish(submit: Submit): void {
    this.flying.delete(submit);
    this.aheadMilliseconds -= submit.milliseconds;
    const now = performance.now();
    const share = (now - Math.max(this.lastDone, submit.at)) / submit.work.length;
    this.lastDone = now;
    // A busy host hears late, and of several submits at once: too long for the first, nothing for the rest. So it rises at once and falls slowly.
    for (const { cost } of submit.work) cost.milliseconds = Math.max(share, (cost.milliseconds ?? share) / 2);
  }
}
