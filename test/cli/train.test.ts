/** The command from end to end, on made-up images. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { main } from "../../cli/commands/program.js";
import { readEvents } from "../../train/report/events.js";

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
const small = ["--dataset", "synthetic", "--train-limit", "64", "--val-limit", "32", "-b", "16", "--log-interval", "2", "--device", "wasm"];
const flags = [...small, "--epochs", "2", "--drop-path", "0.1", "--model-ema", "--model_ema_decay=0.5"];
const dir = (name: string): string => join(folder, name);
const bytes = (...path: string[]): string => readFileSync(join(folder, ...path)).toString("base64");

describe("crabro train", () => {
  it("writes a log, checkpoints, and results that eval repeats", async () => {
    expect(await main(["train", ...flags, "--output", dir("whole")])).toBe(0);
    expect(output).toMatch(/^hornet_micro_7x7: 379930 parameters, on wasm: /);
    expect(output.match(/^Train: [01] \[ {3}[013]\/4 \( *\d+%\)\] {2}Loss: \S+ \(\S+\) {2}Time: /gm)?.length).toBe(6);
    const [, , last, average] = results();
    expect(results().length).toBe(4);
    expect(last).toMatch(/^\* Acc@1 \d+\.\d{3} Acc@5 \d+\.\d{3} loss \d+\.\d{3}$/);
    const files = [
      "args.json",
      "checkpoint-0",
      "checkpoint-1",
      "events.out.tfevents.",
      "last",
      "log.txt",
      "model_best",
      "report.html",
      "summary.csv",
    ];
    expect(
      readdirSync(dir("whole"))
        .map((name) => name.replace(/\.safetensors$|(?<=tfevents\.).*/, ""))
        .sort(),
    ).toEqual(files);

    // A state is measured by its average; the best is the first of equals.
    const [, first] = results();
    const accuracy = (line: string): number => Number(line.split(" ")[2]);
    const best = accuracy(average) > accuracy(first) ? average : first;
    for (const [file, wanted] of [
      ["last.safetensors", average],
      ["model_best.safetensors", best],
    ]) {
      output = "";
      const argv = ["eval", "--checkpoint", join(dir("whole"), file), "--dataset", "synthetic", "--val-limit", "32", "--device", "wasm"];
      expect(await main(argv)).toBe(0);
      expect(results()).toEqual([wanted]);
    }
    const epochs = readFileSync(join(dir("whole"), "log.txt"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(epochs).toMatchObject([{ epoch: 0 }, { epoch: 1, test_acc1: accuracy(last), test_acc1_ema: accuracy(average) }]);
    const csv = readFileSync(join(dir("whole"), "summary.csv"), "utf8");
    expect(csv).toMatch(
      /^epoch,train_loss,eval_loss,eval_top1,eval_top5,eval_loss_ema,eval_top1_ema,eval_top5_ema,lr\n0,(\S+,){7}\S+\n1,(\S+,){7}\S+\n$/,
    );
    const events = readdirSync(dir("whole")).find((name) => name.startsWith("events.")) as string;
    const scalars = readEvents(readFileSync(join(dir("whole"), events))).filter((event) => "summary" in event);
    expect(scalars.map(({ step }) => step)).toEqual([0, 2, 3, 3, 4, 6, 7, 7]);
    const html = readFileSync(join(dir("whole"), "report.html"), "utf8");
    expect(html.match(/<svg class="chart"/g)?.length).toBe(4);
    expect(html).toContain("<h2>Confusion</h2>");
    expect(html).toMatch(/<img src="data:image\/png;base64,/);
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
  });

  it("goes on after being killed, and ends with the same files", async () => {
    // The second time that a line of the second epoch is written, the process dies.
    let lines = 0;
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      if (String(text).startsWith("Train: 1") && ++lines === 2) throw new Error("killed");
      return true;
    });
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await main(["train", ...flags, "--output", dir("killed")])).toBe(1);
    expect(bytes("killed", "last.safetensors")).not.toBe(bytes("whole", "last.safetensors"));

    vi.restoreAllMocks();
    vi.spyOn(process.stdout, "write").mockImplementation(() => true);
    // The same command goes on by itself.
    expect(await main(["train", ...flags, "--output", dir("killed")])).toBe(0);
    for (const file of ["last.safetensors", "model_best.safetensors", "checkpoint-0.safetensors", "summary.csv", "log.txt"]) {
      expect(bytes("killed", file) === bytes("whole", file), file).toBe(true);
    }
    vi.restoreAllMocks();
    output = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      output += text;
      return true;
    });
    expect(await main(["train", "--resume", dir("killed")])).toBe(0);
    expect(output).toContain("all 2 epochs are done; pass a larger --epochs to go on");
  });

  it("stops where numbers go wrong, naming the operation and keeping the last good state, or leaves such steps out", async () => {
    // The first step sends the weights out of all bounds.
    const wild = [
      ...small,
      "--train-limit",
      "32",
      "--epochs",
      "1",
      "--opt",
      "sgd",
      "--lr",
      "1e30",
      "--warmup-epochs",
      "0",
      "--clip-grad",
      "0",
    ];
    const errors = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await main(["train", ...wild, "--output", dir("stopped")])).toBe(2);
    expect(errors.mock.calls).toEqual([
      [
        expect.stringMatching(
          /^crabro: the (loss|norm of the gradients) is (NaN|-?Infinity) at step 1 of epoch 0: \w+.* in .*\w\.\w.*; the last good state is in .*last\.safetensors; try a lower --lr/,
        ),
      ],
    ]);
    expect(await main(["eval", "--checkpoint", join(dir("stopped"), "last.safetensors"), ...small.slice(0, 2), "--val-limit", "8"])).toBe(
      0,
    );
    output = "";
    expect(await main(["train", ...wild, "--on-nan", "skip", "--output", dir("skipped")])).toBe(0);
    expect(output).toMatch(/^left out: the .* at step 1 of epoch 0/m);
    expect(JSON.parse(readFileSync(join(dir("skipped"), "log.txt"), "utf8"))).toMatchObject({ skipped_steps: 1 });
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
    expect(await main(["explain", "--model", "hornet_micro_gf", "--device", "cpu", "--source", "1"])).toBe(0);
    expect(output).toMatch(/^device cpu: \d+ nodes, \d+ kernels\n/);
    expect(output).toMatch(/^memory /m);
    expect(output).toContain("return (");
  });
});

describe("crabro devices", () => {
  it("checks each", async () => {
    expect(await main(["devices"])).toBe(0);
    expect(output).toMatch(/^cpu +PASS {2}\d+ ms {2}cpu: /m);
  });
});
