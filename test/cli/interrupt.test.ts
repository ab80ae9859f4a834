/** Runs that are stopped, killed, crowded or out of room: nothing is lost, and what goes on ends as if nothing had been. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../index.js";
import { readModel } from "../../train/checkpoint.js";
import { RunFolder } from "../../train/run/folder.js";
import { lockFolder } from "../../train/run/lock.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-stop-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const dir = (name: string): string => join(folder, name);

const root = fileURLToPath(new URL("../../", import.meta.url));
const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));
const small = ["--dataset", "synthetic", "--train-limit", "48", "--val-limit", "16", "-b", "8", "--drop-path", "0.1"];
const flags = [
  ...small,
  "--epochs",
  "2",
  "--model-ema",
  "--recovery-interval",
  "1",
  "--log-interval",
  "1",
  "--mixup",
  "0.8",
  "--device",
  "cpu",
];

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs the command; `watch` sees its output as it comes. */
function command(argv: readonly string[], watch: (output: string, child: ChildProcess) => void = () => undefined): Promise<Ended> {
  return new Promise((resolve) => {
    // Without the launcher in between, so that signals reach the command itself.
    const child = spawn(process.execPath, ["--import", tsxLoader, join(root, "cli/main.ts"), ...argv], { cwd: root });
    let output = "";
    const see = (data: Buffer): void => {
      output += data.toString();
      watch(output, child);
    };
    child.stdout.on("data", see);
    child.stderr.on("data", see);
    child.on("exit", (code) => resolve({ code, output }));
  });
}
const tsxLoader = new URL("./loader.mjs", `file://${tsx}`).href;

const compared = ["last.safetensors", "model_best.safetensors", "summary.csv", "log.txt"];
const contents = (name: string): string[] => compared.map((file) => readFileSync(join(dir(name), file)).toString("base64"));

beforeAll(async () => {
  const { code, output } = await command(["train", ...flags, "--output", dir("whole")]);
  expect(code, output).toBe(0);
}, 120_000);

describe("crabro train", () => {
  it("saves itself on Ctrl-C, says how to go on, and does", { timeout: 120_000 }, async () => {
    let sent = false;
    const stopped = await command(["train", ...flags, "--output", dir("stopped")], (output, child) => {
      if (!sent && output.includes("Train: 0 [   2/6")) sent = child.kill("SIGINT");
    });
    expect(stopped.code).toBe(130);
    expect(stopped.output).toMatch(/stopped in epoch \d, after batch \d of 6; go on with: crabro train --resume .*stopped/);
    expect(existsSync(join(dir("stopped"), ".lock"))).toBe(false);
    expect(await command(["train", "--resume", dir("stopped")])).toMatchObject({ code: 0 });
    expect(contents("stopped")).toEqual(contents("whole"));
  });

  it("goes on after SIGKILL at any moment, and ends in the same bytes", { timeout: 240_000 }, async () => {
    // Killed soon after each of these lines, at a moment that the machine decides; KILLS=20 tries more of them.
    const kills = Number(process.env.KILLS ?? 2);
    const after = ["Train: 0 [   3/6", "Test: [   0/1]", "to ", "Train: 1 [   1/6"];
    for (let i = 0; i < kills; i++) {
      const killed = await command(["train", ...flags, "--output", dir("killed")], (output, child) => {
        if (output.includes(after[i % after.length])) setTimeout(() => child.kill("SIGKILL"), (i * 37) % 150);
      });
      // One that was quicker than its killer has ended well.
      expect([null, 0]).toContain(killed.code);
      const last = join(dir("killed"), "last.safetensors");
      if (existsSync(last)) expect(readModel(last).card?.model).toBe("hornet_micro_7x7");
    }
    expect(await command(["train", ...flags, "--output", dir("killed")])).toMatchObject({ code: 0 });
    expect(contents("killed")).toEqual(contents("whole"));
    expect(readdirSync(dir("killed")).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("a run folder", () => {
  it("has one process at a time; a dead one's lock is taken over", () => {
    const run = new RunFolder(dir("locked"));
    expect(() => new RunFolder(dir("locked"))).toThrow(/locked is in use by process \d+ on .*; wait for it, or take another --output/);
    run.close();
    const lock = join(dir("locked"), ".lock");
    const ours = JSON.parse(readLockOf(dir("locked"))) as { pid: number; host: string; began: string | null };
    for (const stale of [JSON.stringify({ ...ours, pid: 2 ** 22 + 1 }), JSON.stringify({ ...ours, began: "1" }), ""]) {
      writeFileSync(lock, stale);
      new RunFolder(dir("locked")).close();
    }
    writeFileSync(lock, JSON.stringify({ ...ours, host: "elsewhere" }));
    expect(() => new RunFolder(dir("locked"))).toThrow("on elsewhere");
    expect(readdirSync(dir("locked"))).toEqual([".lock"]);
  });

  it("that cannot be written to is refused before anything is computed", async () => {
    writeFileSync(dir("file"), "");
    expect(() => new RunFolder(join(dir("file"), "run"))).toThrow(/^run: cannot write to .*run: E\w+.*; take another --output$/);
    mkdirSync(dir("readonly"));
    chmodSync(dir("readonly"), 0o500);
    // The superuser may write anywhere.
    if (process.getuid?.() !== 0) expect(() => new RunFolder(dir("readonly"))).toThrow("cannot write to");
  });

  it("is cleared of what a killed writer has left", () => {
    mkdirSync(dir("left"));
    writeFileSync(join(dir("left"), ".last.safetensors.123.tmp"), "half");
    new RunFolder(dir("left")).close();
    expect(readdirSync(dir("left"))).toEqual([]);
  });
});

function readLockOf(path: string): string {
  const unlock = lockFolder(path);
  try {
    return readFileSync(join(path, ".lock"), "utf8");
  } finally {
    unlock();
  }
}
