/** The published recipes of dense prediction: what the flags come to, and that the published networks are built from them. */
import { describe, expect, it } from "vitest";
import { readTrainingFlags } from "../../cli/commands/train.js";
import { checkConfig } from "../../cli/options/config.js";
import { sceneRecipeOf, sceneRecipes } from "../../cli/options/scene-recipes.js";
import { trainFields } from "../../cli/options/train-options.js";
import { detection } from "../../cli/training/detect.js";
import { segmentation } from "../../cli/training/segment.js";
import { modelInfo } from "../../models/index.js";

const flags = (...argv: string[]) => readTrainingFlags(["folder", ...argv, "--recipe", "paper"]).options;

describe("recipes of scenes", () => {
  it("name networks, and say only what the flags can say", () => {
    for (const recipes of Object.values(sceneRecipes))
      for (const [name, recipe] of Object.entries(recipes)) {
        expect(modelInfo(name).numClasses).toBe(1000);
        expect(checkConfig(recipe, trainFields, name)).toEqual(recipe);
      }
    expect(() => sceneRecipeOf("detect", "hornet_tiny_gf")).toThrow(
      "there is no recipe hornet_tiny_gf for --task detect; there are hornet_small_7x7",
    );
  });

  it("are those of the papers: UPerNet", () => {
    const options = flags("--task", "segment", "--model", "hornet_small_7x7", "--head", "horfpn_7x7");
    expect(options).toMatchObject({
      lr: 1e-4,
      sched: "poly",
      batchSize: 16,
      dropPath: 0.3,
      layerScheme: "stage_wise",
      layerDecay: 0.9,
      layerCount: 12,
    });
    // 160,000 steps over 20,210 pictures, 1,500 of them of warm-up.
    expect(Math.round((options.epochs * 20_210) / 16)).toBeGreaterThanOrEqual(160_000);
    expect((options.warmupEpochs * 20_210) / 16).toBeCloseTo(1500, 6);
    expect([options.slide, options.slideStride, options.clipGrad, options.reduceZeroLabel]).toEqual([512, 341, 0, true]);
    const design = segmentation.designOf(options, 512, 150) as Readonly<Record<string, unknown>>;
    // With the head of MODELS.md, section 8: 24,590,998 parameters.
    const model = segmentation.build(design, { meta: true });
    expect(model.decodeHead.numParameters).toBe(24_590_998);
    expect(flags("--task", "segment", "--model", "det_backbone_large_gf_seg")).toMatchObject({
      clipGrad: 0.1,
      layerDecay: 0.8,
      slide: 640,
      slideStride: 426,
    });
    expect(flags("--task", "segment", "--model", "hornet_base_gf").clipGrad).toBe(1);
    expect(flags("--task", "segment", "--model", "hornet_base_gf", "--head", "horfpn_gf").clipGrad).toBe(0.1);
  });

  it("are those of the papers: Mask R-CNN", () => {
    const options = flags("--task", "detect", "--model", "hornet_small_7x7", "--neck", "horfpn_7x7");
    expect(options).toMatchObject({
      lr: 1e-4,
      sched: "multistep",
      decayMilestones: [8, 11],
      epochs: 12,
      layerScheme: "layer_wise",
      layerDecay: 0.95,
      layerCount: 6,
    });
    expect((options.warmupEpochs * 117_266) / 16).toBeCloseTo(500, 6);
    const design = detection.designOf(options, 1344, 80) as Readonly<Record<string, unknown>>;
    expect(detection.build(design, { meta: true }).neck.numParameters).toBe(1_368_064);
  });

  it("give way to flags, and are batches of what fits", () => {
    const options = flags("--task", "segment", "--model", "hornet_tiny_7x7", "-b", "2", "--grad-accum-steps", "8", "--lr", "2e-4");
    expect([options.batchSize, options.gradAccumSteps, options.lr, options.layerCount]).toEqual([2, 8, 2e-4, 6]);
  });
});
