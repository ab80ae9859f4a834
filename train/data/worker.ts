/** A worker: makes the batches it is told to, one after another. */
import { parentPort, workerData } from "node:worker_threads";
import { OpError } from "../../engine/errors.js";
import { type BatchRecipe, makeBatch } from "./batch.js";
import type { Answer, Task } from "./messages.js";
import { openSource } from "./source.js";

const port = parentPort;
if (port === null) throw new Error("this file is to be run as a worker");
const recipe = workerData as BatchRecipe;
const dataset = openSource(recipe.source);
let queue = Promise.resolve();

port.on("message", ({ id, order }: Task) => {
  queue = queue.then(async () => {
    try {
      const batch = await makeBatch(dataset, recipe, order);
      const buffers = [batch.images, batch.labels, batch.targets, batch.indices].flatMap((array) => array?.buffer ?? []);
      port.postMessage({ id, batch } satisfies Answer, buffers as ArrayBuffer[]);
    } catch (thrown) {
      const error = thrown as Error;
      const op = error instanceof OpError ? error.op : null;
      const message = op === null ? error.message : error.message.slice(op.length + 2);
      port.postMessage({ id, error: { op, message, stack: error.stack ?? "" } } satisfies Answer);
    }
  });
});
