/** What a run shows: a progress bar on a terminal, log lines as timm prints them elsewhere. */
import type { EpochProgress, EvalProgress, EvalResult } from "../../train/loop.js";

/** What the reporter writes to; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const rate = (lr: number): string => Number(lr.toPrecision(3)).toExponential();

function position(batch: number, batches: number): string {
  const percent = Math.floor((100 * batch) / batches);
  return `[${String(batch).padStart(4)}/${batches} (${String(percent).padStart(3)}%)]`;
}

/** `Train: 0 [  50/156 ( 32%)]  Loss: 1.234 (1.500)  Time: 0.35s, 180/s  LR: 1.2e-3` */
export function trainLine({ epoch, batch, batches, loss, seconds, samples, lr }: EpochProgress): string {
  const speed = `Time: ${seconds.toFixed(2)}s, ${Math.round(samples / seconds)}/s`;
  return `Train: ${epoch} ${position(batch, batches)}  Loss: ${loss.last.toFixed(3)} (${loss.mean.toFixed(3)})  ${speed}  LR: ${rate(lr)}`;
}

export function evalLine({ batch, batches, loss, top1 }: EvalProgress): string {
  return `Test: ${position(batch, batches)}  Loss: ${loss.toFixed(3)}  Acc@1: ${top1.toFixed(3)}`;
}

/** The line that every evaluation ends with. */
export const resultLine = ({ top1, top5, loss }: EvalResult): string =>
  `* Acc@1 ${top1.toFixed(3)} Acc@5 ${top5.toFixed(3)} loss ${loss.toFixed(3)}`;

/** Prints lines, and between them one bar that is written over. */
export class Reporter {
  readonly #out: Output;
  readonly #interval: number;
  #bar = false;

  /** `interval`: batches between two log lines. */
  constructor(out: Output, interval: number) {
    this.#out = out;
    this.#interval = interval;
  }

  line(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
  }

  train(progress: EpochProgress): void {
    this.#show(progress.batch, progress.batches, () => trainLine(progress));
  }

  evaluate(progress: EvalProgress): void {
    this.#show(progress.batch, progress.batches, () => evalLine(progress));
  }

  #show(batch: number, batches: number, text: () => string): void {
    const due = batch === 1 || batch === batches || batch % this.#interval === 0;
    if (this.#out.isTTY !== true) {
      if (due) this.line(text());
      return;
    }
    const width = 20;
    const done = Math.round((width * batch) / batches);
    const line = `${"█".repeat(done)}${"░".repeat(width - done)} ${text()}`;
    this.#clear();
    this.#out.write(line.slice(0, (this.#out.columns ?? 80) - 1));
    this.#bar = true;
    if (batch === batches) this.line(text());
  }

  #clear(): void {
    if (this.#bar) this.#out.write("\r\u001b[2K");
    this.#bar = false;
  }
}
