/** One device in a race, in a process of its own: trains as it is told, and tells how it goes. */
import { mnist } from "../../train/data/mnist.js";
import type { Progress } from "../../web/messages.js";
import { train } from "../../web/trainer.js";
import type { FromRunner, ToRunner } from "./messages.js";

const tell = (message: FromRunner): void => void process.send?.(message);

process.once("message", ({ request, dataDir }: ToRunner) => {
  const options = dataDir === undefined ? {} : { dataDir };
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const timed = (progress: Progress): void => tell(progress.kind === "step" ? { ...progress, seconds: seconds() } : progress);
  train({ train: mnist("train", options), test: mnist("test", options) }, request, timed, new AbortController().signal)
    .then(() => tell({ kind: "end", seconds: seconds() }))
    .catch((error: unknown) => tell({ kind: "error", message: error instanceof Error ? error.message : String(error) }))
    .finally(() => process.disconnect());
});
