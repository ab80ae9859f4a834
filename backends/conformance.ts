/**
 * One suite that every backend passes: each case builds kernels, runs them through the contract, and compares with the interpreter of
 * the IR. Inside a test runner call {@link runBackendTests}; elsewhere {@link checkBackend}.
 */
import type { Backend } from "./backend.js";
import { deviceCases, finalCases } from "./conformance-device.js";
import { fuzzCases } from "./conformance-fuzz.js";
import type { Case } from "./conformance-kit.js";
import { loopCases } from "./conformance-loops.js";
import { scalarCases } from "./conformance-scalars.js";
import { templateCases } from "./conformance-templates.js";

export type { Case } from "./conformance-kit.js";

export interface Skip {
  /** Skips the cases whose name contains this. */
  readonly test: string;
  readonly reason: string;
}

/** Cases of what a backend says that it does not have. */
export function lacking({ name, limits }: Backend): readonly Skip[] {
  const skips: Skip[] = [];
  if (!limits.dtypes.includes("float64")) skips.push({ test: "float64", reason: `${name} has no float64` });
  if (limits.maxExactInteger < 2 ** 31 - 1) {
    const reason = `${name} holds no integers beyond ±${limits.maxExactInteger}`;
    skips.push(...["scalar threefry", "int32 wraps", "int32 of 0"].map((test) => ({ test, reason })));
  }
  return skips;
}

export interface BackendTestOptions {
  readonly name: string;
  readonly create: () => Backend | Promise<Backend>;
  readonly skip: readonly Skip[];
  /** Which cases to run; all by default. */
  readonly select?: (name: string) => boolean;
}

/** What is used of a test runner; vitest's exports fit. */
export interface TestRunner {
  describe(name: string, body: () => void): void;
  it: { (name: string, body: () => Promise<void>): void; skip(name: string, body?: () => Promise<void>): void };
  beforeAll(action: () => Promise<void>): void;
  afterAll(action: () => Promise<void>): void;
}

export interface CaseResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** The error's message, or the reason for skipping. */
  readonly detail: string;
}

/** Cases that share one backend. */
export const sharedCases: readonly Case[] = [...deviceCases, ...scalarCases, ...loopCases, ...templateCases, ...fuzzCases];
/** Every case, those included that destroy their backend. */
export const allCases: readonly Case[] = [...sharedCases, ...finalCases];

const reasonToSkip = (name: string, skip: readonly Skip[]): string | null => skip.find(({ test }) => name.includes(test))?.reason ?? null;

/** A skip that matches nothing hides a renamed case. */
function checkSkips(skip: readonly Skip[]): void {
  for (const { test } of skip) {
    if (!allCases.some(({ name }) => name.includes(test))) throw new Error(`no conformance case is called "${test}"`);
  }
}

/** Declares the suite in a test runner: `runBackendTests({ name, create, skip }, vitest)` with `import * as vitest from "vitest"`. */
export function runBackendTests({ name, create, skip }: BackendTestOptions, { describe, it, beforeAll, afterAll }: TestRunner): void {
  checkSkips(skip);
  describe(`backend ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await create();
    });
    afterAll(async () => backend.destroy());
    const declare = (test: Case, body: () => Promise<void>): void => {
      const reason = reasonToSkip(test.name, skip);
      if (reason === null) it(test.name, body);
      else it.skip(`${test.name} (${reason})`);
    };
    for (const test of sharedCases) declare(test, () => test.run(backend));
    for (const test of finalCases) declare(test, async () => test.run(await create()));
  });
}

/** Runs the suite without a test runner; `onResult` hears of each case as it ends. */
export async function checkBackend(
  { create, skip, select = () => true }: BackendTestOptions,
  onResult: (result: CaseResult) => void = () => {},
): Promise<readonly CaseResult[]> {
  checkSkips(skip);
  const shared = await create();
  const results: CaseResult[] = [];
  for (const test of allCases.filter(({ name }) => select(name))) {
    const result = await outcomeOf(test, skip, () => (finalCases.includes(test) ? create() : shared));
    results.push(result);
    onResult(result);
  }
  shared.destroy();
  return results;
}

async function outcomeOf(test: Case, skip: readonly Skip[], backend: () => Backend | Promise<Backend>): Promise<CaseResult> {
  const { name } = test;
  const reason = reasonToSkip(name, skip);
  if (reason !== null) return { name, outcome: "skipped", detail: reason };
  try {
    await test.run(await backend());
    return { name, outcome: "passed", detail: "" };
  } catch (error) {
    return { name, outcome: "failed", detail: error instanceof Error ? error.message : String(error) };
  }
}
