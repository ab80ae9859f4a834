/** `crabro convert`: parts of checkpoints, dtypes, and what does not fit. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { convert } from "../../cli/commands/convert.js";
import "../../index.js";
import { readWeights } from "../../models/node.js";
import { toTypedArray } from "../../models/weights/stored.js";

const folder = mkdtempSync(join(tmpdir(), "crabro-convert-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const source = new URL("../fixtures/files/odd_tensors.pth", import.meta.url).pathname;
const target = join(folder, "out.safetensors");

describe("crabro convert", () => {
  it("writes what a PyTorch file holds", () => {
    expect(convert(source, target, {})).toMatch(/^wrote 13 tensors, 0\.0 MB, to .*out\.safetensors$/);
    const { tensors, metadata } = readWeights(target);
    expect(metadata.get("format")).toBe("pt");
    const turned = tensors.get("transposed");
    expect(turned?.shape).toEqual([6, 4]);
    expect([...toTypedArray(turned as NonNullable<typeof turned>, "float32")].slice(0, 5)).toEqual([0, 6, 12, 18, 1]);
  });

  it("changes the dtype of floating tensors alone", () => {
    convert(source, target, { dtype: "bfloat16" });
    const { tensors } = readWeights(target);
    expect([tensors.get("whole")?.dtype, tensors.get("f64")?.dtype, tensors.get("i64")?.dtype]).toEqual(["BF16", "BF16", "I64"]);
  });

  it("takes a part, and refuses what is not there or does not fit", () => {
    convert(source, target, { at: "nested" });
    expect([...readWeights(target).tensors.keys()]).toEqual(["list.0"]);
    const other = join(folder, "other.safetensors");
    expect(() => convert(source, other, { at: "model_ema" })).toThrow(/odd_tensors\.pth: there is no model_ema in the file/);
    expect(() => convert(source, other, { model: "hornet_micro_7x7" })).toThrow(/does not fit hornet_micro_7x7: missing: /);
    expect(() => convert(source, join(folder, "out.bin"), {})).toThrow("let it end in .safetensors, .pth or .pt");
    expect(() => convert(source, other, { under: "model" })).toThrow("it has no place for model");
    expect(existsSync(other)).toBe(false);
  });

  it("writes PyTorch's format, at the top or under a key", () => {
    const file = join(folder, "out.pth");
    convert(source, file, { under: "model", dtype: "float16" });
    const { tensors, format } = readWeights(file, { at: "model" });
    expect(format).toBe("pth");
    expect([...tensors.keys()]).toEqual([...readWeights(source).tensors.keys()]);
    expect([tensors.get("whole")?.dtype, tensors.get("i64")?.dtype]).toEqual(["F16", "I64"]);
    convert(file, target, {});
    expect(readWeights(target).tensors.get("transposed")?.shape).toEqual([6, 4]);
  });
});
