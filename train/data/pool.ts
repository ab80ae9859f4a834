/** Workers that make batches ahead of the device. */
import type { Worker } from "node:worker_threads";
import { OpError } from "../../engine/errors.js";
import type { BatchOrder, BatchRecipe, HostBatch } from "./batch.js";
import type { Answer, Task } from "./messages.js";

interface Pending {
  readonly resolve: (batch: HostBatch) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
  /** Why it can do no more. */
  dead: OpError | null;
}

export class WorkerPool {
  readonly #members: Member[];
  #next = 0;
  #closed = false;

  constructor(size: number, recipe: BatchRecipe) {
    this.#members = Array.from({ length: size }, () => this.#start(recipe));
  }

  get size(): number {
    return this.#members.length;
  }

  /** Has a batch made by the worker that has least to do. */
  make(order: BatchOrder): Promise<HostBatch> {
    if (this.#closed) return Promise.reject(new OpError("DataLoader", "its workers are closed"));
    const member = this.#members.reduce((best, other) => (other.pending.size < best.pending.size ? other : best));
    if (member.dead !== null) return Promise.reject(member.dead);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      member.pending.set(id, { resolve, reject });
      member.worker.ref();
      member.worker.postMessage({ id, order } satisfies Task);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #start(recipe: BatchRecipe): Member {
    const member: Member = { worker: workerOf(recipe), pending: new Map(), dead: null };
    const { worker, pending } = member;
    worker.on("message", (answer: Answer) => {
      const waiting = pending.get(answer.id);
      pending.delete(answer.id);
      // An idle worker keeps no process alive.
      if (pending.size === 0) worker.unref();
      if ("batch" in answer) waiting?.resolve(answer.batch);
      else waiting?.reject(asError(answer.error));
    });
    const fail = (why: string, cause?: unknown): void => {
      member.dead ??= new OpError("DataLoader", `a data worker ${why}; pass --workers 0 to see more`, { cause });
      for (const { reject } of pending.values()) reject(member.dead);
      pending.clear();
    };
    worker.on("error", (error) => fail(`died: ${error.message}`, error));
    worker.on("exit", (code) => fail(`ended with status ${code}`));
    worker.unref();
    return member;
  }
}

/** From sources, TypeScript has to be translated in the worker as well. */
function workerOf(recipe: BatchRecipe): Worker {
  // Asked of the process, so that pages, which have a loader without workers, can be bundled.
  const threads = typeof process === "object" ? process.getBuiltinModule?.("node:worker_threads") : undefined;
  if (threads === undefined)
    throw new OpError(
      "DataLoader",
      "a page has none of the workers that read pictures; pass workers: 0, and train in a worker of the page",
    );
  const { Worker } = threads;
  const typescript = import.meta.url.endsWith(".ts");
  const entry = new URL(typescript ? "./worker.ts" : "./worker.js", import.meta.url);
  if (!typescript) return new Worker(entry, { workerData: recipe });
  const loader = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const code = `import(${loader}).then(({ register }) => { register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(code, { eval: true, workerData: recipe });
}

function asError({ op, message, stack }: { readonly op: string | null; readonly message: string; readonly stack: string }): Error {
  const error = op === null ? new Error(message) : new OpError(op, message);
  error.stack = stack;
  return error;
}
