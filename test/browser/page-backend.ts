/** The page of `gpujs.test.ts`: the backend suite on a device. */
import { type CaseResult, checkBackend, lacking } from "../../backends/conformance.js";
import { device } from "../../index.js";

export interface SuiteRequest {
  readonly device: string;
  /** Every so many cases, from `first` on. */
  readonly every: number;
  readonly first: number;
}

export interface SuiteResult {
  readonly describe: string;
  readonly results: readonly CaseResult[];
}

async function run({ device: name, every, first }: SuiteRequest): Promise<SuiteResult> {
  const opened = await device(name);
  const skip = [...lacking(opened.backend), { test: "template ", reason: "a gpu.js kernel returns one value a thread" }];
  const description = opened.describe();
  await opened.close();
  let count = 0;
  const select = (): boolean => count++ % every === first;
  const results = await checkBackend({ name, create: async () => (await device(name)).backend, skip, select });
  return { describe: description, results };
}

Object.assign(globalThis, { run });
