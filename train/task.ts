/** What is trained, and how it is measured: all that loop, run folder, log and report know of a task. */
import type { Anomaly } from "../autograd/anomaly.js";
import type { Module } from "../models/nn/module.js";
import type { ModelCard } from "./checkpoint.js";
import type { ModelEma } from "./ema.js";
import type { BadStep } from "./loop.js";
import type { Optimizer } from "./optim/optimizer.js";
import type { Columns } from "./report/history.js";

/** Measures by their names. */
export type Measures = Readonly<Record<string, number>>;

/** Batches of an epoch; which they are depends on the epoch's number alone. */
export interface BatchSource<B> {
  /** Batches an epoch. */
  readonly length: number;
  /** Samples an epoch. */
  readonly samples: number;
  /** Why samples could not be read, each once. */
  readonly broken: ReadonlySet<string>;
  /** From batch `from` on. */
  epoch(epoch?: number, from?: number): AsyncGenerator<B, void, undefined>;
  close(): Promise<void>;
}

/** What a step has measured. */
export interface StepOutcome {
  /** Mean over the samples. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly samples: number;
  /** False where loss or gradients were no finite numbers; with `guard` nothing has changed then. */
  readonly finite: boolean;
  /** What else the step has measured, as means over the samples. */
  readonly measures: Measures;
}

/** A step over one batch or, for accumulation, several; gives numbers. */
export type TrainingStep<B> = (batches: readonly B[]) => Promise<StepOutcome>;

/** How far an evaluation is, and what it has measured so far. */
export interface EvalProgress {
  readonly batch: number;
  readonly batches: number;
  /** Since the evaluation began. */
  readonly seconds: number;
  readonly samples: number;
  /** Of what was seen so far; none where they can only be told at the end. */
  readonly measures: Measures;
}

/** Who listens to an evaluation. */
export interface EvaluationHooks {
  readonly onBatch?: (progress: EvalProgress) => void;
  /** Evaluation ends with an AbortError when it is aborted. */
  readonly signal?: AbortSignal;
  /** Whether `sections` is to show this evaluation. */
  readonly shown: boolean;
}

/** How a task speaks of its measures. */
export interface Words {
  /** For a bar on a terminal, of a step's measures. */
  readonly training: (means: (key: string) => number) => string;
  /** For log lines and bars, of an evaluation under way. */
  readonly testing: (measures: Measures) => { readonly line: string; readonly bar: string };
  /** The line that an evaluation ends with. */
  readonly result: (measures: Measures) => string;
}

/** Everything of one task: network, data, step, evaluation, words, report. */
export interface Task<B> {
  /** Of the report. */
  readonly title: string;
  /** What it trains on, as a run begins with: "photos: 100 images of 3 × 224 × 224 an epoch". */
  readonly opening: string;
  /** Of the report: name and value. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly model: Module;
  readonly optimizer: Optimizer;
  /** The average of the weights, where it is wanted. */
  readonly ema: ModelEma | null;
  readonly loader: BatchSource<B>;
  /** One update of the weights from one batch or, for accumulation, several. */
  step(batches: readonly B[]): Promise<StepOutcome>;
  readonly columns: Columns;
  readonly words: Words;
  /** Measures the model, or the average of its weights. */
  evaluate(which: "model" | "average", hooks: EvaluationHooks): Promise<Measures>;
  /** Parts of the report, as HTML, about the last evaluation that was `shown`. */
  sections(): Promise<string>;
  /** Why samples could not be read, of training and evaluation. */
  broken(): readonly string[];
  /** What model files say of the model. */
  card(): Omit<ModelCard, "epoch" | "top1">;
  /** Which operation has made a step's numbers no numbers; null where that cannot be told. */
  locate(bad: BadStep<B>): Promise<Anomaly | null>;
  close(): Promise<void>;
}
