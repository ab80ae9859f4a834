/** What a run shows: a progress bar on a terminal, log lines as timm prints them elsewhere. */
import type { EpochProgress } from "../../train/loop.js";
import type { EvalProgress, Measures, Words } from "../../train/task.js";

/** What the reporter writes to; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Three digits, as C's `%#.3g`. */
function threeDigits(value: number): string {
  const text = value.toPrecision(3);
  return text.includes(".") || text.includes("e") ? text : `${text}.`;
}

/** `4.000e-03`, as C prints it. */
const rate = (lr: number): string => lr.toExponential(3).replace(/e([+-])(\d)$/, "e$10$2");

/** Means over the steps since a moment. */
interface Means {
  readonly seconds: number;
  readonly waited: number;
  readonly speed: number;
}

/** timm's line: `Train: 0 [  49/156 ( 32%)]  Loss: 1.23 (1.50)  Time: 0.355s,  180.28/s  (0.355s,  180.28/s)  LR: 1.200e-03  Data: 0.001 (0.001)` */
export function trainLine(progress: EpochProgress, means: Means): string {
  const { epoch, batch, batches, measures, seconds, samples, lr, waited } = progress;
  const percent = Math.round((100 * batch) / batches);
  const at = `[${String(batch - 1).padStart(4)}/${batches} (${String(percent).padStart(3)}%)]`;
  const loss = `Loss: ${threeDigits(measures.loss.last)} (${threeDigits(measures.loss.mean)})`;
  const pace = (step: number, speed: number): string => `${step.toFixed(3)}s, ${speed.toFixed(2).padStart(7)}/s`;
  const time = `Time: ${pace(seconds, samples / seconds)}  (${pace(means.seconds, means.speed)})`;
  return `Train: ${epoch} ${at}  ${loss}  ${time}  LR: ${rate(lr)}  Data: ${waited.toFixed(3)} (${means.waited.toFixed(3)})`;
}

/** How classification speaks of its measures. */
export const accuracyWords: Words = {
  training: (mean) => `acc ${mean("top1").toFixed(1)}%`,
  testing: ({ loss, top1, top5 }) => ({
    line: `Loss: ${loss.toFixed(3).padStart(6)}  Acc@1: ${top1.toFixed(3).padStart(7)}  Acc@5: ${top5.toFixed(3).padStart(7)}`,
    bar: `loss ${loss.toFixed(3)}  acc ${top1.toFixed(1)}%`,
  }),
  result: ({ top1, top5, loss }) => `* Acc@1 ${top1.toFixed(3)} Acc@5 ${top5.toFixed(3)} loss ${loss.toFixed(3)}`,
};

export function evalLine({ batch, batches, measures, seconds }: EvalProgress, words: Words): string {
  const at = `[${String(batch - 1).padStart(4)}/${batches - 1}]`;
  return `Test: ${at}  Time: ${(seconds / batch).toFixed(3)}  ${words.testing(measures).line}`.trimEnd();
}

/** `1:05`, `2:03:04`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A bar of blocks that is filled by the share `done`. */
export const bar = (done: number, width = 16): string => {
  const full = Math.round(width * done);
  return "█".repeat(full) + "░".repeat(width - full);
};

/** What a terminal shows of training, in place of timm's line. `left`: seconds to the end of the run. */
export function trainBar(
  { epoch, batch, batches, measures, lr }: EpochProgress,
  means: Means,
  epochs: number,
  left: number,
  words: Words,
): string {
  const said = words.training((key) => measures.of(key).mean);
  const numbers = `loss ${measures.loss.last.toFixed(3)} (${measures.loss.mean.toFixed(3)})  ${said}`;
  return `${bar(batch / batches)} ${epoch + 1}/${epochs}  ${batch}/${batches}  ${numbers}  ${Math.round(means.speed)} img/s  lr ${Number(lr.toPrecision(3))}  ${duration(left)} left`;
}

export function evalBar({ batch, batches, measures, samples, seconds }: EvalProgress, words: Words): string {
  const left = (seconds / batch) * (batches - batch);
  return `${bar(batch / batches)} test  ${batch}/${batches}  ${words.testing(measures).bar}  ${Math.round(samples / seconds)} img/s  ${duration(left)} left`;
}

/** Prints lines, and between them one bar that is written over. */
export class Reporter {
  readonly #out: Output;
  readonly #interval: number;
  #words: Words;
  #bar = false;
  #seconds = 0;
  #waited = 0;
  #samples = 0;
  #steps = 0;

  /** `interval`: batches between two log lines. */
  constructor(out: Output, interval: number, words: Words = accuracyWords) {
    this.#out = out;
    this.#interval = interval;
    this.#words = words;
  }

  /** From now on it speaks of another task's measures. */
  speak(words: Words): void {
    this.#words = words;
  }

  /** What an evaluation has come to. */
  result(measures: Measures): void {
    this.line(this.#words.result(measures));
  }

  line(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
  }

  /** `epochs`: how many the run has. */
  train(progress: EpochProgress, epochs: number): void {
    const { batch, batches, epoch, seconds, waited, samples } = progress;
    // The first step of all traces and compiles; it says nothing of those that follow.
    if (this.#steps > 0) {
      this.#seconds += seconds;
      this.#waited += waited;
      this.#samples += samples;
    }
    this.#steps++;
    const counted = this.#steps - 1;
    const means: Means =
      counted === 0
        ? { seconds, waited, speed: samples / seconds }
        : { seconds: this.#seconds / counted, waited: this.#waited / counted, speed: this.#samples / this.#seconds };
    const left = ((batches - batch + (epochs - epoch - 1) * batches) * samples) / means.speed;
    this.#show(
      batch,
      batches,
      () => trainLine(progress, means),
      () => trainBar(progress, means, epochs, left, this.#words),
    );
  }

  evaluate(progress: EvalProgress): void {
    this.#show(
      progress.batch,
      progress.batches,
      () => evalLine(progress, this.#words),
      () => evalBar(progress, this.#words),
    );
  }

  #show(batch: number, batches: number, text: () => string, shown: () => string): void {
    if (this.#out.isTTY !== true) {
      if (batch === 1 || batch === batches || batch % this.#interval === 0) this.line(text());
      return;
    }
    this.#clear();
    this.#out.write(shown().slice(0, (this.#out.columns ?? 80) - 1));
    this.#bar = true;
    if (batch === batches) this.line(shown());
  }

  #clear(): void {
    if (this.#bar) this.#out.write("\r\u001b[2K");
    this.#bar = false;
  }
}
