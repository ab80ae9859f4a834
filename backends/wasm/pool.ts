/** The threads of a backend. One program at a time: it is posted once, and a promise tells when all are through. */
import type { Loops, Program } from "./program.js";
import type { Spawn, Thread } from "./threads.js";
import { layout, type WorkerJob, type WorkerReport, type WorkerStart } from "./worker.js";

export interface Outcome {
  /** The call that failed and why; or all of them, as the threads are gone. */
  readonly failure: { readonly call: number | null; readonly reason: string } | null;
  /** Per group, in milliseconds, where times were asked for. */
  readonly times: readonly number[];
}

interface Running {
  readonly program: Program;
  readonly finish: (outcome: Outcome) => void;
  reason: string | null;
  through: boolean;
}

export class Pool {
  private threads: Thread[] = [];
  private up = new Int32Array(new SharedArrayBuffer(4));
  private readonly known = new Set<number>();
  private forget: number[] = [];
  private shared = new SharedArrayBuffer(1 << 16);
  private running: Running | null = null;
  private waiting: (() => void)[] = [];
  /** Why no threads start, once that has turned out. */
  broken: string | null = null;

  constructor(
    readonly count: number,
    private readonly memory: WebAssembly.Memory,
    private readonly spawn: Spawn,
  ) {}

  get ready(): boolean {
    return this.threads.length > 0 && Atomics.load(this.up, 0) === this.count;
  }

  /** Starts the threads; they are of use once {@link ready}. */
  start(): void {
    if (this.threads.length > 0 || this.broken !== null) return;
    this.up = new Int32Array(new SharedArrayBuffer(4));
    this.known.clear();
    this.forget = [];
    const team: Thread[] = [];
    this.threads = team;
    try {
      for (let index = 0; index < this.count; index++) {
        team.push(
          this.spawn({
            // Those of an earlier team have nothing to say.
            message: (message) => this.threads === team && this.hear(message as WorkerReport),
            died: (reason) => this.threads === team && this.lose(reason),
          }),
        );
        team[index].post({ memory: this.memory, index, count: this.count, layout, up: this.up.buffer } satisfies WorkerStart);
      }
    } catch (error) {
      this.lose(error instanceof Error ? error.message : String(error));
    }
  }

  /** Resolves once the threads are up, or will not come. */
  async settled(): Promise<void> {
    this.start();
    if (this.ready || this.broken !== null) return;
    for (const thread of this.threads) thread.hold(true);
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    for (const thread of this.threads) thread.hold(false);
  }

  /** Runs a program of kernels on all threads; nothing else is running. */
  run(program: Program, kernels: readonly Loops[], timed: boolean): Promise<Outcome> {
    const { words, groups } = program;
    const timesAt = words.length + (words.length % 2);
    const bytes = 4 * timesAt + (timed ? 8 * (groups + 1) : 0);
    if (this.shared.byteLength < bytes) this.shared = new SharedArrayBuffer(2 ** Math.ceil(Math.log2(bytes)));
    const view = new Int32Array(this.shared);
    view.set(words);
    if (timed) view[layout.times] = timesAt;
    const modules = new Map<number, WebAssembly.Module>();
    for (const { id, module } of kernels) if (!this.known.has(id)) modules.set(id, module);
    for (const id of modules.keys()) this.known.add(id);
    const job: WorkerJob = { program: this.shared, modules: [...modules].map(([id, module]) => ({ id, module })), forget: this.forget };
    this.forget = [];
    return new Promise((finish) => {
      this.running = { program, finish, reason: null, through: false };
      this.threads[0].hold(true);
      for (const thread of this.threads) thread.post(job);
    });
  }

  /** A kernel that will not run again, or rarely. */
  drop(id: number): void {
    if (this.known.delete(id)) this.forget.push(id);
  }

  destroy(): void {
    const { threads } = this;
    this.threads = [];
    this.broken = "the device is closed";
    for (const thread of threads) thread.terminate();
    this.end({ failure: { call: null, reason: this.broken }, times: [] });
  }

  private hear(report: WorkerReport): void {
    if (report === "up") {
      if (this.ready) this.settle();
      return;
    }
    const { running } = this;
    if (running === null) return;
    if (report === "done") running.through = true;
    else running.reason = report.reason;
    // Reports of different threads may overtake one another.
    const words = new Int32Array(this.shared);
    const failed = words[layout.failed];
    if (!running.through || (failed !== 0 && running.reason === null)) return;
    this.threads[0].hold(false);
    this.end({ failure: failed === 0 ? null : { call: failed - 1, reason: running.reason as string }, times: this.times(running, words) });
  }

  private times({ program }: Running, words: Int32Array): number[] {
    const at = words[layout.times];
    if (at === 0) return [];
    const clock = new Float64Array(this.shared, 4 * at, program.groups + 1);
    return Array.from({ length: program.groups }, (_, i) => clock[i + 1] - clock[i]);
  }

  private lose(reason: string): void {
    const { threads, ready } = this;
    this.threads = [];
    for (const thread of threads) thread.terminate();
    // Threads that were up are started again when they are needed; where none came up, none will.
    if (!ready) this.broken = reason;
    this.settle();
    this.end({ failure: { call: null, reason: `a thread is gone: ${reason}` }, times: [] });
  }

  private settle(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  private end(outcome: Outcome): void {
    const { running } = this;
    this.running = null;
    running?.finish(outcome);
  }
}
