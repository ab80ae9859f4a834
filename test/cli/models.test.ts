/** `crabro models` and `crabro summary`. */
import { describe, expect, it } from "vitest";
import { listing, summaryOf } from "../../cli/commands/models.js";

const flags = { batchSize: 1, depth: 1, featuresOnly: false };

describe("crabro models", () => {
  it("lists networks with what was published of them", () => {
    expect(listing("glnet_*g").split("\n")).toEqual([
      "network    pixels  parameters  multiply-adds   top-1",
      "glnet_4g      224        27 M          4.5 G  83.7 %",
      "glnet_9g      224        60 M          9.7 G  84.5 %",
      "glnet_16g     224       106 M         16.7 G  85.0 %",
    ]);
    expect(listing("hornet_base_gf_img384")).toMatch(/384 +- +- +-$/);
  });
});

describe("crabro summary", () => {
  it("prints the table of a network or its backbone, at any size", () => {
    expect(summaryOf("hornet_tiny_7x7", flags)).toContain("Total params: 22,409,512");
    expect(summaryOf("hornet_tiny_7x7", { ...flags, featuresOnly: true })).toContain("Total params: 21,897,408");
    const table = summaryOf("hornet_tiny_gf", { ...flags, inputSize: 64, numClasses: 5, columns: ["inputShape", "trainable"] });
    expect(table).toMatch(/Linear \(head\): 1-10 +\[1, 512\] +True/);
  });
});
