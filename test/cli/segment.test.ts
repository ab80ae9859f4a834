/** Segmentation by the command: compose, train, stop, resume, predict, report. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { main } from "../../cli/commands/program.js";
import { readModel } from "../../train/checkpoint.js";
import { expectWhole, scenesFolder } from "./scenes-folder.js";

const { scenes, classifier, dir, output, forget, refusal } = scenesFolder("segment");

const small = ["--task", "segment", "--input-size", "64", "--head-channels", "8", "--aux-channels", "8", "-b", "4", "--device", "wasm"];
const train = (...more: string[]): Promise<number> => main(["train", scenes, ...small, ...more]);

describe("crabro train --task segment", () => {
  it("begins with a classifier's backbone, goes on where it was, and tells all of it", async () => {
    const backbone = ["--backbone-checkpoint", classifier, "--head", "horfpn_7x7", "--layer-decay", "0.9"];
    expect(await train("--epochs", "2", "--model-ema", ...backbone, "--output", dir("whole"))).toBe(0);
    expect(output()).toMatch(
      /^the backbone begins with \d+ entries of .*; missing: norm0\.weight, .*; unexpected: norm\.weight, norm\.bias, head\.weight/m,
    );
    expect(output()).toMatch(/train: 8 scenes of 3 × 64 × 64 an epoch, 2 steps; to /);
    expect(output().match(/^\* mIoU \d+\.\d{3} mAcc \d+\.\d{3} aAcc \d+\.\d{3} loss \d+\.\d{3}$/gm)?.length).toBe(4);
    expect(readFileSync(dir("whole", "summary.csv"), "utf8")).toMatch(
      /^epoch,train_loss,train_pixels,eval_loss,eval_miou,eval_macc,eval_aacc,eval_loss_ema,eval_miou_ema,eval_macc_ema,eval_aacc_ema,lr\n0,/,
    );
    const log = readFileSync(dir("whole", "log.txt"), "utf8").trimEnd().split("\n");
    expect(JSON.parse(log[1])).toMatchObject({ epoch: 1, test_miou: expect.any(Number), train_pixels: expect.any(Number) });
    const html = readFileSync(dir("whole", "report.html"), "utf8");
    expect(html).toContain("IoU, %");
    expect(html.match(/<figure><img src="data:image\/png;base64,[^"]+" alt="truth of/g)?.length).toBe(4);
    expectWhole(html);
  });

  it("resumes, and predicts by drawing", async () => {
    // The rate depends on the whole length of a run, unless it is constant.
    const constant = ["--sched", "constant"];
    expect(await train("--epochs", "2", ...constant, "--output", dir("unbroken"))).toBe(0);
    expect(await train("--epochs", "1", ...constant, "--output", dir("run"))).toBe(0);
    forget();
    expect(await main(["train", "--resume", dir("run"), "--epochs", "2"])).toBe(0);
    expect(output()).toContain("going on at epoch 1");
    expect(readFileSync(dir("run", "summary.csv"), "utf8")).toBe(readFileSync(dir("unbroken", "summary.csv"), "utf8"));
    const weights = (name: string) =>
      [...readModel(dir(name, "last.safetensors")).tensors].map(([key, { bytes }]) => [key, Buffer.from(bytes).toString("base64")]);
    expect(weights("run")).toEqual(weights("unbroken"));
    // The same figures by eval, of the weights as they are in the end.
    const [last] =
      output()
        .match(/^\* mIoU .*$/gm)
        ?.slice(-1) ?? [];
    forget();
    expect(await main(["eval", scenes, "--checkpoint", dir("run", "last.safetensors"), "-b", "4", "--device", "wasm"])).toBe(0);
    expect(output()).toContain(`${last}\n`);
    expect(output().match(/^(ground|\d) +IoU +[\d.–]+ {2}Acc +[\d.–]+$/gm)).toHaveLength(11);
    forget();
    const drawn = dir("drawn");
    const checkpoint = dir("run", "model_best.safetensors");
    const all = ["--device", "wasm", "--topk", "11", "--json"];
    expect(await main(["predict", join(scenes, "images", "val"), "--checkpoint", checkpoint, "--output", drawn, ...all])).toBe(0);
    const said = output()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { classes: { class: string; share: number }[]; drawn: string });
    expect(said).toHaveLength(4);
    for (const { classes, drawn: file } of said) {
      expect(classes.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      expect(PNG.sync.read(readFileSync(file)).width).toBe(256);
    }
  });

  it("evaluates by windows on larger pictures", async () => {
    const windows = ["--eval-size", "96", "--slide", "64", "--slide-stride", "32", "--val-limit", "2", "--train-limit", "4"];
    expect(await train("--epochs", "1", ...windows, "--output", dir("slide"))).toBe(0);
    expect(readFileSync(dir("slide", "report.html"), "utf8")).toContain("windows of 64 × 64, 32 × 32 apart");
  });

  it("stops where numbers go wrong, and names the operation", async () => {
    const wild = ["--opt", "sgd", "--lr", "1e30", "--warmup-epochs", "0", "--sched", "constant", "--clip-grad", "0", "--epochs", "1"];
    expect(await refusal(scenes, ...small, ...wild, "--output", dir("wild"))).toMatch(
      /crabro: the (loss|norm of the gradients) is \S+ at step 1 of epoch 0: \w+.* in \w+\.[\w.]+ made/,
    );
  });

  it("refuses what does not fit", async () => {
    expect(await refusal("--task", "segment")).toBe("crabro: name the folder of scenes: crabro train FOLDER --task segment");
    expect(await refusal(dir("nowhere"), "--task", "segment")).toMatch(
      /^crabro: there is no folder .*nowhere; crabro data digits-scenes --to .* makes one$/,
    );
    expect(await refusal(scenes, ...small, "--num-classes", "3")).toMatch(/has 11 classes; got --num-classes 3$/);
    expect(await refusal(scenes, ...small, "--mixup", "0.2")).toBe("crabro: --mixup and --cutmix are for classification");
    rmSync(join(scenes, "annotations", "val", "000002.png"));
    expect(await refusal(scenes, ...small)).toMatch(/000002\.png: there is no mask .*000002\.png; mend it, or pass --skip-broken/);
    expect(existsSync(dir("runs"))).toBe(false);
  });
});
