/** What a loader and its workers say to each other. */
import type { BatchOrder, HostBatch } from "./batch.js";

export interface Task {
  readonly id: number;
  readonly order: BatchOrder;
}

export type Answer =
  | { readonly id: number; readonly batch: HostBatch }
  /** `op` is null for errors that are no OpError. */
  | { readonly id: number; readonly error: { readonly op: string | null; readonly message: string; readonly stack: string } };
