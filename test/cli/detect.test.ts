/** Detection by the command: train from a classifier's backbone, resume, report, measure, predict. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { main } from "../../cli/commands/program.js";
import { expectWhole, scenesFolder } from "./scenes-folder.js";

const { scenes, classifier, dir, output, forget, refusal } = scenesFolder("detect");

const small = ["--task", "detect", "--input-size", "64", "--neck-channels", "8", "--regions", "16", "--mask-regions", "4", "-b", "4"];
const train = (...more: string[]): Promise<number> => main(["train", scenes, ...small, "--device", "wasm", ...more]);

describe("crabro train --task detect", () => {
  it("begins with a classifier's backbone, resumes to the same weights, and tells all of it", async () => {
    const backbone = ["--backbone-checkpoint", classifier, "--layer-decay", "0.95", "--decay-milestones", "1"];
    expect(await train("--epochs", "2", ...backbone, "--output", dir("whole"))).toBe(0);
    expect(output()).toMatch(
      /^the backbone begins with \d+ entries of .*; missing: norm0\.weight, .*; unexpected: norm\.weight, norm\.bias, head/m,
    );
    expect(output()).toMatch(/8 scenes of 3 × 64 × 64 an epoch, 2 steps; to /);
    expect(output().match(/^\* box AP -?\d+\.\d{2} AP50 -?\d+\.\d{2} {2}mask AP -?\d+\.\d{2} AP50 -?\d+\.\d{2}$/gm)?.length).toBe(2);
    expect(readFileSync(dir("whole", "summary.csv"), "utf8")).toMatch(
      /^epoch,train_loss,train_rpnCls,train_rpnBox,train_cls,train_box,train_mask,eval_box_ap,eval_box_ap50,eval_mask_ap,eval_mask_ap50,lr\n0,/,
    );
    const html = readFileSync(dir("whole", "report.html"), "utf8");
    expect(html).toContain("AP @ IoU 0.50");
    expect(html.match(/alt="truth of/g)?.length).toBe(4);
    expectWhole(html);

    expect(await train("--epochs", "1", ...backbone, "--output", dir("parts"))).toBe(0);
    forget();
    expect(await main(["train", "--resume", dir("parts"), "--epochs", "2"])).toBe(0);
    expect(output()).toContain("going on at epoch 1");
    const last = (run: string): string => readFileSync(dir(run, "last.safetensors")).toString("base64").slice(-100_000);
    expect(last("parts") === last("whole")).toBe(true);

    // The same figures by eval, of the weights as they are in the end.
    const [ended] = readFileSync(dir("whole", "log.txt"), "utf8").trimEnd().split("\n").slice(-1);
    const logged = JSON.parse(ended) as Record<string, number>;
    forget();
    const evaluate = ["eval", scenes, "--checkpoint", dir("whole", "last.safetensors"), "-b", "4", "--device", "wasm"];
    expect(await main([...evaluate, "--json"])).toBe(0);
    const measured = JSON.parse(output()) as Record<"bbox" | "segm", { AP: number; AP50: number; perClass: unknown[] }>;
    expect([measured.bbox.AP, measured.bbox.AP50, measured.segm.AP].map((value) => 100 * value)).toEqual([
      logged.test_box_ap,
      logged.test_box_ap50,
      logged.test_mask_ap,
    ]);
    expect(measured.segm.perClass).toHaveLength(10);
    forget();
    expect(await main([...evaluate, "--val-limit", "2"])).toBe(0);
    expect(output().match(/^A[PR][ ,].* +[\d.–]+ +[\d.–]+$/gm)).toHaveLength(12);
    expect(output().match(/^\d +( +[\d.–]+){4}$/gm)).toHaveLength(10);

    forget();
    const checkpoint = dir("whole", "model_best.safetensors");
    const predict = ["predict", join(scenes, "images", "val"), "--checkpoint", checkpoint, "--output", dir("drawn"), "--min-score", "0"];
    expect(await main([...predict, "--device", "wasm", "--json"])).toBe(0);
    const said = output()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { objects: { class: string; score: number; box: number[] }[]; drawn: string });
    expect(said).toHaveLength(4);
    for (const { objects, drawn } of said) {
      for (const { box, score } of objects) {
        expect(score).toBeGreaterThanOrEqual(0.05);
        expect(Math.max(...box)).toBeLessThanOrEqual(64);
      }
      expect(PNG.sync.read(readFileSync(drawn)).width).toBeGreaterThanOrEqual(64);
    }
  });

  it("refuses what does not fit", async () => {
    expect(await refusal("--task", "detect")).toBe("crabro: name the folder of scenes: crabro train FOLDER --task detect");
    expect(await refusal(scenes, ...small, "--num-classes", "3")).toMatch(/has 10 categories; got --num-classes 3$/);
    expect(await refusal(scenes, ...small, "--mixup", "0.2")).toBe("crabro: --mixup and --cutmix are for classification");
    rmSync(join(scenes, "images", "val", "000002.png"));
    expect(await refusal(scenes, ...small)).toMatch(/instances_val\.json.*000002\.png/);
  });
});
