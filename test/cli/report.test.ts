import { describe, expect, it } from "vitest";
import { hyphenated } from "../../cli/commands/flags.js";
import { accuracyWords, duration, evalLine, Reporter, trainLine } from "../../cli/commands/report.js";
import { EpochMeasures } from "../../train/loop.js";

function progress(batch: number) {
  const measures = new EpochMeasures();
  for (const loss of [1.766, 1.234]) measures.add({ loss, gradNorm: 1, samples: 64, finite: true, measures: { top1: 50 } });
  return { epoch: 0, batch, batches: 156, measures, lr: 0.0012, seconds: 0.3549, waited: 0.001, samples: 64 };
}

describe("lines", () => {
  it("of training are timm's", () => {
    expect(trainLine(progress(50), { seconds: 0.5, waited: 0.0021, speed: 128 })).toBe(
      "Train: 0 [  49/156 ( 32%)]  Loss: 1.23 (1.50)  Time: 0.355s,  180.33/s  (0.500s,  128.00/s)  LR: 1.200e-03  Data: 0.001 (0.002)",
    );
  });
  it("of evaluation", () => {
    const result = { top1: 97.31, top5: 99.9, loss: 0.0912 };
    expect(evalLine({ measures: result, batch: 1, batches: 157, samples: 64, seconds: 0.1 }, accuracyWords)).toBe(
      "Test: [   0/156]  Time: 0.100  Loss:  0.091  Acc@1:  97.310  Acc@5:  99.900",
    );
    expect(accuracyWords.result(result)).toBe("* Acc@1 97.310 Acc@5 99.900 loss 0.091");
    expect(accuracyWords.result({ top1: 100, top5: 100, loss: 0 })).toBe("* Acc@1 100.000 Acc@5 100.000 loss 0.000");
  });
  it("of time", () => {
    expect([0, 65, 3723].map(duration)).toEqual(["0:00", "1:05", "1:02:03"]);
  });
});

describe("Reporter", () => {
  function run(isTTY: boolean): string {
    let text = "";
    const report = new Reporter({ write: (part) => (text += part), isTTY, columns: 120 }, 50);
    for (let batch = 1; batch <= 156; batch++) report.train(progress(batch), 2);
    return text;
  }

  it("prints a line now and then into files", () => {
    const lines = run(false).trimEnd().split("\n");
    expect(lines.map((line) => line.slice(9, 26))).toEqual([
      "[   0/156 (  1%)]",
      "[  49/156 ( 32%)]",
      "[  99/156 ( 64%)]",
      "[ 149/156 ( 96%)]",
      "[ 155/156 (100%)]",
    ]);
  });

  it("writes one bar over and over on a terminal, and leaves the last line", () => {
    const shown = run(true).split("\r\u001b[2K");
    expect(shown.length).toBe(157);
    // 78 of 156 batches of the first of two epochs, 64 images in 0.3549 s.
    expect(shown[77]).toBe("████████░░░░░░░░ 1/2  78/156  loss 1.234 (1.500)  acc 50.0%  180 img/s  lr 0.0012  1:23 left");
    for (const bar of shown.slice(0, -1)) expect(bar.length).toBeLessThan(120);
    expect(shown.at(-1)).toMatch(/^█{16} 1\/2 {2}156\/156 .*\n$/);
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
