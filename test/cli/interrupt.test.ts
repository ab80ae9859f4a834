/** Runs that are stopped, killed, crowded or out of room: nothing is lost, and what goes on ends as if nothing had been. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../index.js";
import { readModel } from "../../train/checkpoint.js";
import { RunFolder } from "../../train/run/folder.js";
import { lockFolder } from "../../train/run/lock.js";
import { root, source } from "../commands.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-stop-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const dir = (name: string): string => join(folder, name);

const small = ["--dataset", "synthetic", "--train-limit", "48", "--val-limit", "16", "-b", "8", "--drop-path", "0.1"];
const settings = "--epochs 2 --model-ema --recovery-interval 1 --log-interval 1 --mixup 0.8 --device".split(" ");
/** On threads: results must not depend on which of them was quicker. */
const flags = [...small, ...settings, "wasm"];

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

type Watch = (output: string, child: ChildProcess) => void;

/** Runs the command; `watch` sees its output as it comes. No file that it writes may be larger than `blocks` of 512 bytes. */
function command(argv: readonly string[], watch: Watch = () => undefined, blocks: number | null = null): Promise<Ended> {
  return new Promise((resolve) => {
    const node = [process.execPath, ...source("cli/main.ts"), ...argv];
    const limited = ["/bin/sh", "-c", `ulimit -f ${blocks} && exec "$@"`, "sh", ...node];
    const [file, ...args] = blocks === null ? node : limited;
    const child = spawn(file, args, { cwd: root });
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

const compared = ["last.safetensors", "model_best.safetensors", "summary.csv", "log.txt"];
const contents = (name: string, files = compared): string[] => files.map((file) => readFileSync(join(dir(name), file)).toString("base64"));

/** A state takes some seven megabytes; a disk with room for one, in blocks of 512 bytes. */
const little = 2048;
/** How long the whole run goes on after its first state was saved, in milliseconds. */
let lasts = 0;
/** Called once where the output first says `text`. */
const once = (text: string, act: (child: ChildProcess) => void): Watch => {
  let done = false;
  return (output, child) => {
    if (!done && output.includes(text)) {
      done = true;
      act(child);
    }
  };
};
const begun = "images of 1 × 32 × 32 an epoch";

beforeAll(async () => {
  let start = 0;
  const watch = once(begun, () => {
    start = performance.now();
  });
  const { code, output } = await command(["train", ...flags, "--output", dir("whole")], watch);
  expect(code, output).toBe(0);
  lasts = performance.now() - start;
}, 120_000);

describe("crabro train", () => {
  it("saves itself on Ctrl-C, says how to go on, keeps that where the disk is full, and goes on when there is room", {
    timeout: 120_000,
  }, async () => {
    const interrupt = once("Train: 0 [   2/6", (child) => child.kill("SIGINT"));
    const stopped = await command(["train", ...flags, "--output", dir("stopped")], interrupt);
    expect(stopped.code).toBe(130);
    expect(stopped.output).toMatch(/stopped in epoch \d, after batch \d of 6; go on with: crabro train --resume .*stopped/);
    expect(existsSync(join(dir("stopped"), ".lock"))).toBe(false);

    const before = contents("stopped", ["last.safetensors"]);
    const full = await command(["train", "--resume", dir("stopped")], undefined, little);
    expect(full.code).toBe(2);
    expect(full.output).toMatch(/crabro: cannot write .*last\.safetensors: EFBIG: .*; what was there before is as it was/);
    expect(contents("stopped", ["last.safetensors"])).toEqual(before);

    expect(await command(["train", "--resume", dir("stopped")])).toMatchObject({ code: 0 });
    expect(contents("stopped")).toEqual(contents("whole"));
  });

  // KILLS=20 is what npm run test:full asks for.
  const kills = Number(process.env.KILLS ?? 1);
  it(`goes on after SIGKILL at ${kills} random moments, and ends in the same bytes each time`, { timeout: 60_000 * kills }, async () => {
    for (let i = 0; i < kills; i++) {
      const after = Math.random() * lasts;
      const name = `killed-${i}`;
      const said = `killed ${after.toFixed(0)} ms after its beginning, of ${lasts.toFixed(0)}`;
      const kill = once(begun, (child) => setTimeout(() => child.kill("SIGKILL"), after));
      const killed = await command(["train", ...flags, "--output", dir(name)], kill);
      // One that was quicker than its killer has ended well.
      expect([null, 0], said).toContain(killed.code);
      const last = join(dir(name), "last.safetensors");
      if (existsSync(last)) expect(readModel(last).card?.model, said).toBe("hornet_micro_7x7");
      const resumed = await command(["train", ...flags, "--output", dir(name)]);
      expect(resumed.code, `${said}: ${resumed.output}`).toBe(0);
      expect(
        contents(name).map((file, at) => file === contents("whole")[at]),
        said,
      ).toEqual(compared.map(() => true));
      expect(
        readdirSync(dir(name)).filter((file) => file.startsWith(".")),
        said,
      ).toEqual([]);
      rmSync(dir(name), { recursive: true });
    }
  });

  it("says so where there is no room for a beginning", { timeout: 60_000 }, async () => {
    const first = await command(["train", ...flags, "--output", dir("full")], undefined, little);
    expect(first.code).toBe(2);
    expect(first.output).toMatch(/cannot write .*last\.safetensors: EFBIG/);
    expect(readdirSync(dir("full"))).toEqual(["args.json"]);
  });

  it("leaves a folder alone that another process trains in", { timeout: 60_000 }, async () => {
    const run = new RunFolder(dir("shared"));
    try {
      const second = await command(["train", ...flags, "--output", dir("shared")]);
      expect(second).toMatchObject({ code: 2 });
      expect(second.output).toMatch(/crabro: .*shared is in use by process \d+ on .*; wait for it, or take another --output/);
      expect(readdirSync(dir("shared"))).toEqual([".lock"]);
    } finally {
      run.close();
    }
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
    chmodSync(folder, 0o755);
    // The superuser may write anywhere, and becomes nobody for a moment.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      for (const path of [dir("readonly"), join(dir("readonly"), "run")])
        expect(() => new RunFolder(path)).toThrow(/^run: cannot write to .*: EACCES: permission denied.*; take another --output$/);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
    expect(readdirSync(dir("readonly"))).toEqual([]);
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
