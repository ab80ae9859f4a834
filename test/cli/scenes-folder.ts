/** What tests of the tasks on scenes begin with: composed scenes, a classifier's weights, and an ear for what the command prints. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { main } from "../../cli/commands/program.js";

export interface ScenesFolder {
  /** Eight pictures of 64 × 64 to learn from, four to measure with. */
  readonly scenes: string;
  /** Weights of a classifier. */
  readonly classifier: string;
  dir(...names: string[]): string;
  /** All that was printed since the test began, or since `forget`. */
  output(): string;
  forget(): void;
  /** What `crabro train` says where it refuses. */
  refusal(...argv: string[]): Promise<string>;
}

/** To be called once a file, outside of its tests. */
export function scenesFolder(name: string): ScenesFolder {
  const folder = mkdtempSync(join(tmpdir(), `crabro-${name}-`));
  const dir = (...names: string[]): string => join(folder, ...names);
  let output = "";
  const listen = (): void => {
    output = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      output += text;
      return true;
    });
    vi.spyOn(console, "error").mockImplementation((text) => {
      output += `${text}\n`;
    });
  };
  beforeAll(async () => {
    listen();
    expect(await main(["data", "digits-scenes", "--to", dir("scenes"), "--train", "8", "--val", "4", "--size", "64"])).toBe(0);
    const few = ["--train-limit", "16", "--val-limit", "16", "-b", "16", "--epochs", "1", "--device", "wasm"];
    expect(await main(["train", "--dataset", "synthetic", "--in-chans", "3", ...few, "--output", dir("classifier")])).toBe(0);
  });
  beforeEach(listen);
  afterEach(() => {
    vi.restoreAllMocks();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return {
    scenes: dir("scenes"),
    classifier: dir("classifier", "model_best.safetensors"),
    dir,
    output: () => output,
    forget: () => {
      output = "";
    },
    refusal: async (...argv) => {
      output = "";
      expect(await main(["train", ...argv])).toBe(2);
      return output.trim();
    },
  };
}

/** A page that says all it has to say, and loads nothing. The bytes of its pictures may spell anything. */
export function expectWhole(html: string): void {
  expect(html.replace(/"data:[^"]*"/g, '"data:"')).not.toMatch(/NaN|undefined|(src|href)="(?!data:)/);
}
