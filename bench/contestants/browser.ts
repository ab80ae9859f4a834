/** What browser libraries look for and Node lacks: `navigator`, a GPU, `Worker` from a Blob's URL. For the processes of peers only. */
import { resolveObjectURL } from "node:buffer";
import { Worker as NodeWorker } from "node:worker_threads";

function setNavigator(fields: object): void {
  Object.defineProperty(globalThis, "navigator", { value: fields, configurable: true });
}

/** Puts a GPU where WebGPU programs look for it; one line that names it. */
export async function provideGpu(): Promise<string> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create([]);
  // tfjs takes a browser's name apart.
  setNavigator({ userAgent: "Mozilla/5.0 Chrome/140", hardwareConcurrency: 2, gpu });
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("there is no WebGPU adapter");
  const { vendor, architecture, description } = adapter.info;
  return [vendor, architecture, description].filter((part) => part !== "").join(" ");
}

type Listener = ((event: { readonly data: unknown }) => void) | null;

/** A browser's worker, from a script in a Blob. */
class BlobWorker {
  onmessage: Listener = null;
  onerror: ((error: unknown) => void) | null = null;
  /** Messages sent before the script was read. */
  private waiting: unknown[] | null = [];
  private worker: NodeWorker | null = null;

  constructor(url: string | URL) {
    this.start(String(url)).catch((error: unknown) => this.onerror?.(error));
  }

  private async start(url: string): Promise<void> {
    const blob = resolveObjectURL(url);
    if (blob === undefined) throw new Error(`no script at ${url}`);
    const prelude = [
      'const { parentPort } = require("node:worker_threads");',
      "globalThis.self = globalThis;",
      "globalThis.postMessage = (message) => parentPort.postMessage(message);",
      'parentPort.on("message", (data) => self.onmessage({ data }));',
    ];
    const worker = new NodeWorker(`${prelude.join("\n")}\n${await blob.text()}`, { eval: true });
    worker.on("message", (data) => this.onmessage?.({ data }));
    worker.on("error", (error) => this.onerror?.(error));
    for (const message of this.waiting ?? []) worker.postMessage(message);
    this.waiting = null;
    this.worker = worker;
  }

  postMessage(message: unknown): void {
    if (this.waiting !== null) this.waiting.push(message);
    else this.worker?.postMessage(message);
  }

  terminate(): void {
    void this.worker?.terminate();
  }
}

/** Lets a library start as many workers as `threads`. */
export function provideWorkers(threads: number): void {
  setNavigator({ userAgent: "node", hardwareConcurrency: threads });
  Object.assign(globalThis, { Worker: BlobWorker });
}
