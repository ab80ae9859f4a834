/** The worker of the page: fetches the digits, trains, and tells the page how it goes. */
import { openDigits } from "../train/data/digits.js";
import { readIdx } from "../train/data/idx.js";
import type { FromWorker, ToWorker, TrainingRequest } from "./messages.js";
import { type Digits, train } from "./trainer.js";

const scope = globalThis as unknown as {
  onmessage: (event: { readonly data: ToWorker }) => void;
  postMessage(message: FromWorker): void;
};
const tell = (message: FromWorker): void => scope.postMessage(message);

const names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] as const;

/** All four files from the page's own server; tells how much of them has come. */
async function fetchDigits(): Promise<Digits> {
  const responses = await Promise.all(
    names.map(async (name) => {
      const response = await fetch(`digits/${name}`);
      if (!response.ok || response.body === null) throw new Error(`digits/${name}: the server answers ${response.status}`);
      return { name, body: response.body, length: Number(response.headers.get("content-length")) };
    }),
  );
  const total = responses.reduce((sum, { length }) => sum + length, 0);
  let bytes = 0;
  const [trainImages, trainLabels, testImages, testLabels] = await Promise.all(
    responses.map(async ({ name, body, length }) => {
      const file = new Uint8Array(length);
      let at = 0;
      for await (const part of body) {
        file.set(part, at);
        at += part.length;
        bytes += part.length;
        tell({ kind: "fetched", bytes, total });
      }
      return readIdx(file.subarray(0, at), name);
    }),
  );
  return {
    train: openDigits(trainImages, trainLabels, { name: "MNIST train" }),
    test: openDigits(testImages, testLabels, { name: "MNIST test" }),
  };
}

let digits: Promise<Digits> | null = null;
let running: AbortController | null = null;

async function run(request: TrainingRequest): Promise<void> {
  running = new AbortController();
  const { signal } = running;
  const start = performance.now();
  digits ??= fetchDigits();
  try {
    await train(await digits, request, tell, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  tell({ kind: "end", stopped: signal.aborted, seconds: (performance.now() - start) / 1000 });
}

/** One training after the other: what is stopped ends before the next begins. */
let queue = Promise.resolve();
scope.onmessage = ({ data }) => {
  running?.abort();
  if (data.kind === "stop") return;
  queue = queue
    .then(() => run(data.request))
    .catch((error: unknown) => {
      digits = null;
      tell({ kind: "error", message: error instanceof Error ? error.message : String(error) });
    });
};
