/** Threads of the platform: `worker_threads` in Node, `Worker` in browsers. */
import { InternalError } from "../../engine/errors.js";
import { workerSource } from "./worker.js";

export interface Thread {
  post(message: unknown): void;
  /** Ends it, whatever it does. */
  terminate(): void;
  /** Whether the process waits for it. */
  hold(held: boolean): void;
}

export interface Listener {
  message(message: unknown): void;
  /** It ended without having been asked to. */
  died(reason: string): void;
}

export type Spawn = (listener: Listener) => Thread;

/** More are of little use where memory is the limit. */
const most = 8;

interface WebWorker {
  onmessage: (event: { readonly data: unknown }) => void;
  onerror: (event: { readonly message?: string }) => void;
  postMessage(message: unknown): void;
  terminate(): void;
}

/** What browsers have. */
const web = globalThis as {
  readonly Worker?: new (url: string) => WebWorker;
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: { readonly hardwareConcurrency?: number };
};

interface Builtins {
  readonly "node:worker_threads": typeof import("node:worker_threads");
  readonly "node:os": typeof import("node:os");
  readonly "node:v8": typeof import("node:v8");
}

/** A module of Node's, which no bundler follows into a page. */
export const builtin = <K extends keyof Builtins>(name: K): Builtins[K] | undefined =>
  typeof process === "object" ? (process.getBuiltinModule?.(name) as Builtins[K] | undefined) : undefined;

export const spawnThread: Spawn = (listener) => {
  const node = builtin("node:worker_threads");
  if (node !== undefined) return spawnNode(node.Worker, listener);
  if (web.Worker === undefined) throw new InternalError("this runtime has no workers");
  return spawnWeb(web.Worker, listener);
};

function spawnNode(Worker: typeof import("node:worker_threads").Worker, listener: Listener): Thread {
  // Loaders of the process are of no use to it, and slow to start.
  const worker = new Worker(workerSource, { eval: true, execArgv: [], name: "crabro wasm" });
  let ended = false;
  const died = (reason: string): void => {
    if (!ended) listener.died(reason);
    ended = true;
  };
  worker.on("message", (message) => listener.message(message));
  worker.on("error", (error) => died(error.message));
  worker.on("exit", (code) => died(`it ended with code ${code}`));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    terminate: () => {
      ended = true;
      void worker.terminate();
    },
    hold: (held) => (held ? worker.ref() : worker.unref()),
  };
}

function spawnWeb(Worker: new (url: string) => WebWorker, listener: Listener): Thread {
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onmessage = (event) => {
    URL.revokeObjectURL(url);
    listener.message(event.data);
  };
  worker.onerror = (event) => listener.died(event.message || "it does not start");
  return { post: (message) => worker.postMessage(message), terminate: () => worker.terminate(), hold: () => {} };
}

/** Threads to compute on, and where it is one, the reason. */
export function threadsFor(asked: number | undefined): { readonly count: number; readonly why: string } {
  if (asked === 1) return { count: 1, why: "as asked" };
  const inBrowser = builtin("node:worker_threads") === undefined;
  if (typeof SharedArrayBuffer === "undefined" || (inBrowser && !web.crossOriginIsolated)) {
    return { count: 1, why: "memory can be shared only in a page that is cross-origin isolated" };
  }
  if (inBrowser && web.Worker === undefined) return { count: 1, why: "there are no workers here" };
  if (asked !== undefined) return { count: asked, why: "" };
  const processors = builtin("node:os")?.availableParallelism() ?? web.navigator?.hardwareConcurrency ?? 1;
  return { count: Math.min(most, processors), why: processors === 1 ? "there is one processor" : "" };
}
