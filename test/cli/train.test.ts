/** The command from end to end, on made-up images. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { main } from "../../cli/commands/program.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-train-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let output = "";
beforeEach(() => {
  output = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

const results = (): string[] => output.split("\n").filter((line) => line.startsWith("* "));
const small = ["--dataset", "synthetic", "--train-limit", "64", "--val-limit", "32", "-b", "16", "--log-interval", "2", "--device", "cpu"];
const flags = [...small, "--epochs", "2", "--drop-path", "0.1", "--model-ema", "--model_ema_decay=0.5"];
const dir = (name: string): string => join(folder, name);
const bytes = (...path: string[]): string => readFileSync(join(folder, ...path)).toString("base64");

describe("crabro train", () => {
  it("writes a log, checkpoints, and results that eval repeats", async () => {
    expect(await main(["train", ...flags, "--output", dir("whole")])).toBe(0);
    expect(output).toMatch(/^hornet_micro_7x7: 379930 parameters, on cpu: /);
    expect(output.match(/^Train: [01] \[ {3}[124]\/4 \( *\d+%\)\] {2}Loss: \d\.\d{3} \(\d\.\d{3}\) {2}Time: /gm)?.length).toBe(6);
    const [, , last, average] = results();
    expect(results().length).toBe(4);
    expect(last).toMatch(/^\* Acc@1 \d+\.\d{3} Acc@5 \d+\.\d{3} loss \d+\.\d{3}$/);
    expect(readdirSync(dir("whole")).sort()).toEqual(["args.json", "model.safetensors", "model_ema.safetensors", "state.safetensors"]);

    for (const [file, wanted] of [
      ["model.safetensors", last],
      ["model_ema.safetensors", average],
    ]) {
      output = "";
      expect(
        await main(["eval", "--checkpoint", join(dir("whole"), file), "--dataset", "synthetic", "--val-limit", "32", "--device", "cpu"]),
      ).toBe(0);
      expect(results()).toEqual([wanted]);
    }
  });

  it("goes on after being killed, and ends in the same state", async () => {
    // The third time that a line of the second epoch is written, the process dies.
    let lines = 0;
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      if (String(text).startsWith("Train: 1") && ++lines === 2) throw new Error("killed");
      return true;
    });
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await main(["train", ...flags, "--output", dir("killed")])).toBe(1);
    expect(bytes("killed", "state.safetensors")).not.toBe(bytes("whole", "state.safetensors"));

    vi.restoreAllMocks();
    vi.spyOn(process.stdout, "write").mockImplementation(() => true);
    expect(await main(["train", "--resume", dir("killed")])).toBe(0);
    for (const file of ["state.safetensors", "model.safetensors", "model_ema.safetensors"]) {
      expect(bytes("killed", file) === bytes("whole", file), file).toBe(true);
    }
  });

  it("refuses to resume what is no run", async () => {
    const errors = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await main(["train", "--resume", dir("nothing")])).toBe(2);
    expect(errors.mock.calls).toEqual([
      [expect.stringMatching(/^crabro: .*nothing holds no run to resume: cannot read .*args\.json: ENOENT/)],
    ]);
    expect(existsSync(dir("nothing"))).toBe(false);
  });

  it("trains with sgd and plain steps", async () => {
    const argv = [
      "--opt",
      "sgd",
      "--lr",
      "0.1",
      "--sched",
      "constant",
      "--no-compile",
      "--epochs",
      "1",
      "--clip-grad",
      "0",
      "--layer-decay",
      "0.9",
    ];
    expect(await main(["train", ...small, ...argv, "--output", dir("sgd")])).toBe(0);
    expect(results().length).toBe(1);
  });
});

describe("crabro explain", () => {
  it("shows kernels and memory", async () => {
    expect(await main(["explain", "--model", "hornet_tiny_gf", "--input-size", "64", "--device", "cpu", "--source", "1"])).toBe(0);
    expect(output).toMatch(/^device cpu: \d+ nodes, \d+ kernels\n/);
    expect(output).toMatch(/^memory /m);
    expect(output).toContain("return (");
  });
});

describe("crabro devices", () => {
  it("checks each", async () => {
    expect(await main(["devices"])).toBe(0);
    expect(output).toMatch(/^cpu {8}PASS {2}\d+ ms {2}cpu: /m);
  });
});
