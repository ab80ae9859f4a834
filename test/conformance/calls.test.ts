import { describe, expect, it } from "vitest";
import { camelCase, layOut, parseArgument } from "../../conformance/calls.js";
import { HostTensor } from "../../conformance/folder.js";
import { signatures } from "../../conformance/signatures.js";

const x = new HostTensor("x", [2], "float32", Float32Array.of(1, 2));
const y = new HostTensor("y", [2], "float32", Float32Array.of(3, 4));
const z = new HostTensor("z", [1, 2], "float32", Float32Array.of(3, 4), true);

const call = (op: string, args: unknown[], kwargs: Record<string, unknown> = {}) => {
  const made = layOut(op, args, kwargs);
  return made === null ? null : [made.name, made.positional, made.options];
};

describe("names", () => {
  it("become camelCase", () => {
    expect(camelCase("torch.nn.functional.max_pool2d")).toBe("maxPool2d");
    expect(camelCase("torch.nn.functional.smooth_l1_loss")).toBe("smoothL1Loss");
    expect(camelCase("torch.fft.irfft2")).toBe("irfft2");
    expect(camelCase("ignore_index")).toBe("ignoreIndex");
  });

  it("are all in the table, with required parameters first", () => {
    expect(signatures.size).toBe(176);
    for (const [op, { params }] of signatures) expect(params, op).toMatch(/^\*?\w+( \*?\w+)*( \w+\?)* ?$|^(\w+\?)( \w+\?)* ?$/);
  });
});

describe("calls", () => {
  it("put required arguments first and the others into one object, however they were given", () => {
    const want = ["layerNorm", [x, [2]], { weight: y, eps: 0.5 }];
    expect(call("torch.nn.functional.layer_norm", [x, [2], y, null, 0.5])).toEqual(want);
    expect(call("torch.nn.functional.layer_norm", [x], { eps: 0.5, weight: y, normalized_shape: [2] })).toEqual(want);
    expect(call("torch.flatten", [x, 1])).toEqual(["flatten", [x], { startDim: 1 }]);
    expect(call("torch.nn.functional.batch_norm", [x, null, null])).toEqual(["batchNorm", [x, null, null], {}]);
  });

  it("resolve overloads", () => {
    expect(call("torch.max", [x])).toEqual(["max", [x], {}]);
    expect(call("torch.max", [x, 1, true])).toEqual(["max", [x], { dim: 1, keepdim: true }]);
    expect(call("torch.max", [x, y])).toEqual(["maximum", [x, y], {}]);
    expect(call("torch.std", [x, true])).toEqual(["std", [x], { unbiased: true }]);
    expect(call("torch.var", [x], { dim: null, correction: 0 })).toEqual(["var", [x], { correction: 0 }]);
    expect(call("torch.arange", [3])).toEqual(["arange", [3], {}]);
    expect(call("torch.arange", [5, 0, -2])).toEqual(["arange", [0], { start: 5, step: -2 }]);
    expect(call("torch.Tensor.__getitem__", [x, [{ slice: [1, null, 2] }, "...", 0]])).toEqual([
      "getItem",
      [x, [{ start: 1, end: null, step: 2 }, "...", 0]],
      {},
    ]);
    expect(call("torch.pow", [2, x])).toEqual(["pow", [2, x], {}]);
  });

  it("know nothing of unknown operations, and say where the table is wrong", () => {
    expect(call("torch.frobnicate", [x])).toBeNull();
    expect(() => call("torch.abs", [x], { dim: 1 })).toThrow(/lacks dim of torch.abs/);
    expect(() => call("torch.abs", [x, 1])).toThrow(/has 1 parameters for torch.abs; the case gives 2/);
  });

  it("send complex arguments where they are understood", () => {
    expect(layOut("torch.mul", [z, x], {})).toMatchObject({ complex: true, fromComplex: true });
    expect(layOut("torch.fft.fft", [z], {})).toMatchObject({ complex: true, fromComplex: false, pairs: true });
    expect(layOut("torch.fft.rfft", [x], {})).toMatchObject({ complex: false, pairs: false });
  });
});

describe("arguments", () => {
  const find = () => x;
  it("are read from JSON", () => {
    expect(parseArgument(["inf", "-inf", "nan", "mean", null, 3], find)).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      "mean",
      null,
      3,
    ]);
    expect(parseArgument([{ tensor: "x" }], find)).toEqual([x]);
    expect(parseArgument({ slice: [1, null, 2] }, find)).toEqual({ slice: [1, null, 2] });
    expect(parseArgument({ shape: [2], dtype: "BOOL", fill: true }, find)).toMatchObject({ dtype: "bool", data: Uint8Array.of(1, 1) });
    expect(parseArgument({ shape: [2], dtype: "I32", data: [5, -1] }, find)).toMatchObject({ dtype: "int32", data: Int32Array.of(5, -1) });
  });
});
