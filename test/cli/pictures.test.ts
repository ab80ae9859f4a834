/** From a folder of pictures to predictions; config files, recipes, contact sheets. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { main } from "../../cli/commands/program.js";
import { checkConfig, parseFlatYaml, readConfig } from "../../cli/options/config.js";
import { recipes } from "../../cli/options/recipes.js";
import { trainFields } from "../../cli/options/train-options.js";
import { modelInfo } from "../../models/registry.js";
import { writePictures } from "../train/pictures-folder.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-photos-"));
const file = (...names: string[]): string => join(folder, ...names);
beforeAll(() => writePictures(file("photos"), 8));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let output = "";
let errors = "";
beforeEach(() => {
  [output, errors] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += text;
    return true;
  });
  vi.spyOn(console, "error").mockImplementation((...args: unknown[]) => {
    errors += args.join(" ");
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("a folder of pictures", () => {
  it("is trained on with workers, from a config file, and then predicted from", { timeout: 240_000 }, async () => {
    writeFileSync(
      file("run.yaml"),
      "# as timm writes it\nepochs: 3\nbatch_size: 8\nlr: 2e-3\nscale: [0.5, 1.0]\ncolor-jitter: null\nwarmup_epochs: 0\n",
    );
    writeFileSync(file("photos", "train", "red", "broken.png"), "no picture");
    const argv = ["train", file("photos"), "-c", file("run.yaml"), "-j", "1", "--device", "wasm", "--output", file("run")];
    expect(await main([...argv, "--seed", "3"])).toBe(2);
    expect(errors).toMatch(/^crabro: .*broken\.png is no JPEG, PNG or WebP file; it begins with 6e 6f 20 70$/);
    expect(await main([...argv, "--seed", "3", "--skip-broken"]), errors).toBe(0);
    expect(output).toContain("1 pictures could not be read");
    const args = JSON.parse(readFileSync(file("run", "args.json"), "utf8")) as object;
    expect(args).toMatchObject({ epochs: 3, batchSize: 8, lr: 2e-3, scale: [0.5, 1], dataset: "folder", skipBroken: true, seed: 3 });
    // Colours are told apart at once.
    const results = output.split("\n").filter((line) => line.startsWith("* "));
    expect(Number(results.at(-1)?.split(" ")[2])).toBeGreaterThan(60);

    output = "";
    const shown = ["red", "green", "blue"].map((name) => file("photos", "val", name, "0.png"));
    expect(
      await main(["predict", ...shown, "--checkpoint", file("run", "model_best.safetensors"), "--json", "--device", "wasm"]),
      errors,
    ).toBe(0);
    const said = output
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { file: string; predictions: { class: string; probability: number }[] });
    expect(said.map((line) => line.file)).toEqual(shown);
    for (const { predictions } of said) {
      expect(predictions.map((named) => named.class).sort()).toEqual(["blue", "green", "red"]);
      expect(predictions.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
    }
    expect(said.filter(({ predictions }, i) => predictions[0].class === ["red", "green", "blue"][i]).length).toBeGreaterThanOrEqual(2);

    // eval repeats what the best epoch measured.
    output = "";
    expect(await main(["eval", file("photos"), "--checkpoint", file("run", "model_best.safetensors"), "--device", "wasm"]), errors).toBe(0);
    const accuracies = results.map((line) => Number(line.split(" ")[2]));
    expect(Number(/\* Acc@1 (\S+)/.exec(output)?.[1])).toBe(Math.max(...accuracies));
  });

  it("is shown as training sees it", async () => {
    const sheet = file("sheet.png");
    expect(
      await main([
        "data",
        file("photos"),
        "--show",
        "9",
        "--input-size",
        "48",
        "--recipe",
        "hornet_tiny_7x7",
        "--skip-broken",
        "--output",
        sheet,
      ]),
      errors,
    ).toBe(0);
    const { width, height, data } = PNG.sync.read(readFileSync(sheet));
    expect([width, height]).toEqual([3 * 50 + 2, 3 * 50 + 2]);
    expect(new Set(data).size).toBeGreaterThan(50);
    expect(await main(["data"])).toBe(2);
    expect(errors).toContain("nothing to do; pass --fetch SET or --show N");
  });

  it("that is missing is named, as are pictures", async () => {
    expect(await main(["train", file("nowhere")])).toBe(2);
    expect(errors).toMatch(/^crabro: there is no folder .*nowhere$/);
    errors = "";
    if (!existsSync(file("run", "last.safetensors"))) return;
    expect(await main(["predict", file("none.png"), "--checkpoint", file("run", "last.safetensors"), "--device", "cpu"])).toBe(2);
    expect(errors).toMatch(/^crabro: cannot read .*none\.png: ENOENT/);
  });
});

describe("config files", () => {
  it("are JSON or flat YAML, with names in any style", () => {
    expect(parseFlatYaml("a: 1\nb: 'it''s'\nc: \"x\"\nd: [1, 2.5]\ne:\n  - 3\n  - four\nf:\ng: true # yes\nh: rand-m9 \n", "x")).toEqual({
      a: 1,
      b: "it's",
      c: "x",
      d: [1, 2.5],
      e: [3, "four"],
      f: null,
      g: true,
      h: "rand-m9",
    });
    expect(() => parseFlatYaml("a: 1\n  b: 2\n", "run.yaml")).toThrow('run.yaml, line 2: expected "name: value" or "- value"; got b: 2');
    expect(checkConfig({ batch_size: 8, "clip-grad": 1, imgSize: 64, mean: null }, trainFields, "x")).toEqual({
      batchSize: 8,
      clipGrad: 1,
      inputSize: 64,
    });
    writeFileSync(file("bad.json"), '{"epochs": 3,}');
    expect(() => readConfig(file("bad.json"), trainFields)).toThrow("bad.json is no JSON");
    expect(() => readConfig(file("none.json"), trainFields)).toThrow("cannot read");
  });

  it("say what is wrong with each entry", () => {
    expect(() => checkConfig({ epochs: 1.5, opt: "lion", batchsize: 3, smoothing: "much" }, trainFields, "x")).toThrow(
      /^config: x: .*epochs: expected a whole number from 1 up; it is 1\.5; .*there is no option batchsize \(did you mean batch-size\?\)/,
    );
    expect(() => checkConfig({ opt: "lion" }, trainFields, "x")).toThrow("opt: expected one of adamw, sgd");
    expect(() => checkConfig({ epoch: 3 }, trainFields, "x")).toThrow("there is no option epoch (did you mean epochs?)");
    expect(() => checkConfig({ scale: [1] }, trainFields, "x")).toThrow("scale: expected 2 numbers");
  });
});

describe("recipes", () => {
  it("name networks, and say only what the flags can say", () => {
    for (const [name, recipe] of Object.entries(recipes)) {
      expect(modelInfo(name).numClasses).toBe(1000);
      expect(checkConfig(recipe, trainFields, name)).toEqual(recipe);
    }
    expect(recipes.hornet_base_gf).toMatchObject({
      lr: 4e-3,
      epochs: 300,
      warmupEpochs: 20,
      dropPath: 0.5,
      clipGrad: 1,
      aa: "rand-m15-mstd0.5-inc1",
    });
    expect(recipes.glnet_4g_tklb).toMatchObject({
      epochs: 300,
      cooldownEpochs: 10,
      warmupLr: 1e-6,
      augRepeats: 3,
      tokenLabel: true,
      modelEma: false,
    });
  });
});
