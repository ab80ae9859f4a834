import { describe, expect, it } from "vitest";
import { OpError, type Tensor, tensor } from "../../index.js";
import { Module, nn, Parameter, showLoadReport, stateName } from "../../models/index.js";
import type { StoredTensor } from "../../models/weights/safetensors.js";

class Small extends Module {
  readonly projIn = new nn.Linear(2, 3);
  readonly layers = [new nn.Linear(3, 3), new nn.Identity(), new nn.Linear(3, 2)];
  readonly scale = new Parameter(tensor([2, 2]));
  readonly stepCount = tensor(0, { dtype: "int32" });
  readonly #hidden = tensor([5]);

  override forward(x: Tensor): Tensor {
    x = this.projIn.forward(x);
    for (const layer of this.layers) x = layer.forward(x);
    return x.mul(this.scale).add(this.#hidden);
  }
}

const values = async (tensors: Iterable<Tensor>): Promise<number[][]> => Promise.all([...tensors].map(async (t) => [...(await t.data())]));

describe("names", () => {
  it("become snake case", () => {
    expect(["projIn", "dwconv", "numBatchesTracked", "gamma1", "inProjWeight"].map(stateName)).toEqual([
      ...["proj_in", "dwconv", "num_batches_tracked", "gamma1", "in_proj_weight"],
    ]);
  });

  it("come in PyTorch's order: parameters, buffers, children", () => {
    const module = new Small();
    const linear = (path: string) => [`${path}.weight`, `${path}.bias`];
    expect([...module.stateDict().keys()]).toEqual([
      "scale",
      "step_count",
      ...linear("proj_in"),
      ...linear("layers.0"),
      ...linear("layers.2"),
    ]);
    expect([...module.namedBuffers()].map(([name]) => name)).toEqual(["step_count"]);
    expect(module.numParameters).toBe(2 + 9 + 12 + 8);
    expect([...module.namedModules()].map(([name]) => name)).toEqual(["", "proj_in", "layers.0", "layers.1", "layers.2"]);
    expect(module.getSubmodule("layers.1")).toBeInstanceOf(nn.Identity);
    expect(() => module.getSubmodule("layer")).toThrow(
      "getSubmodule: Small has no submodule layer; it has proj_in, layers.0, layers.1, layers.2",
    );
  });

  it("of Sequential and ModuleList are numbers", () => {
    const list = new nn.ModuleList([new nn.Sequential(new nn.ReLU(), new nn.Linear(1, 1)), new nn.Linear(1, 1, { bias: false })]);
    expect([...list.stateDict().keys()]).toEqual(["0.1.weight", "0.1.bias", "1.weight"]);
    expect([list.length, list.at(-1)]).toEqual([2, [...list][1]]);
  });

  it("show the tree", () => {
    const layers = new nn.Sequential<nn.Layer>(new nn.Conv2d(4, 4, 3, { groups: 4 }), new nn.Dropout(0.1));
    expect(String(layers)).toBe("Sequential(\n  (0): Conv2d(4, 4, kernelSize=3x3, stride=1, groups=4)\n  (1): Dropout(p=0.1)\n)");
  });
});

describe("errors inside a forward", () => {
  it("name the path once", () => {
    const module = new nn.Sequential(new Small(), new nn.Identity());
    let caught: unknown;
    try {
      module.forward(tensor([[1, 2, 3]]));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(OpError);
    expect((caught as OpError).message).toMatch(/^[^(]*linear.* \(in 0\.proj_in\)$/);
    expect((caught as OpError).message.match(/\(in /g)?.length).toBe(1);
  });
});

describe("nodes", () => {
  it("carry the path of the module that made them", () => {
    const module = new Small();
    const paths: string[] = [];
    module.layers[0].registerForwardHook((_module, _inputs, output) => {
      paths.push((output as Tensor).node.module);
    });
    const out = module.forward(tensor([[1, 2]]));
    expect([paths, out.node.module]).toEqual([["layers.0"], ""]);
  });
});

describe("hooks", () => {
  it("see outputs, may replace them, and can be removed", async () => {
    const module = new Small();
    const x = tensor([[1, 2]]);
    const before = await module.forward(x).data();
    const remove = module.projIn.registerForwardHook((_module, _inputs, output) => (output as Tensor).mul(0));
    expect([...(await module.forward(x).data())]).not.toEqual([...before]);
    remove();
    expect([...(await module.forward(x).data())]).toEqual([...before]);
  });
});

describe("state", () => {
  it("goes from model to model", async () => {
    const [a, b] = [new Small(), new Small()];
    expect(await values(a.parameters())).not.toEqual(await values(b.parameters()));
    expect(showLoadReport(b.loadStateDict(a.stateDict()))).toBe("");
    expect(await values(b.stateDict().values())).toEqual(await values(a.stateDict().values()));
    expect(b.scale.requiresGrad).toBe(true);
  });

  it("fills a model without values", async () => {
    const a = new nn.Linear(2, 3);
    const b = new nn.Linear(2, 3, { meta: true });
    expect(b.numParameters).toBe(9);
    await expect(b.weight.data()).rejects.toThrow("it belongs to a model built without values");
    b.loadStateDict(a.stateDict());
    expect(await values(b.parameters())).toEqual(await values(a.parameters()));
    expect(b.weight.requiresGrad).toBe(true);
  });

  it("that does not fit is refused as a whole, or reported", async () => {
    const layer = new nn.Linear(2, 3);
    const before = await values(layer.parameters());
    const state = new Map([
      ["weight", tensor([[1, 2]])],
      ["wieght", tensor([1])],
    ]);
    expect(() => layer.loadStateDict(state)).toThrow(
      "loadStateDict: the entries do not fit Linear: missing: bias; unexpected: wieght; of another shape: weight [1, 2] for [3, 2]; pass { strict: false } to load the rest",
    );
    expect(layer.loadStateDict(state, { strict: false })).toEqual({
      missing: ["bias"],
      unexpected: ["wieght"],
      mismatched: [{ name: "weight", expected: [3, 2], given: [1, 2] }],
    });
    expect(await values(layer.parameters())).toEqual(before);
  });

  it("converts what a file holds to the model's dtypes", async () => {
    const norm = new nn.BatchNorm2d(1);
    const one = { dtype: "F64" as const, shape: [1], bytes: new Uint8Array(Float64Array.of(1.5).buffer) };
    const count = { dtype: "I64" as const, shape: [], bytes: new Uint8Array(BigInt64Array.of(7n).buffer) };
    const file = new Map<string, StoredTensor>(["weight", "bias", "running_mean", "running_var"].map((name) => [name, one]));
    norm.loadStateDict(file.set("num_batches_tracked", count));
    expect(await values(norm.stateDict().values())).toEqual([[1.5], [1.5], [1.5], [1.5], [7]]);
    const huge = { ...count, bytes: new Uint8Array(BigInt64Array.of(2n ** 40n).buffer) };
    expect(() => norm.loadStateDict(new Map([["num_batches_tracked", huge]]), { strict: false })).toThrow("which int32 cannot hold");
  });
});

describe("modes", () => {
  it("reach all modules", () => {
    const module = new Small();
    expect(module.training).toBe(true);
    module.eval();
    expect([...module.modules()].map((m) => m.training)).toEqual([false, false, false, false, false]);
    module.train();
    expect(module.layers[2].training).toBe(true);
  });
});
