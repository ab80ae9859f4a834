/** What the page and the worker that trains say to each other. Plain data. */

export interface TrainingRequest {
  /** As in `device(name)`. */
  readonly device: string;
  readonly deviceOptions?: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly epochs: number;
  /** How many of the digits that were fetched. */
  readonly trainLimit: number;
  readonly testLimit: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly seed: number;
}

/** What `train` tells while it goes on. */
export type Progress =
  /** On which device, and what is trained. */
  | { readonly kind: "start"; readonly device: string; readonly parameters: number; readonly steps: number }
  | {
      readonly kind: "step";
      /** Steps done. */
      readonly step: number;
      /** Of this batch. */
      readonly loss: number;
      /** Of this batch, per cent. */
      readonly accuracy: number;
      readonly lr: number;
      readonly imagesPerSecond: number;
    }
  /** On the test digits, after so many steps; per cent. */
  | { readonly kind: "evaluation"; readonly step: number; readonly accuracy: number; readonly loss: number };

export type ToWorker = { readonly kind: "train"; readonly request: TrainingRequest } | { readonly kind: "stop" };

export type FromWorker =
  | Progress
  | { readonly kind: "fetched"; readonly bytes: number; readonly total: number }
  | { readonly kind: "end"; readonly stopped: boolean; readonly seconds: number }
  | { readonly kind: "error"; readonly message: string };
