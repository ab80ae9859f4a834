/** Checkpoint files: those that are right must load to the stated values, those that are broken or hostile must be refused with a reason. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { OpError } from "../engine/errors.js";
import { HorNet, nn } from "../models/index.js";
import { readWeights } from "../models/node.js";
import { type StoredTensor, toTypedArray } from "../models/weights/stored.js";
import { Verdict } from "./compare.js";
import { fillEntry } from "./fill.js";
import { conclude, type Outcome, oneLine } from "./outcome.js";

export interface FileCase {
  readonly refuse?: boolean;
  readonly config?: {
    readonly depths: readonly number[];
    readonly base_dim: number;
    readonly in_chans: number;
    readonly num_classes: number;
  };
  /** Where the state lies; "" for the file itself. */
  readonly at?: string;
  readonly entries?: number;
  readonly dtype?: string;
  /** "fill", "fill rounded to float16", or values by name. */
  readonly values?: string | Readonly<Record<string, unknown>>;
  readonly also?: string;
  readonly missing?: readonly string[];
  readonly unexpected?: readonly string[];
  readonly mismatched?: readonly string[];
}

/** A refusal must come within this time, and take no more memory than this above the start. */
const refusalSeconds = 1;
const refusalBytes = 100e6;

export function runFileCase(folder: string, file: string, test: FileCase): Outcome {
  const verdict = new Verdict();
  const path = join(folder, file);
  if (test.refuse === true) checkRefusal(path, file, verdict);
  else {
    try {
      if (typeof test.values === "string") checkNetwork(path, test, verdict);
      else checkTensors(readWeights(path, { at: test.at }).tensors, test.values ?? {}, verdict);
    } catch (error) {
      verdict.fail(file, oneLine(error));
    }
  }
  for (const place of [folder, process.cwd()]) {
    if (existsSync(join(place, "PWNED"))) verdict.fail(file, `the pickle ran: there is a file PWNED in ${place}`);
  }
  return conclude(verdict);
}

function checkRefusal(path: string, file: string, verdict: Verdict): void {
  const { rss } = process.memoryUsage();
  const start = performance.now();
  try {
    readWeights(path);
    verdict.fail(file, "was read, but must be refused");
  } catch (error) {
    if (!(error instanceof OpError)) verdict.fail(file, `threw ${oneLine(error)}, which is no error of ours`);
    else if (!error.message.includes(file)) verdict.fail(file, `the error does not name the file: ${oneLine(error)}`);
  }
  const seconds = (performance.now() - start) / 1000;
  const bytes = process.memoryUsage().rss - rss;
  if (seconds > refusalSeconds) verdict.fail(file, `was refused only after ${seconds.toFixed(1)} s`);
  if (bytes > refusalBytes) verdict.fail(file, `took ${(bytes / 1e6).toFixed(0)} MB to be refused`);
}

/** The state of a network, filled. */
function checkNetwork(path: string, test: FileCase, verdict: Verdict): void {
  const { tensors } = readWeights(path, { at: test.at });
  const { depths = [], base_dim: baseDim = 0, in_chans: inChans = 0, num_classes: numClasses = 0 } = test.config ?? {};
  const network = nn.buildWith({ meta: true }, () => new HorNet({ depths, baseDim, inChans, numClasses }));
  const { missing, unexpected, mismatched } = network.loadStateDict(tensors, { strict: false });
  const reported = { missing, unexpected, mismatched: mismatched.map(({ name }) => name) };
  for (const key of ["missing", "unexpected", "mismatched"] as const) {
    const want = test[key] ?? [];
    if (reported[key].join() !== want.join()) verdict.fail(key, `${reported[key].join() || "nothing"}, want ${want.join() || "nothing"}`);
  }
  if (tensors.size !== test.entries) verdict.fail("entries", `${tensors.size}, want ${test.entries}`);
  const half = test.values === "fill rounded to float16";
  checkFilled(tensors, test.dtype, (got, want) => (half ? isNearestHalf(got, want) : got === want), verdict);
  if (test.also?.includes("model_ema holds half of each value")) {
    checkFilled(readWeights(path, { at: "model_ema" }).tensors, test.dtype, (got, want) => got === want / 2, verdict);
  }
}

function checkFilled(
  tensors: ReadonlyMap<string, StoredTensor>,
  dtype: string | undefined,
  right: (got: number, want: number) => boolean,
  verdict: Verdict,
): void {
  for (const [name, stored] of tensors) {
    if (stored.dtype !== dtype) verdict.fail(name, `has dtype ${stored.dtype}, want ${dtype}`);
    const got = toTypedArray(stored, "float32");
    const want = fillEntry(name, stored.shape);
    const at = got.findIndex((value, i) => !right(value, want[i]));
    if (at >= 0) verdict.fail(name, `element ${at} is ${got[at]}, the fill is ${want[at]}`);
  }
}

/** Whether a value is a multiple of float16's last place near `want`, and no further from it than half of that. */
function isNearestHalf(got: number, want: number): boolean {
  const place = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(want) || 1)), -14) - 10);
  return Number.isInteger(got / place) && Math.abs(got - want) <= place / 2;
}

/** Tensors of every kind, by name: nested lists of values, or what they are in words. */
function checkTensors(tensors: ReadonlyMap<string, StoredTensor>, values: Readonly<Record<string, unknown>>, verdict: Verdict): void {
  const names = [...tensors.keys()].join();
  if (names !== Object.keys(values).join()) verdict.fail("names", `${names}, want ${Object.keys(values).join()}`);
  for (const [name, described] of Object.entries(values)) {
    const stored = tensors.get(name);
    if (stored === undefined) continue;
    const { shape, data } = expected(described);
    const got = [...numbers(stored)];
    if (stored.shape.join() !== shape.join()) verdict.fail(name, `has shape ${stored.shape.join()}, want ${shape.join()}`);
    if (got.join() !== data.join()) verdict.fail(name, `is ${got.join()}, want ${data.join()}`);
  }
}

function expected(described: unknown): { readonly shape: readonly number[]; readonly data: readonly number[] } {
  const count = Array.from({ length: 24 }, (_, i) => i);
  if (described === "0..23 as [4,6]") return { shape: [4, 6], data: count };
  if (typeof described === "string" && described.startsWith("its transpose"))
    return { shape: [6, 4], data: count.map((i) => (i % 4) * 6 + Math.floor(i / 4)) };
  if (described === "shape [0,4]") return { shape: [0, 4], data: [] };
  const shape: number[] = [];
  for (let level = described; Array.isArray(level); level = level[0]) shape.push(level.length);
  return { shape, data: [described].flat(8).map(Number) };
}

/** The elements; 64-bit integers beyond the engine's are read by hand. */
function numbers(stored: StoredTensor): ArrayLike<number> & Iterable<number> {
  if (stored.dtype !== "I64") return toTypedArray(stored, "float64");
  const { buffer, byteOffset, byteLength } = stored.bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Array.from({ length: byteLength / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
}
