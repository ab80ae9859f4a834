/** Token labels: their files, and what targets become of them. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../cli/commands/program.js";
import "../../index.js";
import { GLNetTokenLabel, writePth } from "../../models/index.js";
import { store } from "../../models/weights/stored.js";
import { noAugmentation, type View } from "../../train/augment/index.js";
import { DataLoader, imageFolder, plainTransform, readTokenMap, type TokenMap, tokenTargets } from "../../train/data/index.js";
import { paramGroups, SGD, trainingStep } from "../../train/index.js";
import { writePictures } from "./pictures-folder.js";

/** torch.save of a half tensor [2, 2, 2, 2], as the published ones are but for size. */
const fixture = new URL("../fixtures/token_label.pt", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "crabro-tokens-"));
beforeAll(() => {
  writePictures(join(folder, "pictures"), 4);
  for (const name of ["blue", "green", "red"]) {
    mkdirSync(join(folder, "labels", name), { recursive: true });
    for (let i = 0; i < 4; i++) copyFileSync(fixture, join(folder, "labels", name, `${i}.pt`));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const whole: View = { left: 0, top: 0, right: 1, bottom: 1, mirrored: false, upsideDown: false };
/** One class a place: 3 of class 0, 2 of class 1; below 1 of class 2, 0 of class 0. */
const single: TokenMap = { best: 1, height: 2, width: 2, scores: Float32Array.of(3, 2, 1, 0), classes: Int32Array.of(0, 1, 2, 0) };
const softmax = (...scores: number[]): number[] => {
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
  return scores.map((score) => Math.exp(score) / sum);
};
/** Targets [3, 2 + side²] by columns. */
function columns(map: TokenMap, view: View, side: number, smoothing = 0): number[][] {
  const out = new Float32Array(3 * (2 + side * side));
  tokenTargets(map, view, 1, { classes: 3, smoothing, side }, out, 0);
  return Array.from({ length: 2 + side * side }, (_, at) => [0, 1, 2].map((c) => out[c * (2 + side * side) + at]));
}
function close(got: number[][], wanted: number[][]): void {
  expect(got.length).toBe(wanted.length);
  got.forEach((column, i) => column.forEach((value, c) => expect(value, `column ${i}, class ${c}`).toBeCloseTo(wanted[i][c], 6)));
}

describe("targets of token labels", () => {
  const tokens = [softmax(3, 0, 0), softmax(0, 2, 0), softmax(0, 0, 1), softmax(0, 0, 0)];

  it("are the label, the mean of all places, and each place by itself where there are as many", () => {
    close(columns(single, whole, 2), [[0, 1, 0], softmax(3 / 4, 2 / 4, 1 / 4), ...tokens]);
  });

  it("follow the picture when it is turned round", () => {
    const [a, b, c, d] = tokens;
    close(columns(single, { ...whole, mirrored: true }, 2).slice(2), [b, a, d, c]);
    close(columns(single, { ...whole, upsideDown: true }, 2).slice(2), [c, d, a, b]);
  });

  it("are of what is in view: half a place further left than pixels are", () => {
    // The left half, two tokens across: from −0.5 in steps of 0.5, so at −0.25, where the edge is, and at 0.25.
    const [first, second] = columns(single, { ...whole, right: 0.5 }, 2).slice(2);
    close([first, second], [softmax(3, 0, 0), softmax(0.75 * 3, 0.25 * 2, 0)]);
  });

  it("are smoothed", () => {
    const [label, , first] = columns(single, whole, 2, 0.3);
    close([label, first], [[0.1, 0.8, 0.1], softmax(3, 0, 0).map((p) => p * 0.8 + 0.1)]);
  });
});

describe("files of token labels", () => {
  it("are read as PyTorch writes them", () => {
    expect(readTokenMap(fixture, 3)).toEqual({
      best: 2,
      height: 2,
      width: 2,
      scores: Float32Array.of(3, 2, 1, 0, 0.5, -1, 0.25, 0),
      classes: Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1),
    });
  });

  it("are refused by name where they are something else", () => {
    expect(() => readTokenMap(fixture, 2)).toThrow(
      /^tokenLabels: .*token_label\.pt: it names class 2; expected whole numbers from 0 to 1$/,
    );
    expect(() => readTokenMap(join(folder, "none.pt"), 3)).toThrow(/none\.pt: ENOENT/);
    writeFileSync(join(folder, "text.pt"), "scores");
    expect(() => readTokenMap(join(folder, "text.pt"), 3)).toThrow(/text\.pt: /);
    writeFileSync(join(folder, "state.pt"), writePth([["x", store(Float32Array.of(1), [1], "float32")]]));
    expect(() => readTokenMap(join(folder, "state.pt"), 3)).toThrow(/state\.pt: expected one tensor \[2, k, H, W\]/);
  });

  it("give the same batches with and without workers, mixed as their pictures are", async () => {
    const dataset = imageFolder(join(folder, "pictures"), "train", undefined, join(folder, "labels"));
    const all: Float32Array[] = [];
    for (const workers of [0, 1]) {
      const loader = new DataLoader(dataset, {
        batchSize: 4,
        shuffle: true,
        transform: {
          ...plainTransform(dataset, 64),
          augmentation: { ...noAugmentation, box: { scale: [0.2, 1], ratio: [1, 1] }, hflip: 0.5 },
        },
        mixing: { mixup: 0.8, cutmix: 0, probability: 1, switchProbability: 0.5, offEpoch: 0 },
        targets: { classes: 3, smoothing: 0.1, side: 2 },
        workers,
      });
      for await (const { targets } of loader.epoch()) {
        expect(targets.shape).toEqual([4, 3, 6]);
        all.push(((await targets.data()) as Float32Array).slice());
      }
      await loader.close();
    }
    expect(all.length).toBe(6);
    expect(all.slice(3)).toEqual(all.slice(0, 3));
    // Probabilities of each column, but for what smoothing adds to the softmax.
    for (let column = 0; column < 6; column++) {
      const sum = all[0][column] + all[0][6 + column] + all[0][12 + column];
      expect(sum).toBeCloseTo(column === 0 ? 1 : 1 + 0.1 / 3, 5);
    }
  });

  it("train a network with a head for tokens", { timeout: 120_000 }, async () => {
    const dataset = imageFolder(join(folder, "pictures"), "train", undefined, join(folder, "labels"));
    const model = new GLNetTokenLabel({ dims: [8, 8, 8, 8], depths: [1, 1, 1, 1], headDim: 8, downsampleStyle: "ovlp", numClasses: 3 });
    const step = trainingStep(model, new SGD(paramGroups(model, { weightDecay: 0 }), { lr: 0.01 }), { tokenLabels: {} });
    const transform = plainTransform(dataset, 64);
    const loader = new DataLoader(dataset, { batchSize: 4, transform, targets: { classes: 3, smoothing: 0, side: 2 } });
    for await (const batch of loader.epoch()) {
      const { loss, finite } = await step([batch]);
      expect([finite, loss > 0]).toEqual([true, true]);
    }
  });

  it("are asked for with the loss that wants them, and a folder", async () => {
    const errors = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await main(["train", join(folder, "pictures"), "--token-label-data", join(folder, "labels")])).toBe(2);
    expect(errors.mock.calls).toEqual([["crabro: --token-label-data goes with --token-label and a folder of pictures"]]);
    errors.mockRestore();
  });
});
