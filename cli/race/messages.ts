/** What a race and its runners say to each other. Plain data. */
import type { Progress, TrainingRequest } from "../../web/messages.js";

export interface ToRunner {
  readonly request: TrainingRequest;
  readonly dataDir?: string;
}

export type FromRunner =
  | Exclude<Progress, { readonly kind: "step" }>
  /** With the seconds since the start. */
  | (Extract<Progress, { readonly kind: "step" }> & { readonly seconds: number })
  | { readonly kind: "end"; readonly seconds: number }
  | { readonly kind: "error"; readonly message: string };
