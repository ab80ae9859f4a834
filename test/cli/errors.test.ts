/** What a user gets wrong is one line on stderr and status 2. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { main } from "../../cli/commands/program.js";
import { fromHost } from "../../index.js";
import { createModel } from "../../models/index.js";
import { saveModel, saveTensors, writeAtomically } from "../../train/checkpoint.js";
import { source } from "../commands.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let errors: string[] = [];
let output = "";
beforeEach(() => {
  errors = [];
  output = "";
  vi.spyOn(console, "error").mockImplementation((...args: unknown[]) => void errors.push(args.join(" ")));
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function refused(...argv: string[]): Promise<string> {
  const status = await main(argv);
  expect([status, errors.length], errors.join("\n")).toEqual([2, 1]);
  expect(errors[0]).not.toMatch(/\n|^\s+at /);
  return errors[0];
}

describe("flags", () => {
  it("that are unknown", async () => {
    expect(await refused("train", "--epoch", "3")).toBe("crabro: unknown option '--epoch' (Did you mean --epochs?)");
  });
  it("with values that are none", async () => {
    expect(await refused("train", "--lr", "fast")).toBe("crabro: option '--lr <rate>' argument 'fast' is invalid. expected a number.");
    expect(await refused2("train", "--batch_size=0")).toMatch("argument '0' is invalid. expected a whole number from 1 up.");
    expect(await refused2("train", "--smoothing", "1")).toMatch("expected a number from 0 to below 1.");
    expect(await refused2("train", "--opt", "lion")).toMatch("argument 'lion' is invalid. Allowed choices are adamw, sgd.");
    expect(await refused2("train", "--epochs")).toMatch("option '--epochs <n>' argument missing");
  });
  it("that are required", async () => {
    expect(await refused("eval")).toBe("crabro: required option '--checkpoint <file>' not specified");
  });
  it("and commands", async () => {
    expect(await refused("trian")).toBe("crabro: unknown command 'trian' (Did you mean train?)");
  });

  async function refused2(...argv: string[]): Promise<string> {
    errors = [];
    return refused(...argv);
  }
});

describe("help", () => {
  it("lists flags with defaults, and examples", async () => {
    expect(await main(["train", "--help"])).toBe(0);
    expect(output).toContain("--weight-decay <d>");
    expect(output).toMatch(/\(default:\s+0\.05\)/);
    expect(output).toContain("Examples:");
    expect(errors).toEqual([]);
  });
  it("has examples for every command", async () => {
    await main([]);
    const commands = [...output.matchAll(/^ {2}([a-z]+)(?= [[<])/gm)].map(([, name]) => name).filter((name) => name !== "help");
    expect(commands).toEqual(expect.arrayContaining(["train", "eval", "predict", "summary", "explain", "devices", "doctor", "convert"]));
    for (const name of commands) {
      output = "";
      expect(await main([name, "--help"])).toBe(0);
      expect(output, name).toMatch(new RegExp(`Examples:\\n {2}(.* && )?crabro ${name}`));
    }
  });
  it("comes without a command", async () => {
    expect(await main([])).toBe(0);
    expect(output).toContain("Usage: crabro");
  });
  it("may be read in part", async () => {
    const child = spawn(process.execPath, [...source("cli/main.ts"), "train", "--help"]);
    let said = "";
    child.stderr.on("data", (text) => {
      said += text;
    });
    child.stdout.destroy();
    const [status] = await once(child, "close");
    expect([status, said]).toEqual([128 + constants.signals.SIGPIPE, ""]);
  });
  it("tells the version", async () => {
    expect(await main(["--version"])).toBe(0);
    expect(output).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("names", () => {
  it("of models", async () => {
    expect(await refused("train", "--model", "hornet_micro_7x")).toMatch(
      /^crabro: no model is named hornet_micro_7x; did you mean hornet_micro_7x7/,
    );
  });
  it("of devices", async () => {
    expect(await refused("train", "--dataset", "synthetic", "--device", "tpu")).toMatch(
      /^crabro: tpu: there is no device of this name; known are /,
    );
  });
  it("of data folders", async () => {
    expect(await refused("train", "--data-dir", join(folder, "none"))).toBe(
      `crabro: there is no folder ${join(folder, "none")}; name the one that holds the IDX files (train-images-idx3-ubyte, …)`,
    );
  });
  it("of sizes that do not fit the data", async () => {
    expect(await refused("train", "--num-classes", "3", "--train-limit", "9")).toBe(
      "crabro: MNIST train has 10 classes, hornet_micro_7x7 tells 3 apart; pass --num-classes 10",
    );
  });
});

describe("checkpoints", () => {
  const evaluate = (file: string, ...more: string[]) =>
    refused("eval", "--checkpoint", join(folder, file), "--dataset", "synthetic", ...more);

  it("that are not there", async () => {
    expect(await evaluate("none.safetensors")).toMatch(/^crabro: cannot read .*none\.safetensors: ENOENT/);
  });

  it("that cannot be fetched", async () => {
    const address = "http://127.0.0.1:9/weights.pth";
    expect(await refused("eval", "--checkpoint", address)).toMatch(/cannot download http.*curl -L -o weights .* in place of the address/);
    errors = [];
    expect(await refused("predict", "digit.png", "--checkpoint", address)).toContain(`cannot download ${address}`);
  });

  it("that are cut off", async () => {
    const model = createModel("hornet_micro_7x7");
    const path = join(folder, "whole.safetensors");
    await saveModel(path, model.stateDict(), {
      model: "hornet_micro_7x7",
      numClasses: 10,
      inChans: 1,
      inputSize: 32,
      epoch: 0,
      top1: null,
    });
    const { readFileSync } = await import("node:fs");
    writeFileSync(join(folder, "cut.safetensors"), readFileSync(path).subarray(0, 100_000));
    expect(await evaluate("cut.safetensors")).toMatch(/cut\.safetensors: it is not a whole safetensors file: .* cut off/);
  });

  it("that are no safetensors, or of something else", async () => {
    writeFileSync(join(folder, "text.safetensors"), "PK\u0003\u0004 this is a zip file, or says so");
    expect(await evaluate("text.safetensors")).toMatch(/text\.safetensors: there is no zip directory at its end/);
    errors = [];
    const entry = [["weight", fromHost(new Float32Array(2), [2], "float32")]] as const;
    await saveTensors(join(folder, "foreign.safetensors"), entry, { author: "someone" });
    expect(await evaluate("foreign.safetensors")).toBe(
      `crabro: ${join(folder, "foreign.safetensors")} does not name its network; pass --model`,
    );
    errors = [];
    expect(await evaluate("foreign.safetensors", "--model", "hornet_micro_7x7")).toMatch(
      /foreign\.safetensors does not fit hornet_micro_7x7: the entries do not fit HorNet: missing: downsample_layers\.0\.0\.weight, .* and \d+ more; unexpected: weight$/,
    );
  });

  it("are written whole or not at all", () => {
    const inside = join(folder, "atomic");
    writeAtomically(join(inside, "a.bin"), Uint8Array.of(1, 2, 3));
    expect(() => writeAtomically(join(inside, "a.bin", "b"), Uint8Array.of(1))).toThrow();
    expect(readdirSync(inside)).toEqual(["a.bin"]);
  });
});
