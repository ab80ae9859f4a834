/** The page of `wasm.test.ts`: it has a worker compute on wasm what `page-webgpu.ts` computes. */
import type { Results } from "./page-webgpu.js";

interface WebWorker {
  onmessage: (event: { readonly data: Results | { readonly error: string } }) => void;
  postMessage(message: unknown): void;
}
const { Worker } = globalThis as unknown as { readonly Worker: new (url: string, options: { readonly type: "module" }) => WebWorker };

function run(options: unknown): Promise<Results> {
  const worker = new Worker("./worker-wasm.js", { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data));
    worker.postMessage(options);
  });
}

Object.assign(globalThis, { run });
