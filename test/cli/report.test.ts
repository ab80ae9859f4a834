import { describe, expect, it } from "vitest";
import { hyphenated } from "../../cli/commands/flags.js";
import { evalLine, Reporter, resultLine, trainLine } from "../../cli/commands/report.js";
import { Average } from "../../train/metrics.js";

function progress(batch: number) {
  const loss = new Average();
  loss.add(1.766, 1);
  loss.add(1.234, 1);
  return { epoch: 0, batch, batches: 156, loss, gradNorm: 1, lr: 0.0012, seconds: 0.3549, samples: 64 };
}

describe("lines", () => {
  it("of training are timm's", () => {
    expect(trainLine(progress(50))).toBe("Train: 0 [  50/156 ( 32%)]  Loss: 1.234 (1.500)  Time: 0.35s, 180/s  LR: 1.2e-3");
  });
  it("of evaluation", () => {
    const result = { top1: 97.31, top5: 99.9, loss: 0.0912 };
    expect(evalLine({ ...result, batch: 1, batches: 157 })).toBe("Test: [   1/157 (  0%)]  Loss: 0.091  Acc@1: 97.310");
    expect(resultLine(result)).toBe("* Acc@1 97.310 Acc@5 99.900 loss 0.091");
    expect(resultLine({ top1: 100, top5: 100, loss: 0 })).toBe("* Acc@1 100.000 Acc@5 100.000 loss 0.000");
  });
});

describe("Reporter", () => {
  function run(isTTY: boolean): string {
    let text = "";
    const report = new Reporter({ write: (part) => (text += part), isTTY, columns: 60 }, 50);
    for (let batch = 1; batch <= 156; batch++) report.train(progress(batch));
    return text;
  }

  it("prints a line now and then into files", () => {
    const lines = run(false).trimEnd().split("\n");
    expect(lines.map((line) => line.slice(9, 26))).toEqual([
      "[   1/156 (  0%)]",
      "[  50/156 ( 32%)]",
      "[ 100/156 ( 64%)]",
      "[ 150/156 ( 96%)]",
      "[ 156/156 (100%)]",
    ]);
  });

  it("writes one bar over and over on a terminal, and leaves the last line", () => {
    const shown = run(true).split("\r\u001b[2K");
    expect(shown.length).toBe(157);
    expect(shown[78]).toMatch(/^██████████░░░░░░░░░░ Train: 0 \[/);
    for (const bar of shown.slice(0, -1)) expect(bar.length).toBeLessThan(60);
    expect(shown.at(-1)).toMatch(/^Train: 0 \[ 156\/156 \(100%\)\].*\n$/);
  });
});

describe("flags", () => {
  it("take underscores for hyphens, in names only", () => {
    expect(hyphenated(["train", "--batch_size=8", "--model", "hornet_micro_7x7", "--data_dir=a_b", "-b", "1", "--", "--x_y"])).toEqual([
      "train",
      "--batch-size=8",
      "--model",
      "hornet_micro_7x7",
      "--data-dir=a_b",
      "-b",
      "1",
      "--",
      "--x_y",
    ]);
  });
});
