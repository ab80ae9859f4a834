import type { AnyKernel } from "./kernel/ir.js";

/** The DEBUG level, and what it adds. 0: nothing; 1: device, leaks, flushes, checks; 2: a line a kernel; 3: fusion; 4: sources; 5: IR. */
const fromEnvironment = Number((globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env?.DEBUG ?? 0);

const state: { level: number; show: ((kernel: AnyKernel) => string) | null } = {
  level: Number.isFinite(fromEnvironment) ? fromEnvironment : 0,
  show: null,
};

/** The level of diagnostic output, 0 to 5: that of the environment variable DEBUG, or the one set last. */
export const debugLevel = (): number => state.level;

/** Sets the DEBUG level from code, in place of the environment variable. */
export function setDebugLevel(level: number): void {
  state.level = level;
}

/** How DEBUG 5 shows kernels; without it, by their keys. The printer is large: entries bring it along, or leave it out. */
export function showKernelsBy(print: (kernel: AnyKernel) => string): void {
  state.show = print;
}
export const shownKernel = (kernel: AnyKernel): string | null => state.show?.(kernel) ?? null;

/** One line on stderr, when the level is reached. */
export function debugLog(level: number, message: () => string): void {
  if (state.level >= level) console.error(message());
}

/** The caller outside the engine, at DEBUG ≥ 1; finding it is too slow for every node otherwise. */
export function creationSite(): string {
  if (state.level < 1) return "";
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  const outside = lines.find((line) => !/[\\/](engine|autograd)[\\/]/.test(line) && line.includes(":"));
  return outside ? outside.trim().replace(/^at /, "") : "";
}
